"""Early fusion: equal to one scikit-learn model on the joined columns; absent modalities filled from training rows only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import polymodal
from polymodal import AdditiveFusion, Modalities, Modality, Ragged, Training
from polymodal.core.errors import ConfigError, ModalityError, ModelFormatError
from polymodal.datasets import drop_modalities
from polymodal.encoders import MLPEncoder, SequenceTransformerEncoder
from polymodal.fusion import EarlyFusion

STRATEGIES = ["mean", "nearest", "regression", "patterns"]


def two(rng: np.random.Generator, n: int = 200) -> tuple[Modalities, np.ndarray]:
    y = rng.integers(0, 3, n)
    return Modalities(
        {"b": rng.normal(y[:, None] * 1.0, size=(n, 2)), "a": rng.normal(y[:, None] ** 2.0, size=(n, 3))}
    ), y


def joined(data: Modalities) -> np.ndarray:
    return np.asarray(StandardScaler().fit_transform(np.hstack([data["a"].values(), data["b"].values()])))


# --- what it equals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(max_iter=500), SVC(), KNeighborsClassifier(3), LinearSVC(), GaussianNB()],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("missing", STRATEGIES)
def test_complete_vectors_are_one_model_on_all_standardised_columns(
    model, missing, rng: np.random.Generator
) -> None:
    data, y = two(rng)
    X, words = joined(data), np.array(["x", "y", "z"])[y]
    early = EarlyFusion(model, missing=missing).fit(data, words)
    np.testing.assert_allclose(early.transform(data), X, atol=1e-12)
    alone = clone(model).fit(X, y)
    np.testing.assert_array_equal(early.predict(data), np.array(["x", "y", "z"])[alone.predict(X)])
    assert hasattr(early, "predict_proba") == hasattr(alone, "predict_proba")
    if hasattr(alone, "predict_proba"):
        np.testing.assert_allclose(early.predict_proba(data), alone.predict_proba(X), atol=1e-8)
    assert hasattr(early, "decision_function") == (
        hasattr(alone, "decision_function") and missing != "patterns"
    )
    if hasattr(early, "decision_function"):
        np.testing.assert_allclose(early.decision_function(data), alone.decision_function(X), atol=1e-8)


def test_labels_and_quantities_get_a_model_each(rng: np.random.Generator) -> None:
    data, y = two(rng)
    X = joined(data)
    labels = np.stack([y == 0, y > 0, np.ones_like(y)], axis=1).astype(int)  # the last one is always there
    model = EarlyFusion().fit(data, labels)
    assert model.predict_proba(data).shape == model.decision_function(data).shape == (200, 3)
    np.testing.assert_array_equal(model.predict(data)[:, 2], 1)
    assert model.score(data, labels) > 0.7
    quantities = X[:, :2] @ rng.normal(size=(2, 2)) * 5 + 3
    exact = EarlyFusion(LinearRegression()).fit(data, quantities)
    np.testing.assert_allclose(exact.predict(data), quantities, atol=1e-9)
    assert exact.score(data, quantities) == pytest.approx(1.0)
    assert not hasattr(exact, "predict_proba")
    assert EarlyFusion(LinearRegression()).fit(data, quantities[:, 0]).predict(data).shape == (200,)


def test_sees_what_late_fusion_cannot(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(300, 1)), rng.normal(size=(300, 1))
    y = (a[:, 0] * b[:, 0] > 0).astype(int)
    data = Modalities({"a": a, "b": b})
    assert EarlyFusion(SVC()).fit(data[:200], y[:200]).score(data[200:], y[200:]) > 0.9
    assert (
        polymodal.LateFusion(model=SVC(), rule="vote").fit(data[:200], y[:200]).score(data[200:], y[200:])
        < 0.65
    )


# --- missing modalities -----------------------------------------------------------------------------------------


def test_patterns_are_early_fusion_without_the_absent_modality(rng: np.random.Generator) -> None:
    data, y = two(rng)
    holes = data.without("a", slice(0, 60)).without("b", slice(60, 90))
    model = EarlyFusion(missing="patterns").fit(holes, y)
    has = holes[
        "b"
    ].present  # available case: every row that has b teaches the model of b, whatever else it has
    alone = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(
        data["b"].values()[has], y[has]
    )
    np.testing.assert_allclose(
        model.predict_proba(data.select("b")), alone.predict_proba(data["b"].values()), atol=1e-8
    )
    np.testing.assert_allclose(
        model.predict_proba(holes)[:60], alone.predict_proba(data["b"].values()[:60]), atol=1e-8
    )
    assert set(model.models_) == {("a",), ("b",), ("a", "b")}


def test_patterns_that_never_met_average_the_models_of_each(rng: np.random.Generator) -> None:
    data, y = two(rng)
    apart = data.without("a", slice(0, 100)).without("b", slice(100, 200))
    model = EarlyFusion(missing="patterns").fit(apart, y)
    each = [model.predict_proba(data.select(name)) for name in data]
    np.testing.assert_allclose(model.predict_proba(data), np.mean(each, axis=0))


def test_means_and_marks(rng: np.random.Generator) -> None:
    data, y = two(rng)
    holes = data.without("a", slice(0, 50))
    model = EarlyFusion().fit(holes, y)
    Z = model.transform(holes)
    assert Z.shape == (200, 6)  # 3 of a, 2 of b, and the mark of a; b was never absent
    np.testing.assert_array_equal(Z[:, 5], np.repeat([1.0, 0.0], [50, 150]))
    np.testing.assert_allclose(Z[:50, :3], 0, atol=1e-12)
    np.testing.assert_allclose(Z[50:, :3].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(Z[50:, :3].std(axis=0), 1)


def test_absence_itself_can_tell(rng: np.random.Generator) -> None:
    y = np.arange(100) % 2
    data = Modalities({"a": rng.normal(size=(100, 2)), "b": rng.normal(size=(100, 2))}).without("b", y == 1)
    assert EarlyFusion().fit(data, y).score(data, y) == 1.0


def test_regression_fills_with_the_expectation(rng: np.random.Generator) -> None:
    a = rng.normal(size=(300, 2))
    b = a @ np.array([[1.0, -1.0], [0.5, 2.0]])
    data = Modalities({"a": a, "b": b})
    holes = data.without("b", slice(0, 50))
    y = rng.normal(size=300)
    model = EarlyFusion(missing="regression").fit(holes, y)
    whole = EarlyFusion().fit(holes, y).transform(data)
    np.testing.assert_allclose(model.transform(holes)[:50, 2:4], whole[:50, 2:4], atol=1e-3)


def test_regression_gives_the_best_linear_prediction_from_what_is_there(rng: np.random.Generator) -> None:
    """y = a + b, corr(a, b) = 0.8: without b the best prediction is 1.8 a, R2 = 1.8^2 / 3.6 = 0.9."""
    a = rng.normal(size=(4000, 1))
    b = 0.8 * a + 0.6 * rng.normal(size=(4000, 1))
    y = (a + b)[:, 0]
    data = Modalities({"a": a, "b": b})
    scores = {
        missing: EarlyFusion(Ridge(1e-3), missing=missing)
        .fit(data[:2000], y[:2000])
        .score(data.select("a")[2000:], y[2000:])
        for missing in STRATEGIES
    }
    assert scores["regression"] == pytest.approx(0.9, abs=0.01)
    assert scores["patterns"] == pytest.approx(0.9, abs=0.01)
    assert scores["mean"] == pytest.approx(
        1 - (0.64 + 0.36) / 3.6, abs=0.015
    )  # predicts a alone: misses all of b
    assert 0.8 < scores["nearest"] < 0.9


def test_nearest_takes_the_five_nearest_rows() -> None:
    a = np.repeat([0.0, 10.0], 6)[:, None] + np.arange(12)[:, None] / 100
    data = Modalities({"a": a, "b": np.repeat([[1.0], [3.0]], 6, axis=0)}).without("b", [0])
    filled = EarlyFusion(missing="nearest").fit(data, np.arange(12.0)).transform(data)
    assert filled[0, 1] == pytest.approx(filled[1, 1], abs=1e-9)


@pytest.mark.parametrize("missing", STRATEGIES)
@pytest.mark.parametrize("rows", [1, 7])
def test_hidden_cells_never_enter(missing, rows, rng: np.random.Generator) -> None:
    """Test rows have no part in what fills; hidden values are not read, nor are those of other test rows."""
    data, y = two(rng)
    holes = data.without("a", slice(0, 60)).without("b", slice(150, 170))
    store = np.array(data["a"].values())
    store[:60] = 1e9
    poisoned = holes.assign({"a": Modality(store, holes["a"].index)})
    one, other = EarlyFusion(missing=missing).fit(holes, y), EarlyFusion(missing=missing).fit(poisoned, y)
    np.testing.assert_allclose(one.predict_proba(holes), other.predict_proba(poisoned), atol=1e-9)
    batch = one.predict_proba(holes)
    np.testing.assert_allclose(one.predict_proba(holes[:rows]), batch[:rows], atol=1e-9)


# --- pictures, sequences, texts ---------------------------------------------------------------------------------


def test_all_kinds_at_once(rng: np.random.Generator) -> None:
    y = np.arange(40) % 2
    data = Modalities(
        {
            "picture": (rng.random((40, 8, 8)) * 50 + 150 * y[:, None, None]).astype(np.uint8),
            "text": [f"a {'red' if k else 'green'} thing {i}" for i, k in enumerate(y)],
            "track": [rng.normal(y[i] * 2.0, size=(5 + i % 3, 2)) for i in range(40)],
        }
    )
    model = EarlyFusion().fit(data[:30], y[:30])
    assert model.score(data[30:], y[30:]) == 1.0
    Z = model.transform(data[:30])
    width = sum(model._vectorizer.state_[name]["components"].shape[1] for name in data)
    assert Z.shape == (30, width)
    assert model.transform(data.select("text")[:3]).shape == (3, width)


def test_channels_of_pictures_and_of_sequences(rng: np.random.Generator) -> None:
    """y is in the product of the two pictures' brightness at one place: channels of one."""
    y = np.arange(60) % 2
    grid = Modalities(
        {"depth": rng.random((60, 6, 6)), "colour": rng.random((60, 6, 6, 3)) + y[:, None, None, None]}
    )
    model = EarlyFusion(mode="channels").fit(grid, y)
    assert model._joined(grid)["joined"].shape == (6, 6, 4)
    np.testing.assert_array_equal(
        model._joined(grid)["joined"].values(),
        np.concatenate([grid["colour"].values(), grid["depth"].values()[..., None]], axis=3),
    )
    assert model.score(grid, y) == 1.0
    assert model.predict(grid.select("colour")).tolist() == y.tolist()
    tracks = Modalities(
        {
            "pen": [rng.normal(size=(4 + i % 2, 2)) for i in range(60)],
            "force": [np.full((4 + i % 2, 1), y[i]) for i in range(60)],
        }
    ).without("pen", [3])
    steps = EarlyFusion(mode="channels").fit(tracks, y)
    assert steps._joined(tracks)["joined"].shape == (3,)
    assert steps.score(tracks, y) == 1.0
    assert steps.transform(tracks).shape[1] == steps.transform(tracks.select("force")).shape[1]


def test_tokens_of_texts_and_of_vectors(rng: np.random.Generator) -> None:
    y = np.arange(40) % 2
    texts = Modalities({"title": ["good", "bad"] * 20, "body": ["one two", None] * 20})
    model = EarlyFusion(mode="tokens").fit(texts, y)
    assert model._joined(texts)["joined"].store[[0, 1]] == ["[body] one two [title] good", "[title] bad"]
    assert model.score(texts, y) == 1.0
    vectors = Modalities(
        {"v": rng.normal(size=(40, 3)), "s": Ragged.of([np.full((2, 3), i % 2) for i in range(40)])}
    )
    joined_steps = EarlyFusion(mode="tokens").fit(vectors, y)._joined(vectors)["joined"]
    np.testing.assert_allclose(
        joined_steps.store[1], np.vstack([[[1, 1, 1, 1, 0]] * 2, [[*vectors["v"].store[1], 0, 1]]])
    )


def test_a_model_of_this_package_gets_one_modality(rng: np.random.Generator) -> None:
    data, y = two(rng, 60)
    short = Training(max_epochs=2, batch_size=32)
    inner = AdditiveFusion(4, encoders={"joined": MLPEncoder()}, training=short, random_state=0)
    model = EarlyFusion(inner).fit(data, y)
    again = clone(inner).fit({"joined": joined(data)}, y)
    np.testing.assert_allclose(
        model.predict_proba(data), again.predict_proba({"joined": joined(data)}), atol=1e-6
    )
    labels = np.stack([y == 0, y == 1], axis=1).astype(int)
    assert EarlyFusion(inner).fit(data, labels).predict_proba(data).shape == (60, 2)
    assert EarlyFusion(inner).fit(data, joined(data)[:, :2]).predict(data).shape == (60, 2)
    steps = Modalities(
        {"p": Ragged.of(list(rng.normal(size=(60, 4, 2)))), "q": Ragged.of(list(rng.normal(size=(60, 3, 2))))}
    )
    sequence = AdditiveFusion(
        4,
        encoders={"joined": SequenceTransformerEncoder(width=8, depth=1, heads=2)},
        training=short,
        random_state=0,
    )
    tokens = EarlyFusion(sequence, mode="tokens").fit(steps, y)
    assert tokens.transform(steps).shape == (60, 4)
    assert tokens.predict_proba(steps.select("q")).shape == (60, 3)


def test_an_encoder_is_trained_with_a_head() -> None:
    model = EarlyFusion(MLPEncoder())
    assert isinstance(model._choose_model("classification"), AdditiveFusion)


@pytest.mark.parametrize(
    ("mode", "columns", "match"),
    [
        (
            "channels",
            {"a": np.zeros((6, 4, 4)), "b": np.zeros((6, 4, 5))},
            r"one height and width.*'b': \(4, 5\)",
        ),
        ("channels", {"a": np.zeros((6, 4, 4)), "b": np.zeros((6, 4))}, "'b': 'vector'"),
        (
            "channels",
            {"a": Ragged.of(list(np.zeros((6, 3, 1)))), "b": Ragged.of(list(np.zeros((6, 2, 1))))},
            "'b': 2",
        ),
        ("tokens", {"a": ["x"] * 6, "b": np.zeros((6, 4))}, "'a': 'text'"),
        (
            "tokens",
            {"a": Ragged.of(list(np.zeros((6, 3, 2)))), "b": Ragged.of(list(np.zeros((6, 3, 1))))},
            r"'b': \(1,\)",
        ),
    ],
)
def test_shapes_that_cannot_be_joined_are_named(mode, columns, match) -> None:
    with pytest.raises(ModalityError, match=match):
        EarlyFusion(mode=mode).fit(Modalities(columns), np.arange(6) % 2)


# --- around -----------------------------------------------------------------------------------------------------


def test_refusals(rng: np.random.Generator) -> None:
    data, y = two(rng, 40)
    with pytest.raises(ConfigError, match="missing.*Did you mean 'mean'"):
        EarlyFusion().set_params(missing="means").fit(data, y)
    with pytest.raises(ConfigError, match="mode must be"):
        EarlyFusion().set_params(mode="pixels").fit(data, y)
    with pytest.raises(ConfigError, match="takes missing='mean' only"):
        EarlyFusion(mode="tokens", missing="nearest").fit(data, y)
    with pytest.raises(ModalityError, match="lacks predict"):
        EarlyFusion(StandardScaler()).fit(data, y)
    with pytest.raises(ModalityError, match=r"at least one of \['b', 'a'\]"):
        EarlyFusion().fit(data.without("a", [3]).without("b", [3]), y)
    model = EarlyFusion().fit(data, y)
    with pytest.raises(ModalityError, match="at least one of"):
        model.predict(data.without("a", [3]).without("b", [3]))
    with pytest.raises(ModalityError, match="two classes"):
        EarlyFusion().fit(data, np.zeros(40, dtype=int))


@pytest.mark.parametrize("missing", STRATEGIES)
def test_wide_scaled_constant_and_absent(missing, rng: np.random.Generator) -> None:
    """Forty rows, thousands of columns, scales from 1e-6 to 1e6, a constant modality; one row asked at a time."""
    y = np.arange(40) % 2
    wide = rng.normal(size=(40, 2000)) * 10.0 ** rng.integers(-6, 7, 2000)
    wide[:, :20] += 1e4 * y[:, None] * np.abs(wide[:, :20])
    data = Modalities({"wide": wide, "constant": np.ones((40, 3)), "small": rng.normal(size=(40, 2))})
    holes = data.without("wide", slice(0, 5)).without("constant", slice(5, 8))
    model = EarlyFusion(missing=missing).fit(holes, y)
    assert model.score(data, y) > 0.7
    for name in data:
        assert np.isfinite(model.predict_proba(data.select(name)[[0]])).all()


def test_works_in_scikit_learn(rng: np.random.Generator) -> None:
    data, y = two(rng, 90)
    assert cross_val_score(EarlyFusion(), data, y, cv=3).mean() > 0.6
    search = GridSearchCV(
        EarlyFusion(LogisticRegression()), {"model__C": [0.1, 1.0], "missing": ["mean", "patterns"]}, cv=2
    )
    assert search.fit(data, y).best_score_ > 0.6


@pytest.mark.parametrize("missing", STRATEGIES)
def test_saved_and_loaded_it_says_the_same(missing, rng: np.random.Generator, tmp_path: Path) -> None:
    data, y = two(rng, 60)
    holes = data.without("a", slice(0, 20))
    model = EarlyFusion(missing=missing).fit(holes, y)
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(holes), model.predict_proba(holes))
    np.testing.assert_array_equal(again.predict(data.select("a")), model.predict(data.select("a")))
    with pytest.raises(ModelFormatError, match="RandomForestClassifier"):
        polymodal.save(EarlyFusion(RandomForestClassifier(5)).fit(data, y), tmp_path / "forest")


def test_saved_raw_modes(rng: np.random.Generator, tmp_path: Path) -> None:
    y = np.arange(20) % 2
    data = Modalities({"a": rng.random((20, 4, 4)), "b": rng.random((20, 4, 4))})
    model = EarlyFusion(mode="channels").fit(data, y)
    again = polymodal.load(polymodal.save(model, tmp_path / "channels"))
    np.testing.assert_array_equal(
        again.predict_proba(data.select("a")), model.predict_proba(data.select("a"))
    )


def test_three_views_of_real_digits(real_data: Path) -> None:
    """Measured: .964 early, .958 the best view alone; with half of the cells hidden at test, patterns beat means."""
    with np.load(real_data / "mfeat_digits" / "mfeat.npz") as views:
        y = views["label"].astype(int)
        data = Modalities({name: views[name].astype(float) for name in ("fac", "kar", "zer")})
    order = np.random.default_rng(0).permutation(2000)
    train, test = order[:600], order[1000:1500]
    early = EarlyFusion().fit(data[train], y[train])
    alone = [
        EarlyFusion().fit(data[train].select(m), y[train]).score(data[test].select(m), y[test]) for m in data
    ]
    assert early.score(data[test], y[test]) > max(*alone, 0.96)
    holes = drop_modalities(data[test], 0.5, random_state=0)
    patterns = EarlyFusion(missing="patterns").fit(data[train], y[train]).score(holes, y[test])
    assert patterns > early.score(holes, y[test]) + 0.02

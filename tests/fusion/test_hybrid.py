"""Hybrid fusion: late fusion when the early model has no weight, the early model when nothing else has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC

import polymodal
from polymodal import LateFusion, Modalities, TensorFusion, Training
from polymodal.core.errors import ModalityError
from polymodal.fusion import EarlyFusion, HybridFusion


def case(rng: np.random.Generator, n: int = 150) -> tuple[Modalities, np.ndarray]:
    y = rng.integers(0, 3, n)
    return Modalities(
        {"b": rng.normal(y[:, None] * 1.0, size=(n, 2)), "a": rng.normal(y[:, None] ** 2.0, size=(n, 3))}
    ), y


@pytest.mark.parametrize("rule", ["mean", "product", "vote"])
def test_weight_zero_on_early_is_late_fusion(rule, rng: np.random.Generator) -> None:
    data, y = case(rng)
    holes = data.without("a", slice(0, 20))
    hybrid = HybridFusion(rule=rule, weights={"early": 0.0, "a": 1.0, "b": 2.0}).fit(holes, y)
    late = LateFusion(rule, weights={"a": 1.0, "b": 2.0}).fit(holes, y)
    np.testing.assert_allclose(hybrid.predict_proba(holes), late.predict_proba(holes), atol=1e-12)
    y = data["a"].values()[:, 0]
    if rule != "vote":
        hybrid = HybridFusion(rule=rule, weights={"early": 0.0, "a": 1.0, "b": 2.0}).fit(holes, y)
        late = LateFusion(rule, weights={"a": 1.0, "b": 2.0}).fit(holes, y)
        np.testing.assert_allclose(hybrid.predict(holes), late.predict(holes), atol=1e-12)


@pytest.mark.parametrize("early_rows", ["complete", "any"])
def test_weight_on_early_alone_is_early_fusion(early_rows, rng: np.random.Generator) -> None:
    data, y = case(rng)
    holes = data.without("a", slice(0, 20))
    only = {"early": 1.0, "a": 0.0, "b": 0.0}
    hybrid = HybridFusion(weights=only, early_rows=early_rows).fit(holes, y)
    whole = slice(20, None) if early_rows == "complete" else slice(None)
    missing = "mean" if early_rows == "complete" else "patterns"
    early = EarlyFusion(missing=missing).fit(holes[whole], y[whole])
    np.testing.assert_allclose(hybrid.predict_proba(data)[20:], early.predict_proba(data)[20:], atol=1e-12)
    if early_rows == "any":
        np.testing.assert_allclose(hybrid.predict_proba(holes), early.predict_proba(holes), atol=1e-12)


def test_a_row_that_lacks_something_is_answered_by_late_fusion(rng: np.random.Generator) -> None:
    data, y = case(rng)
    hybrid, late = HybridFusion().fit(data, y), LateFusion().fit(data, y)
    for name in data:
        np.testing.assert_allclose(
            hybrid.predict_proba(data.select(name)), late.predict_proba(data.select(name)), atol=1e-12
        )
    assert np.abs(hybrid.predict_proba(data) - late.predict_proba(data)).max() > 0.01


def test_the_mean_of_three_answers(rng: np.random.Generator) -> None:
    data, y = case(rng)
    each = [EarlyFusion().fit(data, y).predict_proba(data)]
    each += [LateFusion().fit(data.select(m), y).predict_proba(data.select(m)) for m in data]
    np.testing.assert_allclose(
        HybridFusion().fit(data, y).predict_proba(data), np.mean(each, axis=0), atol=1e-9
    )


@pytest.mark.parametrize("weights", ["equal", "validation", "confidence"])
@pytest.mark.parametrize("rule", ["mean", "product", "vote", "stacking"])
def test_what_they_mean_together_and_what_one_means_alone(rule, weights, rng: np.random.Generator) -> None:
    """y = sign(a b) where both are there: only the early model can tell; where b is missing, a says nothing of it."""
    if rule == "stacking" and weights == "confidence":
        return
    a, b = rng.normal(size=(2, 300, 1))
    y = (a[:, 0] * b[:, 0] > 0).astype(int)
    data = Modalities({"a": a, "b": b})
    model = HybridFusion(RandomForestClassifier(30, random_state=0), rule=rule, weights=weights, cv=3)
    score = model.fit(data[:200], y[:200]).score(data[200:], y[200:])
    learned = weights == "validation" or rule == "stacking"
    assert score > (0.8 if learned else 0.5)
    if weights == "validation" and rule != "stacking":
        assert model.weights_["early"][0] > 5 * max(model.weights_["a"][0], model.weights_["b"][0])


def test_any_estimator_may_be_early(rng: np.random.Generator, tmp_path: Path) -> None:
    data, y = case(rng, 60)
    short = Training(max_epochs=2, batch_size=32)
    tensor = TensorFusion(4, embedding_dim=3, training=short, random_state=0)
    model = HybridFusion(tensor, late={"a": LogisticRegression(C=0.1)}, rule="stacking", cv=2).fit(data, y)
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(data), model.predict_proba(data))
    alone = TensorFusion(4, embedding_dim=3, training=short, random_state=0).fit(data, y)
    only = HybridFusion(tensor, weights={"early": 1.0, "a": 0.0, "b": 0.0}).fit(data, y)
    np.testing.assert_allclose(only.predict_proba(data), alone.predict_proba(data), atol=1e-6)


def test_labels_and_quantities(rng: np.random.Generator) -> None:
    data, y = case(rng)
    labels = np.stack([y == 0, y > 1], axis=1).astype(int)
    for rule in ("mean", "stacking"):
        assert HybridFusion(rule=rule, cv=2).fit(data, labels).score(data, labels) > 0.6
    quantities = np.hstack([data["a"].values(), data["b"].values()]) @ rng.normal(size=(5, 2)) + 3
    exact = HybridFusion(LinearRegression(), rule="stacking", cv=3).fit(data, quantities)
    assert exact.score(data, quantities) == pytest.approx(1.0, abs=1e-6)
    assert exact.predict(data).shape == (150, 2)


def test_noise_of_the_early_model_is_that_of_its_modalities(rng: np.random.Generator) -> None:
    y = rng.normal(size=20_000)
    noise = {"a": 0.5, "b": 2.0}
    data = Modalities({m: (y + rng.normal(0, v**0.5, len(y)))[:, None] for m, v in noise.items()})
    model = HybridFusion(weights="noise", noise=noise).fit(data, y)
    found = {label: float(w[0]) for label, w in model.weights_.items()}
    assert found == pytest.approx({"a": 2.0, "b": 0.5, "early": 2.5}, rel=0.05)


def test_refusals(rng: np.random.Generator) -> None:
    data, y = case(rng, 40)
    with pytest.raises(ModalityError, match="no modality may have this name"):
        HybridFusion().fit({"early": data["a"], "b": data["b"]}, y)
    with pytest.raises(ModalityError, match=r"all of \['b', 'a'\], got none.*early_rows='any'"):
        HybridFusion().fit(data.without("a", slice(0, 20)).without("b", slice(20, 40)), y)
    with pytest.raises(ModalityError, match="must name every modality.*'early'"):
        HybridFusion(weights={"a": 1.0, "b": 1.0}).fit(data, y)
    with pytest.raises(ModalityError, match="Unknown modalities"):
        HybridFusion(late={"c": LogisticRegression()}).fit(data, y)
    with pytest.raises(ModalityError, match="'early' needs .*EarlyFusion lacks predict_proba"):
        HybridFusion(SVC()).fit(data, y)
    with pytest.raises(ModalityError, match="'a'.*SVC lacks predict_proba"):
        HybridFusion(late=SVC()).fit(data, y)
    assert HybridFusion(SVC(), late=SVC(), rule="vote").fit(data, y).score(data, y) > 0.5


def test_stacking_does_not_trust_an_early_model_on_rows_it_never_saw_lacking(
    rng: np.random.Generator,
) -> None:
    """Learned on whole rows: where b lacks, the early model, imputing, is left out; with enough such rows it is weighed by them."""
    data, y = case(rng, 240)
    early = EarlyFusion(missing="mean")
    model = HybridFusion(early, rule="stacking", early_rows="any", cv=3, random_state=0).fit(data, y)
    late = LateFusion("stacking", cv=3, random_state=0).fit(data, y)
    np.testing.assert_allclose(
        model.predict_proba(data.select("a")), late.predict_proba(data.select("a")), atol=1e-9
    )
    holes = data.without("b", slice(0, 60))
    taught = HybridFusion(early, rule="stacking", early_rows="any", cv=3).fit(holes, y)
    used, rows = taught._lesson(np.array([True, False, True]))
    assert used.tolist() == [True, False, True]
    assert np.flatnonzero(rows).tolist() == list(range(60))

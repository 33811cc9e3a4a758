from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from polymodal import Modalities, load, save
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.fusion import EasyMKL, MedianRBF, MultipleKernelFusion, SimpleMKL, multiple_kernel
from polymodal.similarity import RBF, Linear

METHODS = ["uniform", "alignment", "independent alignment", "easy", "simple"]


def views(rng, n=80, classes=2):
    """Each modality tells classes apart along a direction of its own; `noise` does not at all."""
    y = np.arange(n) % classes
    a, b = rng.standard_normal((n, 3)), rng.standard_normal((n, 4))
    a[:, 0] += 2.0 * (y == 0)
    b[:, 1] += 2.0 * (y == classes - 1)
    return Modalities({"a": a, "b": b, "noise": rng.standard_normal((n, 5))}), y


# EasyMKL counts chance distances too: near reg=0 kernels of noise keep their weight (see the guide)
@pytest.mark.parametrize(
    "method", ["uniform", "alignment", "independent alignment", EasyMKL(0.9), "simple"], ids=str
)
@pytest.mark.parametrize("classes", [2, 3])
def test_learns_and_leaves_noise_out(rng, method, classes):
    data, y = views(rng, 160, classes)
    model = MultipleKernelFusion(method).fit(data[:80], y[:80])
    alone = max(
        MultipleKernelFusion(method).fit(data.select(name)[:80], y[:80]).score(data.select(name)[80:], y[80:])
        for name in data.names
    )
    assert model.score(data[80:], y[80:]) >= alone - 0.03
    weights = model.kernel_weights()
    np.testing.assert_allclose(sum(weights.values()), 1)
    if method != "uniform":
        assert weights["noise: rbf"] == min(weights.values())
    assert model.transform(data).shape == (160, 1 if classes == 2 else 3)
    assert model.decision_function(data).shape == ((160,) if classes == 2 else (160, 3))


@pytest.mark.parametrize("classes", [2, 3])
def test_one_kernel_is_scikit_learns_machine(rng, classes):
    data, y = views(rng, 60, classes)
    x = data["a"].values()
    model = MultipleKernelFusion(kernels=RBF(1.5), normalise="none", standardise=False, C=0.7)
    model.fit(data.select("a")[:40], y[:40])
    machine = SVC(C=0.7, gamma=1 / (2 * 1.5**2), tol=1e-6)
    theirs = (machine if classes == 2 else OneVsRestClassifier(machine)).fit(x[:40], y[:40])
    np.testing.assert_allclose(
        model.decision_function(data.select("a")[40:]), theirs.decision_function(x[40:]), atol=1e-4
    )
    assert (model.predict(data.select("a")[40:]) == theirs.predict(x[40:])).all()
    assert model.weights_ == {"a": {"RBF(scale=1.5)": 1.0}}


def test_quantities_are_ridge_regression_on_the_sum(rng):
    data, _ = views(rng)
    y = data["a"].values()[:, :2] @ rng.standard_normal((2, 2)) + [5.0, -3.0]
    kernels = {"a": Linear(), "b": RBF(2.0)}
    model = MultipleKernelFusion("uniform", kernels=kernels, normalise="none", standardise=False, C=2.0)
    two = data.select("a", "b")
    model.fit(two[:60], y[:60])
    a, b = (data[name].values() for name in ("a", "b"))
    H = np.eye(60) - 1 / 60
    K = 0.5 * (Linear().pairwise(a, a) + RBF(2.0).pairwise(b, b))
    train = H @ K[:60, :60] @ H
    scaled = (y[:60] - y[:60].mean(axis=0)) / y[:60].std(axis=0)
    theirs = KernelRidge(alpha=0.5, kernel="precomputed").fit(train, scaled)
    new = (K[60:, :60] - K[:60, :60].mean(axis=0)) @ H
    expected = theirs.predict(new) * y[:60].std(axis=0) + y[:60].mean(axis=0)
    np.testing.assert_allclose(model.predict(two[60:]), expected, atol=1e-8)
    np.testing.assert_allclose(model.transform(two[60:]), expected, atol=1e-8)
    assert not hasattr(model, "decision_function")
    flat = MultipleKernelFusion("simple", kernels="linear").fit(two[:60], y[:60, 0])
    assert flat.predict(two[60:]).shape == (20,)
    assert flat.score(two[60:], y[60:, 0]) > 0.9
    assert flat.weights_["a"]["linear"] > 0.9
    with pytest.raises(ConfigError, match="quantities.*'alignment'"):
        MultipleKernelFusion("easy").fit(two, y)


def test_labels(rng):
    data, _ = views(rng)
    Y = np.stack(
        [data["a"].values()[:, 0] > 1, data["b"].values()[:, 0] > 0, np.zeros(80, bool)], axis=1
    ).astype(int)
    model = MultipleKernelFusion("alignment", C=10.0).fit(data, Y)
    assert model.task_ == "multilabel"
    assert model.predict(data).shape == (80, 3)
    assert not model.predict(data)[:, 2].any()  # a label that no row has
    assert model.score(data, Y) > 0.9


def test_contributions_add_up(rng):
    data, y = views(rng, classes=3)
    model = MultipleKernelFusion("simple", kernels=["rbf", "linear"]).fit(data.without("a", slice(0, 9)), y)
    parts = model.contributions(data)
    np.testing.assert_allclose(model.intercept_ + sum(parts.values()), model.transform(data), atol=1e-12)
    assert not model.contributions(data.without("a", [3]))["a"][3].any()


def test_a_kernel_given_twice_changes_no_prediction(rng):
    data, y = views(rng)
    for weights in ("alignment", SimpleMKL(tol=1e-6)):
        once, twice = (
            MultipleKernelFusion(weights, kernels={"a": k, "b": "rbf", "noise": "rbf"})
            .fit(data, y)
            .transform(data)
            for k in ("rbf", ["rbf", "rbf"])
        )
        np.testing.assert_allclose(once, twice, atol=5e-3)


# --- missing modalities --------------------------------------------------------------------------------------------


def test_a_row_that_lacks_a_modality_gets_its_decision_from_the_others(rng):
    """With linear kernels: it stands at the modality's training mean."""
    data, y = views(rng)
    model = MultipleKernelFusion(kernels="linear", normalise="none", standardise=False).fit(data, y)
    means = data.assign({"a": np.tile(data["a"].values().mean(axis=0), (80, 1))})
    np.testing.assert_allclose(model.transform(data.drop("a")), model.transform(means), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_fitting_with_missing_modalities(rng, method):
    data, y = views(rng, 240)
    holes = data.without("a", rng.permutation(120)[:50]).without("b", 120 + np.arange(40))
    store = np.array(holes["a"].store)
    store[~holes["a"].present] = 1e9
    poisoned = holes.assign({"a": Modality(store, holes["a"].index)})
    model, other = (MultipleKernelFusion(method).fit(d[:200], y[:200]) for d in (holes, poisoned))
    np.testing.assert_array_equal(model.transform(data), other.transform(data))
    assert model.score(data[200:], y[200:]) > 0.75
    assert model.score(data[200:].drop("a"), y[200:]) > 0.6


def test_unpaired_rows(rng):
    """No row has both: each teaches its own part."""
    data, y = views(rng)
    apart = data.select("a", "b").without("a", slice(0, 40)).without("b", slice(40, 80))
    model = MultipleKernelFusion().fit(apart, y)
    assert model.score(data.select("a", "b"), y) > 0.8


def test_rows_that_share_a_value(rng):
    x = rng.standard_normal((30, 3))
    captions = rng.standard_normal((60, 2))
    y = np.repeat((x[:, 0] > 0).astype(int), 2)
    index = np.repeat(np.arange(30), 2)
    shared = Modalities({"image": Modality(x, index), "text": captions})
    copied = Modalities({"image": x[index], "text": captions})
    a, b = (
        MultipleKernelFusion(kernels=RBF(2.0), standardise=False).fit(d, y).transform(copied)
        for d in (shared, copied)
    )
    np.testing.assert_allclose(a, b, atol=1e-4)


# --- precomputed kernels -----------------------------------------------------------------------------------------


def test_precomputed_kernels_equal_those_computed(rng):
    data, y = views(rng)
    grams = Modalities({name: RBF(2.0).pairwise(c.values(), c.values()) for name, c in data.items()})
    given = MultipleKernelFusion("easy", kernels="precomputed")
    made = MultipleKernelFusion("easy", kernels=RBF(2.0), standardise=False)
    given.fit(grams[:60], y[:60])
    made.fit(data[:60], y[:60])
    np.testing.assert_allclose(given.transform(grams[60:]), made.transform(data[60:]), atol=1e-9)
    # the same from matrices of the training rows alone: new rows against training rows, (20, 60)
    alone = MultipleKernelFusion("easy", kernels="precomputed")
    alone.fit({name: c.values()[:60, :60] for name, c in grams.items()}, y[:60])
    new = {name: c.values()[60:, :60] for name, c in grams.items()}
    np.testing.assert_allclose(alone.transform(new), made.transform(data[60:]), atol=1e-9)
    some = alone.transform({"a": new["a"]})
    np.testing.assert_allclose(some, made.transform(data[60:].select("a")), atol=1e-9)


def test_precomputed_kernels_in_cross_validation(rng):
    data, y = views(rng)
    mixed = data.assign({"a": RBF(2.0).pairwise(data["a"].values(), data["a"].values())})
    model = MultipleKernelFusion(kernels={"a": "precomputed", "b": "rbf", "noise": "linear"})
    assert cross_val_score(model, mixed, y, cv=3).mean() > 0.7
    search = GridSearchCV(model, {"C": [0.1, 1.0], "weights": ["uniform", EasyMKL(0.5)]}, cv=2).fit(mixed, y)
    assert search.best_score_ > 0.7


def test_precomputed_kernels_that_are_none(rng):
    x = rng.standard_normal((20, 3))
    y = np.arange(20) % 2
    K = x @ x.T
    lopsided = K.copy()
    lopsided[0, 1] += 1
    model = MultipleKernelFusion(kernels={"text": "precomputed", "image": "rbf"})
    for wrong, match in (
        (K[:, :5], "'text'.*square"),
        (lopsided, "'text'.*k\\(i, j\\) = k\\(j, i\\)"),
        (-K, "'text'.*semi-definite"),
        (["words"] * 20, "'text' holds text"),
    ):
        with pytest.raises(ModalityError, match=match):
            model.fit({"text": wrong, "image": x}, y)
    with pytest.raises(ModalityError, match="cosine.*'text'"):
        model.set_params(normalise="cosine").fit({"text": K, "image": x}, y)
    single = K.astype(np.float32)  # the rounding of float32 is no asymmetry, and no negative eigenvalue
    model.set_params(normalise="variance").fit({"text": single, "image": x}, y)


# --- odd data --------------------------------------------------------------------------------------------------


def test_scales_do_not_matter(rng):
    data, y = views(rng)
    units = data.assign({"a": data["a"].values() * 1e8 + 1e9, "b": data["b"].values() * 1e-8})
    for kernels in ("linear", "rbf", "polynomial"):
        one, other = (MultipleKernelFusion(kernels=kernels).fit(d, y).transform(d) for d in (data, units))
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_constant_modality_gets_weight_0(rng):
    data, y = views(rng)
    flat = data.assign({"noise": np.ones((80, 2))})
    for method in METHODS:
        model = MultipleKernelFusion(method).fit(flat, y)
        assert model.weights_["noise"] == {"rbf": 0.0}
        without = MultipleKernelFusion(method).fit(data.select("a", "b"), y)
        np.testing.assert_allclose(model.transform(flat), without.transform(data.select("a", "b")), atol=1e-6)
    nothing = Modalities({"noise": np.ones((6, 1))})
    assert np.isfinite(MultipleKernelFusion().fit(nothing, [0, 1, 0, 1, 0, 1]).transform(nothing)).all()


def test_bad_settings_and_targets(rng, monkeypatch):
    data, y = views(rng)
    for settings, match in (
        ({"weights": "eazy"}, "'eazy'.*Did you mean 'easy'"),
        ({"C": 0.0}, "C > 0"),
        ({"normalise": "trace"}, "'trace'"),
        ({"kernels": "rdf"}, "'rdf' for 'a'"),
    ):
        with pytest.raises(ConfigError, match=match):
            MultipleKernelFusion().set_params(**settings).fit(data, y)
    with pytest.raises(ModalityError, match="unknown modalities \\['text'\\]"):
        MultipleKernelFusion(kernels={"text": "rbf"}).fit(data, y)
    with pytest.raises(ModalityError, match="at least two classes"):
        MultipleKernelFusion().fit(data, np.zeros(80, int))
    with pytest.raises(ModalityError, match="at least 2 rows"):
        MultipleKernelFusion().fit(data[:1], y[:1])
    monkeypatch.setattr(multiple_kernel, "MOST_ROWS", 79)
    with pytest.raises(ModalityError, match="\\['a', 'b', 'noise'\\].*80 rows"):
        MultipleKernelFusion().fit(data, y)


def test_two_rows():
    data = {"a": np.array([[0.0], [1.0]])}
    for method in METHODS:
        assert MultipleKernelFusion(method).fit(data, ["no", "yes"]).predict(data).tolist() == ["no", "yes"]


def test_what_was_learned_says_how_good_it_is(rng):
    data, y = views(rng)
    model = MultipleKernelFusion(SimpleMKL(tol=1e-4)).fit(data, y)
    assert model.gap_ <= 1e-4
    assert model.n_iter_ > 0
    aligned = {m: MultipleKernelFusion(m).fit(data, y) for m in METHODS}
    best = aligned["alignment"]
    assert np.isnan(best.gap_)
    assert best.n_iter_ == 0
    np.testing.assert_allclose(best.alignment_, best.objective_)
    assert all(best.alignment_ >= m.alignment_ - 1e-12 for m in aligned.values())
    assert list(best.kernel_weights().values()) == sorted(best.kernel_weights().values(), reverse=True)


def test_no_probabilities(rng):
    data, y = views(rng)
    assert not hasattr(MultipleKernelFusion().fit(data, y), "predict_proba")


def test_pictures_texts_and_saving(rng, tmp_path):
    y = np.arange(40) % 2
    pictures = rng.random((40, 8, 8, 1))
    pictures[y == 1, :4] += 1.0
    texts = [("red ball" if label else "blue cube") + f" number {i % 7}" for i, label in enumerate(y)]
    data = Modalities({"image": pictures, "text": texts, "size": rng.standard_normal((40, 2))})
    holes = data.without("text", slice(0, 8))
    widths = {"narrow": MedianRBF(0.5), "wide": MedianRBF(2.0)}
    model = MultipleKernelFusion("easy", kernels={"image": widths, "text": "cosine", "size": "linear"})
    model.fit(holes, y)
    assert model.score(data, y) == 1.0
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(holes), model.transform(holes))
    assert again.weights_ == model.weights_
    assert (again.predict(data) == y).all()
    quantities = MultipleKernelFusion().fit(holes, y + 0.5)
    again = load(save(quantities, tmp_path / "other"))
    np.testing.assert_array_equal(again.predict(data), quantities.predict(data))


def test_digits_six_views(real_data):
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    rows = np.random.default_rng(0).permutation(2000)
    data = Modalities({name: file[name][rows].astype(float) for name in file.files if name != "label"})
    y = file["label"][rows]
    model = MultipleKernelFusion("alignment", C=10.0).fit(data[:300], y[:300])
    single = MultipleKernelFusion(C=10.0).fit(data.select("fac")[:300], y[:300])
    assert model.score(data[300:800], y[300:800]) > max(
        0.95, single.score(data.select("fac")[300:800], y[300:800])
    )

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.naive_bayes import GaussianNB

from polymodal import Modalities, load, save
from polymodal.alignment import Gaussian, GaussianMixture
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import GaussianMixtureFusion, LateFusion
from polymodal.fusion.gaussian_mixture import bayes_information, conditional_mean, fit_mixtures

EXACT = {"prior": 0.0, "floor": 1e-12}
MEANS = {"sound": np.array([[0.0, 0.0], [1.0, 0.5], [0.0, 2.0]]), "image": np.array([[0.0], [1.0], [-1.0]])}
SPREADS = {"sound": np.array([[1.0, 0.4], [0.4, 0.8]]), "image": np.array([[0.5]])}
PRIOR = np.array([0.5, 0.3, 0.2])


def drawn(n: int, seed: int) -> tuple[Modalities, np.ndarray]:
    """Three classes of known normal densities, modalities independent given the class."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, size=n, p=PRIOR)
    columns = {
        name: MEANS[name][y] + rng.multivariate_normal(np.zeros(len(S)), S, size=n)
        for name, S in SPREADS.items()
    }
    return Modalities(columns), y


def true_posterior(data: Modalities) -> np.ndarray:
    logs = np.tile(np.log(PRIOR), (len(data), 1))
    for name, column in data.items():
        for k in range(3):
            density = multivariate_normal(MEANS[name][k], SPREADS[name])
            logs[column.present, k] += density.logpdf(np.asarray(column.observed()))
    p = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(p / p.sum(1, keepdims=True))


@pytest.mark.parametrize("joint", [False, True])
def test_the_true_posterior_is_found_also_of_rows_that_lack_a_modality(joint: bool) -> None:
    data, y = drawn(6000, 0)
    held, truth = drawn(3000, 1)
    model = GaussianMixtureFusion(joint=joint, covariance="full").fit(data, y)
    for rows in (held, held.without("sound", slice(0, 1000)), held.select("image")):
        right = true_posterior(rows)
        assert np.abs(model.predict_proba(rows) - right).mean() < 0.012
        bayes = (right.argmax(1) == truth).mean()
        assert abs(model.score(rows, truth) - bayes) < 0.01


def test_diagonal_is_naive_bayes_and_the_product_of_late_fusion() -> None:
    data, y = drawn(300, 2)
    model = GaussianMixtureFusion(**EXACT).fit(data, y)
    side = np.hstack([data["image"].values(), data["sound"].values()])
    nb = GaussianNB(var_smoothing=1e-14).fit(side, y)
    np.testing.assert_allclose(model.predict_proba(data), nb.predict_proba(side), atol=1e-8)
    late = LateFusion("product", model=GaussianNB(var_smoothing=1e-14)).fit(data, y)
    np.testing.assert_allclose(model.predict_proba(data), late.predict_proba(data), atol=1e-8)


def test_tied_is_linear_discriminant_analysis() -> None:
    data, y = drawn(300, 3)
    model = GaussianMixtureFusion(joint=True, covariance="tied", **EXACT).fit(data, y)
    side = np.hstack([data["image"].values(), data["sound"].values()])
    lda = LinearDiscriminantAnalysis(solver="lsqr").fit(side, y)
    np.testing.assert_allclose(model.predict_proba(data), lda.predict_proba(side), atol=1e-8)


def test_joint_of_independent_modalities_is_the_model_apart() -> None:
    data, y = drawn(200, 4)
    apart = GaussianMixtureFusion(covariance="full").fit(data, y)
    joint = GaussianMixtureFusion(joint=True).fit(data, y)
    mixtures = joint.mixtures_["joint"]
    parts = [apart.mixtures_[name].components for name in ("image", "sound")]
    S = np.zeros((3, 3, 3))
    S[:, :1, :1], S[:, 1:, 1:] = parts[0].covariances, parts[1].covariances
    gaussian = Gaussian("full", means=np.hstack([p.means for p in parts]), covariances=S)
    joint.mixtures_["joint"] = GaussianMixture(1, "full", weights=mixtures.weights, components=gaussian)
    np.testing.assert_allclose(joint.transform(data), apart.transform(data), atol=1e-8)


def test_dependence_between_modalities_needs_the_joint_model(rng: np.random.Generator) -> None:
    y = rng.integers(2, size=800)
    a = rng.normal(size=(800, 1))
    b = np.where(y == 1, 0.8, -0.8)[:, None] * a + 0.6 * rng.normal(size=(800, 1))
    data = Modalities({"a": a, "b": b})
    train, test = slice(0, 400), slice(400, 800)
    apart = GaussianMixtureFusion(covariance="full").fit(data[train], y[train])
    joint = GaussianMixtureFusion(joint=True).fit(data[train], y[train])
    assert apart.score(data[test], y[test]) < 0.58  # each modality alone is the same in both classes
    assert joint.score(data[test], y[test]) > 0.75
    np.testing.assert_allclose(joint.predict_proba(data.select("a")[:5]), 0.5, atol=0.1)


@pytest.mark.parametrize("joint", [False, True])
def test_a_modality_that_says_nothing_changes_nothing(joint: bool) -> None:
    data, y = drawn(200, 5)
    noise = np.tile([-1.0, 1.0], 100)[:, None]
    twice = np.repeat(
        np.arange(100), 2
    )  # every row once with either value: the same in all classes, whatever else they hold
    data, y = data[twice], y[twice]
    plain = GaussianMixtureFusion(joint=joint, **EXACT).fit(data, y)
    more = data.assign({"noise": noise})
    with_it = GaussianMixtureFusion(joint=joint, **EXACT).fit(more, y)
    np.testing.assert_allclose(with_it.predict_proba(more), plain.predict_proba(data), atol=1e-6)


def test_evidence_adds_up_and_names_the_modality_that_decides() -> None:
    data, y = drawn(300, 6)
    model = GaussianMixtureFusion(covariance="full").fit(data, y)
    some = data.without("image", [0])
    evidence = model.evidence(some)
    assert np.isnan(evidence["image"][0]).all()
    total = np.log(model.prior_) + np.nan_to_num(evidence["image"]) + evidence["sound"]
    np.testing.assert_allclose(total, model.transform(some), atol=1e-10)
    joint = GaussianMixtureFusion(joint=True).fit(data, y)
    alone = joint.transform(data.select("image")) - np.log(joint.prior_)
    np.testing.assert_allclose(joint.evidence(data)["image"], alone, atol=1e-10)


# --- expectation-maximisation -------------------------------------------------------------------------------------


def test_complete_data_equal_scikit_learn_from_the_same_start(rng: np.random.Generator) -> None:
    x = np.vstack([rng.normal(size=(60, 2)), rng.normal(size=(50, 2)) @ [[1, 0.5], [0, 1]] + 2.5])
    means, covariances, weights = np.array([[-1.0, 0.0], [2.0, 2.0]]), np.stack([np.eye(2)] * 2), [0.5, 0.5]
    start = Gaussian("full", 1e-12, means=means, covariances=covariances, spread=x.var(0))
    recipe = GaussianMixture(2, "full", 1e-12, weights=np.array([weights]), components=start)
    ours, history = fit_mixtures(x, np.zeros(110, dtype=np.int64), recipe, max_iter=25)
    theirs = SklearnMixture(
        2, means_init=means, precisions_init=covariances, weights_init=weights, reg_covar=0.0, tol=0.0, max_iter=len(history)
    )  # fmt: skip
    with pytest.warns(UserWarning, match="did not converge"):
        theirs.fit(x)
    np.testing.assert_allclose(ours.components.means, theirs.means_, atol=1e-9)
    np.testing.assert_allclose(ours.components.covariances, theirs.covariances_, atol=1e-9)
    np.testing.assert_allclose(ours.weights[0], theirs.weights_, atol=1e-9)


def test_with_missing_blocks_the_likelihood_never_falls_and_the_truth_is_found(
    rng: np.random.Generator,
) -> None:
    S = np.array([[1.0, 0.7, 0.2], [0.7, 1.0, 0.5], [0.2, 0.5, 1.0]])
    x = rng.multivariate_normal([1.0, -1.0, 0.0], S, size=4000)
    low = (
        x[:, 0] < 1.0
    )  # whether the second modality is there depends on the first: means of what is there are wrong
    data = Modalities({"a": x[:, :1], "b": x[:, 1:]}).without("b", low)
    y = np.repeat([0, 1], 2000)
    model = GaussianMixtureFusion(joint=True, **EXACT).fit(data, y)
    history = model.history_["joint"]
    assert len(history) > 3
    assert np.all(np.diff(history) >= -1e-7)
    found = model.mixtures_["joint"].components
    assert x[~low, 1].mean() > -0.6
    np.testing.assert_allclose(found.means.mean(0), [1.0, -1.0, 0.0], atol=0.08)
    np.testing.assert_allclose(found.covariances.mean(0), S, atol=0.12)


def test_bic_finds_the_number_of_components(rng: np.random.Generator) -> None:
    y = np.repeat([0, 1], 150)
    two = np.where(rng.random(300) < 0.5, -4.0, 4.0)[:, None] * np.where(y == 0, 1.0, 0.4)[:, None]
    data = {
        "two": two + rng.normal(size=(300, 1)) * 0.4,
        "one": rng.normal(size=(300, 2)) + y[:, None],
    }
    model = GaussianMixtureFusion((1, 2, 3)).fit(data, y)
    assert {name: m.n_components for name, m in model.mixtures_.items()} == {"one": 1, "two": 2}
    assert model.score(data, y) > 0.95
    assert GaussianMixtureFusion(1).fit(data, y).score(data, y) < model.score(data, y)


@pytest.mark.parametrize("covariance", ["diag", "full", "spherical"])
def test_bic_is_that_of_scikit_learn(covariance: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(80, 3)) + rng.integers(2, size=(80, 1)) * 4
    theirs = SklearnMixture(2, covariance_type=covariance, random_state=0).fit(x)
    parts = Gaussian(covariance, means=theirs.means_, covariances=theirs.covariances_)
    ours = GaussianMixture(2, covariance, weights=theirs.weights_[None], components=parts)
    assert bayes_information(ours, x, np.zeros(80, dtype=np.int64)) == pytest.approx(theirs.bic(x))


def test_bic_of_a_tied_covariance_counts_it_once(rng: np.random.Generator) -> None:
    x = rng.normal(size=(80, 3))
    theirs = SklearnMixture(2, covariance_type="tied", random_state=0).fit(x)
    parts = Gaussian("tied", means=theirs.means_, covariances=theirs.covariances_)
    ours = GaussianMixture(2, "tied", weights=theirs.weights_[None], components=parts)
    assert bayes_information(ours, x, np.zeros(80, dtype=np.int64)) == pytest.approx(theirs.bic(x))


# --- conditional means ----------------------------------------------------------------------------------------------


def test_quantities_are_least_squares(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 3))
    y = np.stack([x @ [1.0, -2.0, 0.5] + rng.normal(size=60), x @ [0.0, 1.0, 1.0]], axis=1)
    data = {"a": x[:, :2], "b": x[:, 2:]}
    model = GaussianMixtureFusion(joint=True, **EXACT).fit(data, y)
    least = LinearRegression().fit(x, y)
    np.testing.assert_allclose(model.predict(data), least.predict(x), atol=1e-5)
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "evidence")
    alone = LinearRegression().fit(x[:, :2], y)
    np.testing.assert_allclose(model.predict({"a": x[:, :2]}), alone.predict(x[:, :2]), atol=1e-5)
    flat = GaussianMixtureFusion(joint=True, **EXACT).fit(data, y[:, 0])
    assert flat.predict(data).shape == (60,)
    assert flat.score(data, y[:, 0]) == pytest.approx(LinearRegression().fit(x, y[:, 0]).score(x, y[:, 0]))


def test_a_mixture_regression_bends(rng: np.random.Generator) -> None:
    x = rng.uniform(-2, 2, size=(400, 1))
    y = np.abs(x[:, 0]) + 0.05 * rng.normal(size=400)
    straight = GaussianMixtureFusion(1, joint=True).fit({"x": x}, y)
    bent = GaussianMixtureFusion(2, joint=True, prior=0.0).fit({"x": x}, y)
    assert straight.score({"x": x}, y) < 0.1
    assert bent.score({"x": x}, y) > 0.9


def test_conditional_mean_by_enumeration() -> None:
    S = np.array([[[2.0, 0.6], [0.6, 1.0]], [[1.0, -0.5], [-0.5, 1.5]]])
    means = np.array([[0.0, 1.0], [3.0, -1.0]])
    mixtures = GaussianMixture(
        2, "full", weights=np.array([[0.3, 0.7]]), components=Gaussian("full", means=means, covariances=S)
    )
    x = 1.2
    w = [0.3, 0.7] * np.array(
        [multivariate_normal(m[0], c[0, 0]).pdf(x) for m, c in zip(means, S, strict=True)]
    )
    each = [m[1] + c[1, 0] / c[0, 0] * (x - m[0]) for m, c in zip(means, S, strict=True)]
    got = conditional_mean(mixtures, np.array([[x, 99.0]]), slice(1, 2), np.ones(1))
    assert got[0, 0] == pytest.approx(w @ each / w.sum(), abs=1e-12)


def test_generate_a_missing_modality(rng: np.random.Generator) -> None:
    a = rng.normal(size=(500, 2))
    b = a @ [[2.0], [-1.0]] + 3 + 0.1 * rng.normal(size=(500, 1))
    y = (a[:, 0] > 0).astype(int)
    data = Modalities({"a": a, "b": b})
    joint = GaussianMixtureFusion(joint=True).fit(data, y)
    assert np.abs(joint.generate(data.select("a"), "b") - b).mean() < 0.15
    np.testing.assert_array_equal(joint.generate(data, "b"), joint.generate(data.select("a"), "b"))
    apart = GaussianMixtureFusion(2).fit(data, y)
    classes = np.array([b[y == k].mean() for k in (0, 1)])
    expected = apart.predict_proba(data.select("a")) @ classes
    np.testing.assert_allclose(apart.generate(data, "b")[:, 0], expected, atol=0.02)
    with pytest.raises(ModalityError, match="other than 'b'"):
        joint.generate(data.select("b"), "b")
    with pytest.raises(ModalityError, match="'nobody'"):
        joint.generate(data, "nobody")


# --- edges ----------------------------------------------------------------------------------------------------------


def test_a_class_that_never_shows_a_modality_gets_no_evidence_from_it() -> None:
    data, y = drawn(200, 7)
    some = data.without("image", y == 2)
    model = GaussianMixtureFusion().fit(some, y)
    said = model.predict_proba(data.select("image"))
    np.testing.assert_allclose(said[:, 2], model.prior_[2], atol=1e-12)
    assert model.generate(data, "image").shape == (200, 1)
    with pytest.raises(ModalityError, match=r"no row of \[2\] has 'image'"):
        GaussianMixtureFusion(joint=True).fit(some, y)


def test_thousands_of_features_and_forty_rows(rng: np.random.Generator) -> None:
    y = np.tile([0, 1], 20)
    data = {"wide": rng.normal(size=(40, 2000)) + 0.15 * y[:, None], "tiny": rng.normal(size=(40, 1))}
    model = GaussianMixtureFusion().fit(data, y)
    assert np.isfinite(model.transform(data)).all()
    fresh = {"wide": rng.normal(size=(40, 2000)) + 0.15 * y[:, None], "tiny": rng.normal(size=(40, 1))}
    assert model.score(fresh, y) > 0.8


def test_texts_and_vectors_together(tmp_path) -> None:
    words = ["a red car", "a red bus", "the red van", "blue sea", "the blue sky", "blue lake"] * 4
    data = Modalities({"words": words, "x": np.arange(24.0)[:, None]})
    y = np.array((["car"] * 3 + ["water"] * 3) * 4)
    model = GaussianMixtureFusion(joint=True, covariance="diag").fit(data, y)
    assert model.score(data, y) == 1.0
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(data), model.transform(data))
    assert again.predict(data[:1]).tolist() == ["car"]
    with pytest.raises(ModalityError, match="fitted as vectors"):
        model.generate(data, "words")
    assert model.generate(data, "x").shape == (24, 1)


def test_a_quantity_model_saves_and_refits_as_classes(tmp_path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 2))
    model = GaussianMixtureFusion(joint=True).fit({"x": x}, x[:, 0] + 1)
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict({"x": x}), model.predict({"x": x}))
    assert model.fit({"x": x}, (x[:, 0] > 0).astype(int)).predict_proba({"x": x}).shape == (30, 2)
    assert model.fit({"x": x}, x[:, 0] + 1).predict({"x": x}).shape == (30,)


def test_what_cannot_be_is_refused(rng: np.random.Generator) -> None:
    x = {"x": rng.normal(size=(10, 2))}
    y = np.tile([0, 1], 5)
    with pytest.raises(ConfigError, match="n_components must be"):
        GaussianMixtureFusion(0).fit(x, y)
    with pytest.raises(ConfigError, match="n_components must be"):
        GaussianMixtureFusion(()).fit(x, y)
    with pytest.raises(ConfigError, match="say joint=True"):
        GaussianMixtureFusion().fit(x, y + 0.5)
    with pytest.raises(ModalityError, match="Fit one model for each label"):
        GaussianMixtureFusion().fit(x, np.stack([y, 1 - y], axis=1))
    with pytest.raises(ModalityError, match="one class per row"):
        GaussianMixtureFusion(task="classification").fit(x, np.stack([y, 1 - y], axis=1))
    with pytest.raises(ModalityError, match="floor in"):
        GaussianMixtureFusion(floor=0.0).fit(x, y)
    with pytest.raises(ModalityError, match="with parameters"):
        conditional_mean(GaussianMixture(), np.zeros((1, 2)), slice(0, 1), np.ones(1))


def test_a_constant_modality(rng: np.random.Generator) -> None:
    y = np.tile([0, 1], 10)
    model = GaussianMixtureFusion(2, joint=True).fit({"x": np.ones((20, 2)), "z": y[:, None] + 0.0}, y)
    assert model.score({"x": np.ones((20, 2)), "z": y[:, None] + 0.0}, y) == 1.0


def test_a_modality_may_be_called_joint_and_a_class_may_be_one_row(rng: np.random.Generator) -> None:
    y = np.array([0] + [1] * 9)
    data = {"joint": rng.normal(size=(10, 2)), "b": rng.normal(size=(10, 1))}
    for joint in (False, True):
        model = GaussianMixtureFusion(3, joint=joint).fit(data, y)
        assert np.isfinite(model.transform(data)).all()
        assert model.generate(data, "b").shape == (10, 1)
    apart = GaussianMixtureFusion().fit(data, y)
    total = np.log(apart.prior_) + sum(apart.evidence(data).values())
    np.testing.assert_allclose(apart.transform(data), total, atol=1e-10)


@pytest.mark.parametrize("joint", [False, True])
def test_with_known_parameters_the_posterior_is_the_analytic_one(joint: bool) -> None:
    data, y = drawn(60, 8)
    model = GaussianMixtureFusion(joint=joint, covariance="full").fit(data, y)
    blocks = {name: (MEANS[name], np.stack([SPREADS[name]] * 3)) for name in ("image", "sound")}
    if joint:
        S = np.zeros((3, 3, 3))
        S[:, :1, :1], S[:, 1:, 1:] = SPREADS["image"], SPREADS["sound"]
        blocks = {"joint": (np.hstack([MEANS["image"], MEANS["sound"]]), S)}
    model.prior_ = PRIOR
    for name, (means, covariances) in blocks.items():
        known = Gaussian("full", means=means, covariances=covariances)
        model.mixtures_[name] = GaussianMixture(1, "full", weights=np.ones((3, 1)), components=known)
    some = data.without("sound", slice(0, 20)).without("image", slice(20, 40))
    np.testing.assert_allclose(model.predict_proba(some), true_posterior(some), atol=1e-12)


def test_a_second_block_missing_on_some_rows_has_a_closed_form(rng: np.random.Generator) -> None:
    """Anderson 1957: a from all rows, b given a from the rows that have it."""
    a = rng.normal(size=(80, 1))
    b = 0.7 * a + 0.5 * rng.normal(size=(80, 1)) + 2
    has = a[:, 0] < 0.4
    x = np.hstack([a, np.where(has[:, None], b, np.nan)])
    recipe = GaussianMixture(1, "full", 1e-12)
    found, history = fit_mixtures(x, np.zeros(80, dtype=np.int64), recipe, max_iter=500)
    slope, intercept = np.polyfit(a[has, 0], b[has, 0], 1)
    residual = (b[has, 0] - slope * a[has, 0] - intercept).var()
    mean = np.array([a.mean(), intercept + slope * a.mean()])
    S = np.array([[a.var(), slope * a.var()], [slope * a.var(), residual + slope**2 * a.var()]])
    np.testing.assert_allclose(found.components.means[0], mean, atol=2e-3)
    np.testing.assert_allclose(found.components.covariances[0], S, atol=2e-3)
    assert np.all(np.diff(history) > -1e-9)

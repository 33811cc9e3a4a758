"""Late fusion: Kittler's rules against exact posteriors, honest stacking, nothing imputed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import polymodal
from polymodal import LateFusion, Modalities, Ragged
from polymodal.core.errors import ConfigError, ModalityError, ModelFormatError
from polymodal.fusion import EarlyFusion, HiddenMarkovFusion


def two_gaussians(rng: np.random.Generator, n: int = 300) -> tuple[Modalities, np.ndarray]:
    y = (rng.random(n) < 0.3).astype(int)
    return Modalities({"a": rng.normal(y[:, None] * 1.0), "b": rng.normal(y[:, None] * 2.0, 1.5)}), y


# --- the estimator ----------------------------------------------------------------------------------------------


def test_product_of_naive_bayes_is_naive_bayes_on_everything(rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng)
    late = LateFusion("product", model=GaussianNB(var_smoothing=0.0)).fit(data, y)
    early = GaussianNB(var_smoothing=0.0)
    both = np.hstack([data["a"].values(), data["b"].values()])
    np.testing.assert_allclose(late.predict_proba(data), early.fit(both, y).predict_proba(both), atol=1e-8)


@pytest.mark.parametrize("rule", ["mean", "product"])
def test_one_modality_is_the_model_alone(rule: str, rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng)
    late = LateFusion(rule).fit(data.select("b"), y)
    alone = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(data["b"].values(), y)
    np.testing.assert_allclose(
        late.predict_proba(data.select("b")), alone.predict_proba(data["b"].values()), atol=1e-9
    )


@pytest.mark.parametrize("rule", ["mean", "product", "vote"])
def test_a_row_that_lacks_a_modality_gets_what_the_rest_says(rule: str, rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng)
    both, alone = LateFusion(rule).fit(data, y), LateFusion(rule).fit(data.select("a"), y)
    np.testing.assert_allclose(
        both.predict_proba(data.without("b")), alone.predict_proba(data.select("a")), atol=1e-9
    )


@pytest.mark.parametrize("rule", ["mean", "product", "vote", "stacking"])
@pytest.mark.parametrize("weights", ["equal", "validation"])
def test_every_rule_beats_or_equals_its_worst_modality_and_sums_to_one(
    rule, weights, rng: np.random.Generator
) -> None:
    data, y = two_gaussians(rng)
    names = np.array(["no", "yes"])[y]
    model = LateFusion(rule, weights=weights, cv=3).fit(data[:200], names[:200])
    np.testing.assert_allclose(model.predict_proba(data).sum(axis=1), 1.0)
    alone = [
        LateFusion().fit(data.select(m)[:200], names[:200]).score(data.select(m)[200:], names[200:])
        for m in data
    ]
    assert model.score(data[200:], names[200:]) >= min(alone) - 0.02
    assert list(model.classes_) == ["no", "yes"]


def test_stacking_is_learned_on_answers_out_of_fold(rng: np.random.Generator) -> None:
    """A model that knows its training rows by heart must not convince the second one."""
    signal = rng.normal(size=(200, 1))
    y = (signal[:, 0] + 0.5 * rng.normal(size=200) > 0).astype(int)
    data = Modalities({"noise": rng.normal(size=(200, 2)), "signal": signal})
    forest = RandomForestClassifier(20, random_state=0)
    model = LateFusion("stacking", model={"noise": forest}, cv=4).fit(data[:150], y[:150])
    held = model._out_of_fold[:, 0, 0].argmax(axis=1)
    assert (held == y[:150]).mean() < 0.7  # in the fold it would be 1
    assert model.score(data[150:], y[150:]) > 0.75


def test_stacking_knows_every_set_of_modalities(rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng)
    model = LateFusion("stacking", cv=3).fit(data, y)
    assert model.score(data.select("b"), y) > 0.75
    apart = data.without("a", slice(0, 150)).without("b", slice(150, 300))
    never_met = LateFusion("stacking", cv=3).fit(apart, y)
    assert never_met.score(data, y) > 0.75


def test_weights_follow_the_noise(rng: np.random.Generator) -> None:
    y = rng.normal(size=400)
    data = Modalities(
        {"good": y[:, None] + 0.2 * rng.normal(size=(400, 1)), "bad": y[:, None] + rng.normal(size=(400, 1))}
    )
    blue = LateFusion(weights="validation").fit(data, y)
    assert blue.weights_["good"] > 5 * blue.weights_["bad"]
    equal = LateFusion().fit(data, y)
    assert blue.score(data, y) > equal.score(data, y)
    joint = LinearRegression().fit(np.hstack([data["good"].values(), data["bad"].values()]), y)
    exact = joint.score(np.hstack([data["good"].values(), data["bad"].values()]), y)
    assert LateFusion("product").fit(data, y).score(data, y) == pytest.approx(exact, abs=2e-3)
    assert LateFusion("stacking").fit(data, y).score(data, y) == pytest.approx(exact, abs=5e-3)


def test_given_weights(rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng)
    only_b = LateFusion(weights={"a": 0.0, "b": 2.0}).fit(data, y)
    alone = LateFusion().fit(data.select("b"), y)
    np.testing.assert_allclose(only_b.predict_proba(data), alone.predict_proba(data.select("b")))
    np.testing.assert_allclose(
        only_b.predict_proba(data.without("b")).sum(axis=1), 1.0
    )  # better than nothing


def test_labels_and_several_quantities(rng: np.random.Generator) -> None:
    a = rng.normal(size=(120, 3))
    data = Modalities({"a": a, "b": a + 0.1 * rng.normal(size=(120, 3))})
    labels = (a[:, :2] > 0).astype(int)
    for rule in ("mean", "product", "vote", "stacking"):
        model = LateFusion(rule, cv=3).fit(data, labels)
        assert model.predict_proba(data).shape == (120, 2)
        assert model.score(data, labels) > 0.8
    quantities = LateFusion("product").fit(data, 10 * a[:, :2] + 5)
    assert quantities.predict(data).shape == (120, 2)
    assert quantities.score(data, 10 * a[:, :2] + 5) > 0.95


def test_a_class_that_a_modality_never_showed_keeps_its_prior(rng: np.random.Generator) -> None:
    y = np.repeat([0, 1, 2], 20)
    data = Modalities({"a": rng.normal(y[:, None] * 3.0), "b": rng.normal(y[:, None] * 3.0)}).without(
        "b", y == 2
    )
    model = LateFusion("product").fit(data, y)
    said = model.predict_proba({"b": rng.normal(size=(5, 1))})
    np.testing.assert_allclose(said[:, 2], 1 / 3, atol=1e-9)
    assert model.score(data, y) > 0.8


def test_shared_values_stay_in_one_fold(rng: np.random.Generator) -> None:
    from polymodal.core.links import linked_rows
    from polymodal.core.target import Target
    from polymodal.fusion._members import draw_folds

    keys = np.repeat(np.arange(20), 3)
    data = Modalities.join(
        {"image": rng.normal(size=(20, 2)), "text": rng.normal(size=(60, 2))},
        on={"image": list(range(20)), "text": keys.tolist()},
    )
    y = np.repeat(np.arange(20) % 2, 3)
    assert len(np.unique(linked_rows([column.index for _, column in data.items()]))) == 20
    folds = draw_folds(data, y, Target.of(y), 4, np.random.default_rng(0))
    assert all(len(np.unique(folds[keys == key])) == 1 for key in range(20))
    assert [y[folds == fold].mean() for fold in range(4)] == pytest.approx([0.5] * 4, abs=0.11)
    one = Modalities.join(
        {"image": rng.normal(size=(1, 2)), "text": rng.normal(size=(9, 2))},
        on={"image": [0], "text": [0] * 9},
    )
    with pytest.raises(ModalityError, match="tied"):
        LateFusion(weights="validation").fit(one, np.arange(9) % 2)


def test_works_in_scikit_learn(rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng, 120)
    assert cross_val_score(LateFusion(), data, y, cv=3, scoring="roc_auc").mean() > 0.7
    search = GridSearchCV(LateFusion(), {"rule": ["mean", "product", "vote"]}, cv=2).fit(data, y)
    assert search.best_score_ > 0.7


def test_saved_and_loaded_it_says_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    data, y = two_gaussians(rng, 120)
    for rule in ("mean", "stacking"):
        model = LateFusion(rule, model={"a": LogisticRegression(C=0.1)}, cv=3).fit(data, y)
        again = polymodal.load(polymodal.save(model, tmp_path / rule))
        np.testing.assert_array_equal(again.predict_proba(data), model.predict_proba(data))
    forest = LateFusion(model=RandomForestClassifier(5)).fit(data, y)
    with pytest.raises(ModelFormatError, match="RandomForestClassifier"):
        polymodal.save(forest, tmp_path / "forest")


def test_texts_become_vectors_first() -> None:
    texts = ["a red apple", "a green apple", "the red car", "the green car"] * 8
    y = np.array(["fruit", "fruit", "vehicle", "vehicle"] * 8)
    data = Modalities({"text": texts, "weight": np.tile([0.1, 0.12, 900.0, 950.0], 8)})
    model = LateFusion().fit(data, y)
    assert model.score(data, y) == 1.0
    assert model.predict({"text": ["an apple"]}).tolist() == ["fruit"]


def test_refusals(rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng, 40)
    with pytest.raises(ConfigError, match="cv"):
        LateFusion(cv=1).fit(data, y)
    with pytest.raises(ModalityError, match="vote"):
        LateFusion("vote").fit(data, y * 1.0)
    with pytest.raises(ModalityError, match="'a'.*LinearSVC lacks predict_proba"):
        LateFusion(model=LinearSVC()).fit(data, y)
    assert LateFusion("vote", model=LinearSVC()).fit(data, y).score(data, y) > 0.6
    with pytest.raises(ModalityError, match="weights must name every modality"):
        LateFusion(weights={"a": 1.0}).fit(data, y)
    with pytest.raises(ModalityError, match="Unknown modalities"):
        LateFusion(model={"c": GaussianNB()}).fit(data, y)
    regression = LateFusion().fit(data, y * 1.0)
    assert not hasattr(regression, "predict_proba")


# --- weights from noise and confidence ----------------------------------------------------------------------------


class Reading(RegressorMixin, BaseEstimator):
    """An instrument: says what it reads, in the units of a target with this mean and scale."""

    def __init__(self, mean: float = 0.0, scale: float = 1.0) -> None:
        self.mean = mean
        self.scale = scale

    def fit(self, X: np.ndarray, y: np.ndarray) -> Reading:
        self.fitted_ = True
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return (X[:, 0] - self.mean) / self.scale


def instruments(rng: np.random.Generator, n: int) -> tuple[Modalities, np.ndarray, dict[str, float]]:
    y = rng.normal(3.0, 2.0, n)
    noise = {"a": 1.0, "b": 4.0, "c": 0.25}
    return Modalities({m: (y + rng.normal(0, v**0.5, n))[:, None] for m, v in noise.items()}), y, noise


def test_known_noise_gives_the_least_variance_of_readings(rng: np.random.Generator) -> None:
    """1 / (1 + 1/4 + 4) = 0.1905; equal weights leave (1 + 4 + 0.25) / 9 = 0.5833."""
    data, y, noise = instruments(rng, 20_000)
    reading = Reading(y.mean(), y.std())
    inverse = LateFusion(model=reading, weights={m: 1 / v for m, v in noise.items()}).fit(data, y)
    assert ((inverse.predict(data) - y) ** 2).mean() == pytest.approx(1 / 5.25, rel=0.03)
    by_noise = LateFusion(model=reading, weights="noise", noise=noise).fit(data, y)
    assert ((by_noise.predict(data) - y) ** 2).mean() == pytest.approx(1 / 5.25, rel=0.03)
    ratio = {m: float(w[0]) for m, w in by_noise.weights_.items()}
    assert ratio == pytest.approx({m: 4 / v for m, v in noise.items()}, rel=0.05)  # Var(y) / noise
    equal = LateFusion(model=reading).fit(data, y)
    assert ((equal.predict(data) - y) ** 2).mean() == pytest.approx(5.25 / 9, rel=0.03)
    without_c = ((by_noise.predict(data.drop("c")) - y) ** 2).mean()
    assert without_c == pytest.approx(1 / 1.25, rel=0.03)


def test_the_gain_of_a_channel_does_not_matter(rng: np.random.Generator) -> None:
    data, y, noise = instruments(rng, 500)
    loud = data.assign({"b": data["b"].values() * 100})
    one = LateFusion("product", weights="noise", noise=noise).fit(data, y)
    other = LateFusion("product", weights="noise", noise={**noise, "b": noise["b"] * 1e4}).fit(loud, y)
    np.testing.assert_allclose(other.predict(loud), one.predict(data), rtol=1e-6)


def test_product_by_known_noise_is_the_exact_posterior_mean(rng: np.random.Generator) -> None:
    """y ~ N(3, 4): precision 1/4 + 5.25; each regression alone shrinks, and the product undoes the repeated shrinking."""
    data, y, noise = instruments(rng, 20_000)
    model = LateFusion("product", model=LinearRegression(), weights="noise", noise=noise).fit(data, y)
    pulled = sum(data[m].values()[:, 0] / v for m, v in noise.items()) + 3.0 / 4
    np.testing.assert_allclose(model.predict(data), pulled / (5.25 + 0.25), atol=0.06)
    assert ((model.predict(data) - y) ** 2).mean() == pytest.approx(1 / 5.5, rel=0.03)


def test_a_recording_that_gets_noisy_counts_less(rng: np.random.Generator) -> None:
    def curves(noise: np.ndarray) -> Ragged:
        times = np.linspace(0, np.pi, 60)
        return Ragged.of(
            [y[i] + np.sin(times)[:, None] + s * rng.normal(size=(60, 1)) for i, s in enumerate(noise)]
        )

    y = rng.normal(size=200)
    still = np.full(200, 0.05)
    data = Modalities({"a": curves(still), "b": curves(still)})
    model = LateFusion(weights="noise").fit(data, y)
    noisy = Modalities({"a": curves(np.where(np.arange(200) < 100, 3.0, 0.05)), "b": curves(still)})
    ratios = model._ratios(noisy)
    assert ratios[:100, 1].mean() / ratios[:100, 0].mean() == pytest.approx((3.0 / 0.05) ** 2, rel=0.2)
    equal = LateFusion().fit(data, y)
    assert 1 - model.score(noisy, y) < 0.25 * (1 - equal.score(noisy, y))


def test_confidence_is_one_over_entropy(rng: np.random.Generator) -> None:
    data, y = two_gaussians(rng)
    model = LateFusion(weights="confidence").fit(data, y)
    each = {m: model.predict_proba(data.select(m)) for m in data}
    weight = {m: np.log(2) / -(p * np.log(p)).sum(axis=1) for m, p in each.items()}
    expected = (weight["a"][:, None] * each["a"] + weight["b"][:, None] * each["b"]) / (
        weight["a"] + weight["b"]
    )[:, None]
    np.testing.assert_allclose(model.predict_proba(data), expected, rtol=1e-9)


def test_confidence_of_quantities_is_one_over_the_predicted_variance(rng: np.random.Generator) -> None:
    data, y, _ = instruments(rng, 60)
    model = LateFusion(model=BayesianRidge(), weights="confidence").fit(data, y)
    standard = (y - y.mean()) / y.std()
    said = [
        BayesianRidge().fit(data[m].values(), standard).predict(data[m].values(), return_std=True)
        for m in data
    ]
    precision = np.array([1 / std**2 for _, std in said])
    expected = (precision * np.array([mean for mean, _ in said])).sum(axis=0) / precision.sum(axis=0)
    np.testing.assert_allclose(model.predict(data), expected * y.std() + y.mean(), rtol=1e-9)
    assert LateFusion(weights="confidence").fit(data, y).score(data, y) > 0.9
    with pytest.raises(ModalityError, match="'a', LinearRegression"):
        LateFusion(model=LinearRegression(), weights="confidence").fit(data, y)


def test_weights_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    data, y, noise = instruments(rng, 40)
    with pytest.raises(ModalityError, match="'a' is vector"):
        LateFusion(weights="noise").fit(data, y)
    with pytest.raises(ModalityError, match="Unknown modalities"):
        LateFusion(weights="noise", noise={"z": 1.0}).fit(data, y)
    with pytest.raises(ModalityError, match="noise of 'b' must be a variance"):
        LateFusion(weights="noise", noise={**noise, "b": 0.0}).fit(data, y)
    with pytest.raises(ConfigError, match="weights='noise' only"):
        LateFusion(noise=noise).fit(data, y)
    with pytest.raises(ConfigError, match="learns its weights"):
        LateFusion("stacking", weights="confidence").fit(data, y)
    with pytest.raises(ConfigError, match="Did you mean 'equal'"):
        LateFusion().set_params(weights="equall").fit(data, y)


def test_saved_with_its_noise_and_its_spread(rng: np.random.Generator, tmp_path: Path) -> None:
    data, y, noise = instruments(rng, 40)
    pictures = data.assign({"a": rng.normal(size=(40, 5, 5)) + y[:, None, None]})
    by_noise = LateFusion(weights="noise", noise={"b": noise["b"], "c": noise["c"]}).fit(pictures, y)
    sure = LateFusion(weights="confidence").fit(pictures, y)
    for model in (by_noise, sure):
        again = polymodal.load(polymodal.save(model, tmp_path / "model"))
        np.testing.assert_array_equal(again.predict(pictures), model.predict(pictures))


# --- models of this package -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["mean", "product", "vote", "stacking"])
def test_a_model_of_this_package_gets_the_modality_as_it_is(rule, rng: np.random.Generator) -> None:
    """Standardising twice changes nothing: EarlyFusion of one modality is the default model."""
    data, y = two_gaussians(rng, 120)
    holes = data.without("a", slice(0, 20))
    plain, own = LateFusion(rule, cv=3), LateFusion(rule, model={"a": EarlyFusion()}, cv=3)
    np.testing.assert_allclose(
        own.fit(holes, y).predict_proba(holes), plain.fit(holes, y).predict_proba(holes), atol=1e-6
    )


def test_labels_and_quantities_of_a_model_of_this_package(rng: np.random.Generator, tmp_path: Path) -> None:
    a = rng.normal(size=(80, 3))
    data = Modalities({"a": a, "b": a + 0.1 * rng.normal(size=(80, 3))})
    for y in ((a[:, :2] > 0).astype(int), 5 + a[:, :2], 5 + a[:, 0]):
        own = LateFusion("mean", model=EarlyFusion()).fit(data, y)
        plain = LateFusion().fit(data, y)
        np.testing.assert_allclose(own.transform(data), plain.transform(data), atol=1e-5)
        again = polymodal.load(polymodal.save(own, tmp_path / "model"))
        np.testing.assert_array_equal(again.predict(data), own.predict(data))


def test_a_model_of_this_package_gets_texts_as_they_are(rng: np.random.Generator) -> None:
    y = np.arange(40) % 2
    texts = [f"{'good' if k else 'bad'} thing {i}" for i, k in enumerate(y)]
    data = Modalities({"text": texts, "table": rng.normal(size=(40, 2))})
    own, plain = LateFusion(model={"text": EarlyFusion()}).fit(data, y), LateFusion().fit(data, y)
    assert own._vectorizer is None
    np.testing.assert_allclose(own.predict_proba(data), plain.predict_proba(data), atol=1e-5)


def test_sequences_by_hidden_markov_models(rng: np.random.Generator) -> None:
    """What tells is the order of the steps: their means are equal."""
    y = np.arange(40) % 2
    rises = [np.repeat([-1.0, 1.0] if k else [1.0, -1.0], 6)[:, None] for k in y]
    data = Modalities(
        {m: Ragged.of([course + 0.3 * rng.normal(size=(12, 1)) for course in rises]) for m in ("p", "q")}
    )
    chains = HiddenMarkovFusion(2, random_state=0)
    for model in (LateFusion(model=chains), EarlyFusion(chains, mode="channels")):
        assert model.fit(data[:24], y[:24]).score(data[24:], y[24:]) == 1.0


def test_a_modality_that_always_names_the_common_class_gets_no_weight(rng: np.random.Generator) -> None:
    y = np.where(rng.random(400) < 0.8, "common", "rare")
    told = (y == "rare") + 0.4 * rng.normal(size=400)
    data = {"text": told[:, None], "table": rng.normal(size=(400, 3))}
    model = LateFusion(weights="validation", random_state=0).fit(data, y)
    assert model.weights_["table"][0] < 0.05 * model.weights_["text"][0]
    alone = LateFusion().fit({"text": data["text"]}, y).predict_proba({"text": data["text"]})
    np.testing.assert_allclose(model.predict_proba(data), alone, atol=0.02)

"""Late fusion: Kittler's rules against exact posteriors, honest stacking, nothing imputed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import polymodal
from polymodal import LateFusion, Modalities
from polymodal.core.errors import ConfigError, ModalityError, ModelFormatError
from polymodal.fusion import gaussian_product, mean_rule, product_rule, vote_rule, vote_weight

ALL = np.ones((1, 2), dtype=bool)


def two_gaussians(rng: np.random.Generator, n: int = 300) -> tuple[Modalities, np.ndarray]:
    y = (rng.random(n) < 0.3).astype(int)
    return Modalities({"a": rng.normal(y[:, None] * 1.0), "b": rng.normal(y[:, None] * 2.0, 1.5)}), y


# --- the rules --------------------------------------------------------------------------------------------------


def test_product_rule_is_the_exact_posterior_of_independent_gaussians() -> None:
    prior = np.array([0.7, 0.3])
    xa, xb = np.linspace(-3, 4, 15), np.linspace(4, -3, 15)
    like_a = np.stack([norm.pdf(xa, k * 1.0, 1.0) for k in (0, 1)], axis=1)
    like_b = np.stack([norm.pdf(xb, k * 2.0, 1.5) for k in (0, 1)], axis=1)
    single = [prior * like / (prior * like).sum(axis=1, keepdims=True) for like in (like_a, like_b)]
    joint = prior * like_a * like_b
    combined = product_rule(np.stack(single, axis=1), np.ones((15, 2), dtype=bool), np.ones(2), prior)
    np.testing.assert_allclose(combined, joint / joint.sum(axis=1, keepdims=True), atol=1e-9)


def test_best_linear_unbiased_estimate_has_variance_one_over_the_sum(rng: np.random.Generator) -> None:
    variances = np.array([1.0, 4.0, 0.25])
    readings = rng.normal(0.0, np.sqrt(variances), size=(200_000, 3))[:, :, None]
    present = np.ones((200_000, 3), dtype=bool)
    combined = mean_rule(readings, present, (1 / variances)[:, None])
    assert combined.var() == pytest.approx(1 / (1 / variances).sum(), rel=0.02)
    assert mean_rule(readings, present, np.ones((3, 1))).var() == pytest.approx(variances.sum() / 9, rel=0.02)


def test_gaussian_product_is_the_exact_posterior_mean() -> None:
    v0, noise = 2.0, np.array([0.5, 3.0])  # y ~ N(1, 2), x_m = y + noise
    x = np.array([[2.0, -1.0]])
    variance = 1 / (1 / v0 + 1 / noise)
    single = variance * (1.0 / v0 + x / noise)
    exact = (1.0 / v0 + (x / noise).sum()) / (1 / v0 + (1 / noise).sum())
    got = gaussian_product(single[:, :, None], ALL, variance[:, None], np.array([1.0]), np.array([v0]))
    assert got[0, 0] == pytest.approx(exact, abs=1e-12)
    flat = gaussian_product(single[:, :, None], ALL, variance[:, None], np.array([1.0]), np.array([1e12]))
    np.testing.assert_allclose(flat, mean_rule(single[:, :, None], ALL, 1 / variance[:, None]), rtol=1e-9)


def test_votes_and_their_weights() -> None:
    answers = np.array([[[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]])
    present = np.ones((1, 3), dtype=bool)
    np.testing.assert_allclose(vote_rule(answers, present, np.ones(3)), [[2 / 3, 1 / 3]], atol=1e-5)
    assert vote_rule(answers, present, np.array([1.0, 1.0, 5.0])).argmax() == 1
    tie = vote_rule(answers[:, 1:], ALL, np.ones(2))
    assert tie.argmax() == 0  # one vote each: the surer one decides
    assert vote_weight(0.9, 2) == pytest.approx(np.log(9))
    assert vote_weight(1 / 3, 3) == pytest.approx(0, abs=1e-12)
    assert vote_weight(0.1, 2) == 0


@pytest.mark.parametrize("rule", ["mean", "product", "vote"])
def test_absent_members_are_left_out(rule: str, rng: np.random.Generator) -> None:
    answers = rng.dirichlet(np.ones(3), size=(5, 2))
    alone = {"mean": lambda a, p, w: mean_rule(a, p, np.tile(w[:, None], (1, 3))), "vote": vote_rule}.get(
        rule, lambda a, p, w: product_rule(a, p, w, np.full(3, 1 / 3))
    )
    holes = answers.copy()
    holes[:, 1] = np.nan
    first = np.array([[True, False]] * 5)
    expected = alone(answers[:, :1], np.ones((5, 1), dtype=bool), np.ones(1))
    np.testing.assert_allclose(alone(holes, first, np.ones(2)), expected)


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
    from polymodal.fusion._members import draw_folds
    from polymodal.fusion._target import Target

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

"""Rules that make one answer of several, against exact posteriors and variances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from polymodal.fusion import (
    gaussian_product,
    mean_rule,
    precision_weight,
    product_rule,
    vote_rule,
    vote_weight,
)
from polymodal.fusion.rules import confidence_weight

ALL = np.ones((1, 2), dtype=bool)


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
    assert vote_weight(0.8, 2, 0.8) == 0  # always naming the commonest class is no evidence
    assert vote_weight(0.9, 2, 0.8) == pytest.approx(np.log(9) - np.log(4))
    assert vote_weight(0.7, 3, 1 / 3) == pytest.approx(vote_weight(0.7, 3))


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


def test_weights_may_differ_by_row(rng: np.random.Generator) -> None:
    answers, present = rng.dirichlet(np.ones(3), size=(6, 2)), np.ones((6, 2), dtype=bool)
    weights = rng.random((6, 2))
    prior = np.full(3, 1 / 3)
    for rule in (
        lambda a, p, w: product_rule(a, p, w, prior),
        vote_rule,
        lambda a, p, w: mean_rule(a, p, np.repeat(w[..., None], 3, axis=-1)),
    ):
        whole = rule(answers, present, weights)
        for i in range(6):
            np.testing.assert_allclose(whole[i], rule(answers[[i]], present[[i]], weights[i])[0])


def test_confidence_is_one_over_entropy() -> None:
    said = np.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)
    np.testing.assert_allclose(confidence_weight(said), [1.0, 1 / entropy, 1000.0])


def test_probabilities_weigh_by_what_they_say_beyond_the_shares() -> None:
    truth = np.array([0, 0, 0, 1])
    for same in ([0.75, 0.25], [1.0, 0.0]):  # the shares, the commonest class
        assert precision_weight(np.tile(same, (4, 1)), truth) == 0
    assert precision_weight(np.eye(2)[truth], truth) == 1000
    assert precision_weight(np.eye(2)[1 - truth], truth) == 0
    balanced = np.repeat([0, 1], 10)
    sure = np.eye(2)[np.where(np.arange(20) % 10 == 0, 1 - balanced, balanced)]  # right in 9 of 10
    assert precision_weight(sure, balanced) == pytest.approx(0.8**2 / (1 - 0.8**2))
    timid = 0.5 + 0.01 * (sure - 0.5)
    assert precision_weight(timid, balanced) == pytest.approx(precision_weight(sure, balanced))
    assert precision_weight(np.full((3, 2), 0.5), np.zeros(3, dtype=int)) == 0  # one class only


def test_precision_weights_of_normal_readings_are_their_precisions_beyond_the_prior(rng) -> None:
    x = rng.normal(size=200_000)
    guess = (x + rng.normal(size=200_000) > 0).astype(int)
    slope = np.corrcoef(x, guess)[0, 1] ** 2
    p = 0.5 + 0.2 * x / 4
    found = precision_weight(np.stack([1 - p, p], axis=1), guess)
    assert found == pytest.approx(slope / (1 - slope), rel=1e-6)

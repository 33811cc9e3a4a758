"""Summed means: densities, and the regression that updates them."""

from __future__ import annotations

import numpy as np

from polymodal.alignment._factorial_emission import SummedMeans


def test_joint_means_are_sums_with_the_last_chain_fastest():
    emission = SummedMeans((np.array([[0.0], [10.0]]), np.array([[1.0], [2.0], [3.0]])), np.eye(1))
    assert emission.joint.means[:, 0].tolist() == [1, 2, 3, 11, 12, 13]


def test_update_is_the_regression_on_known_states(rng):
    effects = (rng.normal(size=(2, 2)), rng.normal(size=(3, 2)))
    truth = SummedMeans(effects, 0.01 * np.eye(2), spread=np.ones(2), floor=1e-6)
    states = rng.integers(0, 6, 500)
    x, weights = truth.sample(states, rng), np.eye(6)[states]
    begun = SummedMeans.blank((2, 3), "full", 1e-6).started(x, None, 6, rng)
    fresh = begun.maximised(begun.statistics(x, weights))
    np.testing.assert_allclose(fresh.joint.means, truth.joint.means, atol=0.04)
    residual = x - fresh.joint.means[states]
    np.testing.assert_allclose(fresh.covariance, residual.T @ residual / 500, atol=1e-10)


def test_missing_features_are_expected(rng):
    emission = SummedMeans((np.zeros((1, 2)),), np.array([[1.0, 0.5], [0.5, 1.0]]), spread=np.ones(2))
    x = np.array([[2.0, np.nan]])
    _, first, squares = emission.statistics(x, np.ones((1, 1)))
    np.testing.assert_allclose(first, [[2.0, 1.0]])
    np.testing.assert_allclose(squares, [[4.0, 2.0], [2.0, 1.0 + 0.75]])


def test_independent_posteriors_give_the_same_as_joint_ones(rng):
    p, q = rng.dirichlet(np.ones(2), size=30), rng.dirichlet(np.ones(3), size=30)
    x = rng.normal(size=(30, 2))
    emission = SummedMeans((rng.normal(size=(2, 2)), rng.normal(size=(3, 2))), np.eye(2), spread=np.ones(2))
    joint = (p[:, :, None] * q[:, None, :]).reshape(30, 6)
    one, two = emission.maximised(emission.statistics(x, joint)), emission.maximised_alone(x, (p, q))
    np.testing.assert_allclose(one.joint.means, two.joint.means, atol=1e-10)
    np.testing.assert_allclose(one.covariance, two.covariance, atol=1e-10)

"""Stabilised Sinkhorn: against POT, by its optimality conditions, and where a plain kernel underflows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from polymodal.alignment._sinkhorn import rounded, sinkhorn
from polymodal.core.errors import ConvergenceWarning


def problem(rng, n=30, m=40, distance=1.0):
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + distance
    costs = ((x[:, None] - y) ** 2).sum(-1)
    return costs, rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))


@pytest.mark.parametrize("epsilon", [1.0, 0.05])
def test_equals_pot(rng, epsilon):
    ot = pytest.importorskip("ot")
    costs, p, q = problem(rng)
    ours = sinkhorn(costs, p, q, epsilon=epsilon, n_iter=50_000, tol=1e-11)
    theirs = ot.sinkhorn(p, q, costs, epsilon, method="sinkhorn_log", numItermax=100_000, stopThr=1e-12)
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
    assert np.abs(ours.sum(0) - q).sum() < 1e-9
    assert np.abs(ours.sum(1) - p).sum() < 1e-9


def test_unbalanced_equals_pot(rng):
    ot = pytest.importorskip("ot")
    costs, p, q = problem(rng)
    ours = sinkhorn(costs, p, 2 * q, epsilon=0.2, strength=1.0, n_iter=50_000, tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ot.unbalanced.sinkhorn_unbalanced(
            p, 2 * q, costs, 0.2, 1.0, reg_type="entropy", numItermax=100_000, stopThr=1e-13
        )
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_two_by_two_in_closed_form():
    # by symmetry P = [[s, t], [t, s]] with s + t = 1/2 and log(s / t) = c / epsilon
    plan = sinkhorn(np.array([[0.0, 1.0], [1.0, 0.0]]), np.full(2, 0.5), np.full(2, 0.5), epsilon=0.5)
    s = 0.5 / (1 + np.exp(-2))
    np.testing.assert_allclose(plan, [[s, 0.5 - s], [0.5 - s, s]], atol=1e-10)


def test_one_pair_unbalanced_in_closed_form():
    # minimise c x + epsilon x (log x - 1) + 2 tau KL(x | 1): c + epsilon log x + 2 tau log x = 0
    plan = sinkhorn(np.array([[3.0]]), np.ones(1), np.ones(1), epsilon=0.5, strength=2.0)
    assert plan[0, 0] == pytest.approx(np.exp(-3.0 / (0.5 + 2 * 2.0)))


def test_an_epsilon_at_which_a_plain_kernel_is_zero(rng):
    costs, p, q = problem(rng, distance=30.0)  # exp(-1000 / .01)
    assert np.exp(-costs / 0.01).max() == 0
    plan = sinkhorn(costs, p, q, epsilon=0.01, n_iter=20_000, tol=1e-6)
    np.testing.assert_allclose(plan.sum(1), p, atol=1e-9)
    np.testing.assert_allclose(plan.sum(0), q, atol=1e-6)
    logs = np.log(plan[plan > 1e-200]) + costs[plan > 1e-200] / 0.01  # (f_i + g_j) / epsilon: of rank two
    rows, columns = np.nonzero(plan > 1e-200)
    design = np.zeros((len(rows), 70))
    design[np.arange(len(rows)), rows] = design[np.arange(len(rows)), 30 + columns] = 1
    left = logs - design @ np.linalg.lstsq(design, logs, rcond=None)[0]
    assert np.abs(left).max() < 1e-6


def test_column_sums_that_underflow_are_recovered():
    costs = np.array([[0.0, 2000.0], [0.0, 2000.0], [0.0, 1000.0]])
    plan = sinkhorn(costs, np.full(3, 1 / 3), np.array([0.5, 0.5]), epsilon=0.5, tol=1e-10)
    np.testing.assert_allclose(plan.sum(0), [0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(plan[2], [0, 1 / 3], atol=1e-9)  # the third is the one that gains by going


def test_weights_of_zero_carry_nothing(rng):
    costs, p, q = problem(rng, 6, 7)
    p[2], q[5] = 0.0, 0.0
    p, q = p / p.sum(), q / q.sum()
    plan = sinkhorn(costs, p, q, epsilon=0.3)
    assert plan[2].sum() == plan[:, 5].sum() == 0
    np.testing.assert_allclose(plan.sum(0), q, atol=1e-8)


def test_infinite_costs_forbid(rng):
    costs, p, q = problem(rng, 6, 7)
    costs[0, 1:] = np.inf
    p, q = np.full(6, 1 / 6), np.r_[0.4, np.full(6, 0.1)]
    plan = sinkhorn(costs, p, q, epsilon=0.3, n_iter=20_000)
    np.testing.assert_allclose(plan[0], np.r_[1 / 6, np.zeros(6)], atol=1e-8)


def test_too_few_steps_are_said(rng):
    costs, p, q = problem(rng)
    with pytest.warns(ConvergenceWarning, match="larger epsilon"):
        sinkhorn(costs, p, q, epsilon=0.001, n_iter=20)


def test_rounding_meets_the_weights(rng):
    _, p, q = problem(rng)
    plan = np.outer(p, q) + 1e-3 * rng.random((30, 40))
    near = rounded(plan, p, q)
    np.testing.assert_allclose(near.sum(0), q, atol=1e-14)
    np.testing.assert_allclose(near.sum(1), p, atol=1e-14)
    assert near.min() >= 0
    missed = np.abs(plan.sum(0) - q).sum() + np.abs(plan.sum(1) - p).sum()
    assert np.abs(near - plan).sum() <= 2 * missed
    np.testing.assert_allclose(rounded(near, p, q), near, atol=1e-15)

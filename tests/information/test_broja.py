"""The solver of BROJA's convex programme."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.optimize import minimize

from polymodal.information._broja import least_joint_information, round_to_marginals, value_of


def by_slsqp(p: np.ndarray) -> float:
    """An independent solver: sequential quadratic programming over what the marginals leave free."""
    i, j, k = p.shape
    sums = np.array(
        [m.ravel() for m in np.eye(i * k).reshape(-1, i, 1, k).repeat(j, 2)]
        + [m.ravel() for m in np.eye(j * k).reshape(-1, 1, j, k).repeat(i, 1)]
    )
    free = null_space(sums)
    start = (p.sum(1)[:, None, :] * p.sum(0)[None] / p.sum((0, 1))).ravel()

    def gradient(theta: np.ndarray) -> np.ndarray:
        q = np.maximum(start + free @ theta, 1e-14).reshape(p.shape)
        return free.T @ np.log(q / q.sum(2, keepdims=True)).ravel()

    found = minimize(
        lambda theta: value_of(np.maximum(start + free @ theta, 1e-14).reshape(p.shape)),
        np.zeros(free.shape[1]),
        jac=gradient,
        constraints={"type": "ineq", "fun": lambda theta: start + free @ theta, "jac": lambda theta: free},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    return float(found.fun)


@pytest.mark.parametrize("seed", range(6))
def test_against_an_independent_solver(seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(18)).reshape(3, 3, 2)
    found = least_joint_information(p.sum(1), p.sum(0))
    assert found.value == pytest.approx(by_slsqp(p), abs=1e-6)


@given(st.integers(0, 10**6))
def test_the_gap_is_small_and_the_marginals_are_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 7, size=3))
    p = rng.dirichlet(np.full(int(np.prod(shape)), rng.choice([0.1, 1.0]))).reshape(shape)
    p = np.where(p < 0.01 * rng.integers(2), 0, p)
    p = p[p.sum((1, 2)) > 0][:, p.sum((0, 2)) > 0][:, :, p.sum((0, 1)) > 0]
    p /= p.sum()
    a, b = p.sum(1), p.sum(0)
    found = least_joint_information(a, b)
    assert 0 <= found.gap <= 1e-7
    assert found.value <= value_of(p) + 1e-7
    np.testing.assert_allclose(found.q.sum(1), a, atol=1e-14)
    np.testing.assert_allclose(found.q.sum(0), b, atol=1e-14)
    assert (found.q >= 0).all()


def test_a_large_table(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(3600)).reshape(30, 30, 4)
    assert least_joint_information(p.sum(1), p.sum(0)).gap <= 1e-8


def test_too_few_steps_are_told_by_the_gap(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(60)).reshape(5, 4, 3)
    early = least_joint_information(p.sum(1), p.sum(0), max_iter=2)
    late = least_joint_information(p.sum(1), p.sum(0))
    assert early.gap > 1e-6
    assert early.value - early.gap <= late.value <= early.value


def test_rounding_leaves_what_fits(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(24)).reshape(3, 4, 2)
    np.testing.assert_allclose(round_to_marginals(p, p.sum(1), p.sum(0)), p, atol=1e-15)

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize

from polymodal.core.errors import ConfigError, ConvergenceWarning
from polymodal.fusion import SimpleMKL
from polymodal.fusion._kernel_machines import combine, quadratics, ridge_regression, support_vectors
from polymodal.fusion._simple_mkl import lowest_on_simplex, simple_weights, updated
from polymodal.similarity import RBF
from polymodal.similarity._gram import centred


def problem(rng, n=40, noise=4):
    """Signs; kernels of which the first tells nearly all of them, the second some, and the others nothing."""
    y = np.where(rng.random(n) > 0.5, 1.0, -1.0)[:, None]
    told = [2.0, 0.7] + [0.0] * noise
    kernels = []
    for strength in told:
        x = rng.standard_normal((n, 2))
        x[:, :1] += strength * y
        K = centred(RBF(2.0).pairwise(x, x))
        kernels.append(K * n / np.trace(K))
    return kernels, y


MACHINES = {"classes": support_vectors, "quantities": ridge_regression}


@pytest.mark.parametrize("machine", MACHINES)
def test_conditions_of_the_optimum(rng, machine):
    kernels, y = problem(rng)
    solve = partial(MACHINES[machine], Y=y, C=1.0)
    found, path = simple_weights(kernels, solve, tol=1e-5)
    d = found.weights
    assert (d >= 0).all()
    assert abs(d.sum() - 1) < 1e-12
    assert found.gap <= 1e-5
    assert found.n_iter == len(path) - 1 > 0
    assert (np.diff(path) <= 1e-9 * path[0]).all()  # the objective never rises
    q = quadratics(kernels, solve(combine(kernels, d)).coefficients) / 2  # minus the gradient
    active = d > 1e-3
    np.testing.assert_allclose(q[active], q.max(), rtol=2e-2)
    assert (q[~active] <= q.max() * (1 + 1e-3)).all()
    np.testing.assert_allclose((q.max() - d @ q) / found.objective, found.gap, atol=1e-5)


@pytest.mark.parametrize("machine", MACHINES)
def test_equals_a_general_solver(rng, machine):
    """J is convex: SLSQP over the simplex with the gradient finds the same minimum."""
    kernels, y = problem(rng, n=30, noise=2)
    solve = partial(MACHINES[machine], Y=y, C=1.0)

    def value(d):
        dual = solve(combine(kernels, np.maximum(d, 0)))
        return dual.objective, -quadratics(kernels, dual.coefficients) / 2

    theirs = minimize(
        value,
        np.full(4, 0.25),
        jac=True,
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda d: d.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    found, _ = simple_weights(kernels, solve, tol=1e-6)
    np.testing.assert_allclose(found.objective, theirs.fun, rtol=1e-5)
    np.testing.assert_allclose(found.weights, theirs.x, atol=5e-3)


def test_equals_one_quadratic_problem(rng):
    """The dual of both together: max 1'a - t with t >= a'Y K_m Y a / 2 for every m (Lanckriet et al. 2004)."""
    kernels, y = problem(rng, n=20, noise=1)
    y = y[:, 0]
    signed = [K * np.outer(y, y) for K in kernels]
    n = len(y)
    theirs = minimize(
        lambda v: v[-1] - v[:-1].sum(),
        np.append(np.full(n, 0.0), 1.0),
        jac=lambda v: np.append(-np.ones(n), 1.0),
        bounds=[(0, 1.0)] * n + [(None, None)],
        constraints=[{"type": "eq", "fun": lambda v: v[:-1] @ y, "jac": lambda v: np.append(y, 0.0)}]
        + [
            {
                "type": "ineq",
                "fun": lambda v, Q=Q: v[-1] - 0.5 * v[:-1] @ Q @ v[:-1],
                "jac": lambda v, Q=Q: np.append(-Q @ v[:-1], 1.0),
            }
            for Q in signed
        ],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert theirs.success
    found, _ = simple_weights(kernels, partial(support_vectors, Y=y[:, None], C=1.0), tol=1e-6)
    np.testing.assert_allclose(found.objective, -theirs.fun, rtol=1e-5)


def test_the_kernel_that_tells_gets_the_weight(rng):
    kernels, y = problem(rng, n=80, noise=10)
    found, _ = simple_weights(kernels, partial(support_vectors, Y=y, C=1.0))
    assert found.weights.argmax() == 0
    assert found.weights[0] > 0.5
    assert (found.weights == 0).sum() >= 3  # sparse: kernels of noise are left out altogether


def test_a_kernel_given_twice_changes_nothing(rng):
    kernels, y = problem(rng, noise=1)
    solve = partial(support_vectors, Y=y, C=1.0)
    once, _ = simple_weights(kernels, solve, tol=1e-6)
    twice, _ = simple_weights([*kernels, kernels[0]], solve, tol=1e-6)
    np.testing.assert_allclose(twice.objective, once.objective, rtol=1e-5)
    np.testing.assert_allclose(twice.weights[0] + twice.weights[3], once.weights[0], atol=5e-3)


def test_one_kernel_needs_no_step(rng):
    kernels, y = problem(rng)
    found, path = simple_weights(kernels[:1], partial(support_vectors, Y=y, C=1.0))
    assert found.weights.tolist() == [1.0]
    assert found.n_iter == 0
    assert found.gap == 0
    assert len(path) == 1


def test_the_model_is_minimised_over_the_simplex(rng):
    np.testing.assert_allclose(lowest_on_simplex(np.eye(2), np.array([0.0, 0.5])), [0.75, 0.25], atol=1e-6)
    np.testing.assert_allclose(lowest_on_simplex(np.eye(2), np.array([5.0, -9.0])), [0.0, 1.0], atol=1e-6)
    root = rng.standard_normal((5, 5))
    B, c = root @ root.T + 0.1 * np.eye(5), rng.standard_normal(5)
    theirs = minimize(
        lambda x: c @ x + 0.5 * x @ B @ x,
        np.full(5, 0.2),
        jac=lambda x: c + B @ x,
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(lowest_on_simplex(B, c), theirs.x, atol=1e-5)


def test_curvature_is_learned(rng):
    root = rng.standard_normal((4, 4))
    H, step = root @ root.T + np.eye(4), rng.standard_normal(4)
    np.testing.assert_allclose(updated(np.eye(4), step, H @ step) @ step, H @ step)
    against = updated(np.eye(4), step, -step)  # no curvature seen: damped
    assert np.linalg.eigvalsh(against).min() > 0


def test_too_few_steps_are_said(rng):
    kernels, y = problem(rng)
    with pytest.warns(ConvergenceWarning, match="gap"):
        simple_weights(kernels, partial(support_vectors, Y=y, C=1.0), tol=1e-6, max_iter=1)
    for wrong in ({"tol": 0.0}, {"max_iter": 0}):
        with pytest.raises(ConfigError, match="tol > 0"):
            SimpleMKL(**wrong)

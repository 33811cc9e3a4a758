from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC

from polymodal.core.errors import ConvergenceWarning
from polymodal.fusion import _kernel_machines
from polymodal.fusion._kernel_machines import combine, quadratics, ridge_regression, support_vectors
from polymodal.similarity._gram import centred


def test_support_vectors_are_scikit_learns(rng):
    x = rng.standard_normal((40, 3))
    y = np.where(x[:, 0] + 0.5 * rng.standard_normal(40) > 0, 1.0, -1.0)
    K = x @ x.T
    dual = support_vectors(K, y[:, None], 2.0)
    theirs = SVC(C=2.0, kernel="precomputed", tol=1e-6).fit(K, y)
    ours = K @ dual.coefficients[:, 0] + dual.intercepts[0]
    np.testing.assert_allclose(ours, theirs.decision_function(K), atol=1e-9)
    # strong duality: margin and slack of the primal problem cost as much
    beta = dual.coefficients[:, 0]
    primal = 0.5 * beta @ K @ beta + 2.0 * np.maximum(0, 1 - y * ours).sum()
    np.testing.assert_allclose(dual.objective, primal, rtol=1e-5)
    assert abs(beta.sum()) < 1e-9


def test_centring_changes_no_decision(rng):
    x = rng.standard_normal((30, 2)) + 3
    y = np.where(x[:, :1] > 3, 1.0, -1.0)
    plain, moved = (support_vectors(K, y, 1.0) for K in (x @ x.T, centred(x @ x.T)))
    np.testing.assert_allclose(plain.coefficients, moved.coefficients, atol=1e-4)


def test_a_column_of_one_sign_gets_that_decision(rng):
    K = np.eye(6)
    dual = support_vectors(K, -np.ones((6, 1)), 1.0)
    assert not dual.coefficients.any()
    assert dual.intercepts.tolist() == [-1.0]


def test_kernels_far_from_size_1_do_not_run_for_ever(rng, monkeypatch):
    monkeypatch.setattr(_kernel_machines, "MOST_STEPS", 100)
    x = 1e4 * rng.standard_normal((30, 2))
    y = np.where(rng.random((30, 1)) > 0.5, 1.0, -1.0)
    with pytest.warns(ConvergenceWarning, match="stopped after 100 steps.*normalise"):
        support_vectors(x @ x.T, y, 1e6)


def test_ridge_regression_is_scikit_learns(rng):
    x = rng.standard_normal((30, 4))
    Y = rng.standard_normal((30, 2)) + 5
    K = centred(x @ x.T)
    dual = ridge_regression(K, Y, 0.5)
    theirs = KernelRidge(alpha=2.0, kernel="precomputed").fit(K, Y - Y.mean(axis=0))
    np.testing.assert_allclose(K @ dual.coefficients, theirs.predict(K), atol=1e-10)
    np.testing.assert_allclose(dual.intercepts, Y.mean(axis=0))
    # the primal: half the squared length, and C / 2 of the squared errors
    beta, errors = dual.coefficients, Y - Y.mean(axis=0) - K @ dual.coefficients
    primal = 0.5 * np.einsum("io,io->", beta, K @ beta) + 0.25 * (errors**2).sum()
    np.testing.assert_allclose(dual.objective, primal)


def test_sums_and_quadratic_forms(rng):
    kernels = [k @ k.T for k in rng.standard_normal((3, 10, 4))]
    weights = np.array([0.5, 0.0, 2.0])
    np.testing.assert_allclose(combine(kernels, weights), 0.5 * kernels[0] + 2 * kernels[2])
    assert not combine(kernels, np.zeros(3)).any()
    for rows in (10, 2):  # all rows, and few support vectors
        B = np.zeros((10, 2))
        B[:rows] = rng.standard_normal((rows, 2))
        expected = [sum(b @ K @ b for b in B.T) for K in kernels]
        np.testing.assert_allclose(quadratics(kernels, B), expected)

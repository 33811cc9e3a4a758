from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from polymodal.core.linalg import canonical_pairs, ridge, signs, symmetric_pencil, whitening


def covariance(rng, d, rank=None):
    x = rng.standard_normal((200, rank or d)) @ rng.standard_normal((rank or d, d))
    return np.cov(x.T)


@pytest.mark.parametrize("scales", [1.0, 1e-9, 1e9])
def test_whitening_full_rank_is_the_inverse_whatever_the_units(rng, scales):
    S = covariance(rng, 6) * scales
    W = whitening(S)
    assert W.rank == 6
    assert np.isfinite(W.condition)
    np.testing.assert_allclose(W.matrix.T @ S @ W.matrix, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(W.matrix @ W.matrix.T * scales, np.linalg.inv(S) * scales, rtol=1e-7)


def test_whitening_finds_the_rank_and_drops_constant_features(rng):
    S = np.zeros((8, 8))
    S[:7, :7] = covariance(rng, 7, rank=4)
    W = whitening(S)
    assert W.rank == 4
    assert W.condition == np.inf
    np.testing.assert_allclose(W.matrix.T @ S @ W.matrix, np.eye(4), atol=1e-10)
    assert (W.matrix[7] == 0).all()
    assert whitening(np.zeros((3, 3))).rank == 0


def test_whitening_of_a_diagonal_is_its_pseudo_inverse():
    W = whitening(np.diag([4.0, 0.0, 0.25])).matrix
    np.testing.assert_allclose(W @ W.T, np.diag([0.25, 0.0, 4.0]), atol=1e-12)


def test_ridge_convention():
    S = np.diag([1.0, 3.0])
    np.testing.assert_allclose(ridge(S, 0.25), np.diag([0.75 + 0.5, 2.25 + 0.5]))
    np.testing.assert_allclose(ridge(S, 1.0), 2 * np.eye(2))
    assert ridge(S, 0.0) is S


def test_pencil_against_scipy_and_singular_b(rng):
    A, B = covariance(rng, 5), covariance(rng, 5)
    values, V = symmetric_pencil(A, B)
    np.testing.assert_allclose(values, eigh(A, B, eigvals_only=True)[::-1], rtol=1e-9)
    np.testing.assert_allclose(V.T @ B @ V, np.eye(5), atol=1e-9)
    np.testing.assert_allclose(V.T @ A @ V, np.diag(values), atol=1e-9)
    np.testing.assert_allclose(symmetric_pencil(A, np.eye(5))[0], np.linalg.eigvalsh(A)[::-1], rtol=1e-9)
    B = covariance(rng, 5, rank=3)
    values, V = symmetric_pencil(B, B, n_components=2)
    np.testing.assert_allclose(values, 1.0, atol=1e-9)
    assert V.shape == (5, 2)


def test_pairs_solve_the_eigenproblem_and_keep_their_pairing(rng):
    S = covariance(rng, 7)
    S_aa, S_bb, S_ab = S[:3, :3], S[3:, 3:], S[:3, 3:]
    pairs = canonical_pairs(S_aa, S_bb, S_ab)
    M = np.linalg.solve(S_aa, S_ab) @ np.linalg.solve(S_bb, S_ab.T)
    np.testing.assert_allclose(pairs.correlations**2, np.sort(np.linalg.eigvals(M).real)[::-1], atol=1e-10)
    expected = np.linalg.solve(S_bb, S_ab.T) @ pairs.weights_a / pairs.correlations
    np.testing.assert_allclose(pairs.weights_b, expected, atol=1e-9)


def test_signs_make_the_largest_entry_positive():
    np.testing.assert_array_equal(signs(np.array([[1.0, -0.1], [-2.0, 0.5]])), [-1.0, 1.0])
    assert signs(np.zeros((0, 2))).tolist() == [1.0, 1.0]

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from polymodal.core.linalg import (
    block_pencil,
    canonical_pairs,
    nearest_semidefinite,
    ridge,
    signs,
    symmetric_pencil,
    whitening,
)


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


def test_block_pencil_of_two_blocks_is_canonical_pairs(rng):
    x = rng.standard_normal((50, 7))
    S = np.cov(x.T)
    A = S.copy()
    A[:4, :4] = A[4:, 4:] = 0
    pencil = block_pencil(A, [S[:4, :4], S[4:, 4:]])
    pairs = canonical_pairs(S[:4, :4], S[4:, 4:], S[:4, 4:])
    np.testing.assert_allclose(pencil.eigenvalues[:3], pairs.correlations, atol=1e-10)
    np.testing.assert_allclose(pencil.eigenvalues[-3:], -pairs.correlations[::-1], atol=1e-10)
    np.testing.assert_allclose(pencil.weights[0][:, :3] * np.sqrt(2), pairs.weights_a, atol=1e-8)
    np.testing.assert_allclose(pencil.weights[1][:, :3] * np.sqrt(2), pairs.weights_b, atol=1e-8)
    few = block_pencil(A, [S[:4, :4], S[4:, 4:]], n_components=2)
    np.testing.assert_allclose(few.weights[0], pencil.weights[0][:, :2], atol=1e-9)


def test_block_pencil_of_one_block_is_the_symmetric_pencil(rng):
    x, y = rng.standard_normal((2, 30, 4))
    A, B = np.cov(x.T), np.cov(y.T)
    pencil = block_pencil(A, [B])
    values, V = symmetric_pencil(A, B)
    np.testing.assert_allclose(pencil.eigenvalues, values, atol=1e-10)
    np.testing.assert_allclose(pencil.weights[0], V, atol=1e-9)
    assert block_pencil(np.zeros((2, 2)), [np.zeros((2, 2))]).weights[0].shape == (2, 0)


def test_block_pencil_with_singular_and_constant_features(rng):
    x = rng.standard_normal((40, 5))
    x[:, 2] = x[:, 0] + x[:, 1]
    S = np.cov(x.T)
    pencil = block_pencil(S, [S[:3, :3], S[3:, 3:]])
    assert pencil.ranks == (2, 2)
    assert pencil.condition == np.inf
    clean = np.cov(x[:, [0, 1, 3, 4]].T)
    np.testing.assert_allclose(
        pencil.eigenvalues, block_pencil(clean, [clean[:2, :2], clean[2:, 2:]]).eigenvalues, atol=1e-10
    )


def test_nearest_semidefinite(rng):
    x = rng.standard_normal((9, 4))
    S = np.cov(x.T)
    np.testing.assert_array_equal(nearest_semidefinite(S), S)
    bad = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    values, V = np.linalg.eigh(bad)
    np.testing.assert_allclose(
        nearest_semidefinite(bad), V @ np.diag(np.maximum(values, 0)) @ V.T, atol=1e-12
    )
    D = np.diag([1.0, 100.0, 0.01])
    np.testing.assert_allclose(
        nearest_semidefinite(D @ bad @ D), D @ nearest_semidefinite(bad) @ D, atol=1e-9
    )
    padded = np.zeros((4, 4))
    padded[:3, :3] = bad
    assert np.linalg.eigvalsh(nearest_semidefinite(padded)).min() > -1e-12
    np.testing.assert_array_equal(nearest_semidefinite(padded)[3], 0.0)

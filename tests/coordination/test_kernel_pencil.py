from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination import _kernel_pencil as pencil
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.linalg import canonical_pairs


def features(rng, n=60, dims=(7, 5, 4)):
    z = rng.standard_normal((n, 2))
    out = [z @ rng.standard_normal((2, d)) + rng.standard_normal((n, d)) for d in dims]
    return [x - x.mean(axis=0) for x in out]


def covariances(Z):
    return [[a.T @ b / (len(a) - 1) for b in Z] for a in Z]


def test_two_modalities_are_canonical_pairs(rng):
    Z = features(rng)[:2]
    S = covariances(Z)
    for reg in (0.0, 0.3):
        pairs = canonical_pairs(S[0][0], S[1][1], S[0][1], reg=reg, scales=(1.0, 1.0))
        values, weights, ranks = pencil.leading_of_features(S, k=3, reg=reg)
        np.testing.assert_allclose(values, pairs.singular_values[:3], atol=1e-12)
        np.testing.assert_allclose(np.abs(weights[0]), np.abs(pairs.weights_a[:, :3]), atol=1e-9)
        np.testing.assert_allclose(
            np.abs(pencil.correlations_of_features(S, weights)), pairs.correlations[:3], atol=1e-12
        )
        assert ranks == [7, 5]


@pytest.mark.parametrize("reg", [0.0, 0.01, 0.4, 1.0])
@pytest.mark.parametrize("count", [2, 3])
def test_grams_give_what_their_features_give(rng, reg, count):
    Z = features(rng)[:count]
    values, weights, ranks = pencil.leading_of_features(covariances(Z), k=2, reg=reg)
    dual_values, alphas, dual_ranks = pencil.leading_of_grams([z @ z.T for z in Z], k=2, reg=reg)
    np.testing.assert_allclose(dual_values, values, atol=1e-9)
    for z, w, alpha in zip(Z, weights, alphas, strict=True):
        sign = np.sign((z @ w * (z @ z.T @ alpha)).sum(axis=0))
        np.testing.assert_allclose(z @ z.T @ alpha, z @ w * sign, atol=1e-7)
    if not reg:
        assert dual_ranks == ranks


def test_the_eigenproblem_as_written_solved_by_scipy(rng):
    """Three full-rank Gram matrices: the pencil of the docstring, in alpha, by a dense generalised solver."""
    from scipy.linalg import block_diag, eigh

    n, c = 25, 0.05
    H = np.eye(n) - 1 / n
    Z = features(rng, n=n, dims=(2, 2, 3))
    K = [H @ np.exp(-((z[:, None] - z[None]) ** 2).sum(-1) / 4) @ H for z in Z]
    A = np.block([[np.zeros((n, n)) if a is b else a @ b / (n - 1) for b in K] for a in K])
    B = block_diag(*((1 - c) * k @ k / (n - 1) + c * k for k in K))
    truth = eigh(A, B + 1e-11 * np.eye(3 * n), eigvals_only=True)[::-1][:4]
    values, alphas, _ = pencil.leading_of_grams(K, k=4, reg=c)
    np.testing.assert_allclose(values, truth, atol=1e-7)
    v = np.vstack(alphas)
    np.testing.assert_allclose(A @ v, B @ v * values, atol=1e-7)
    np.testing.assert_allclose(v.T @ B @ v, 3 * np.eye(4), atol=1e-7)


def test_lanczos_and_whole_solutions_agree(rng, monkeypatch):
    matrix = rng.standard_normal((500, 500))
    matrix = matrix + matrix.T
    values, vectors = pencil.leading(matrix.__matmul__, 500, 4)
    truth, _ = np.linalg.eigh(matrix)
    np.testing.assert_allclose(values, truth[::-1][:4], atol=1e-9)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-8)
    monkeypatch.setattr(pencil, "_DENSE", 1000)
    np.testing.assert_allclose(pencil.leading(matrix.__matmul__, 500, 4)[0], values, atol=1e-9)


def test_more_vectors_than_there_are(rng):
    values, vectors = pencil.leading(np.diag([3.0, 1.0]).__matmul__, 2, 5)
    assert values.tolist() == [3.0, 1.0]
    assert vectors.shape == (2, 2)


def test_a_component_that_does_not_vary_correlates_with_nothing():
    S = [[np.eye(1), np.zeros((1, 1))], [np.zeros((1, 1)), np.zeros((1, 1))]]
    assert pencil.correlations_of_features(S, [np.ones((1, 1)), np.ones((1, 1))]).tolist() == [0.0]


def test_what_has_no_answer_is_refused():
    ranks = {"sound": 6, "text": 5}
    pencil.check_components(ranks, np.array([0.9, 0.5]), k=2, reg=0.0, n=12)
    with pytest.raises(ConfigError, match="'sound': 6, 'text': 5.*2 correlations are 1"):
        pencil.check_components(ranks, np.array([1.0]), k=1, reg=0.0, n=10)
    with pytest.raises(ModalityError, match="n_components <= 1.*'sound': 6"):
        pencil.check_components(ranks, np.array([0.9, 1e-12]), k=2, reg=0.1, n=10)

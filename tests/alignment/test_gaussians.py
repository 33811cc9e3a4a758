"""Densities and updates against scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from polymodal.alignment import _gaussians as gaussians

D, K = 3, 2


def parameters(rng, shape):
    means = rng.normal(size=(K, D))
    full = np.array([np.cov(rng.normal(size=(D, 9))) + np.eye(D) for _ in range(K)])
    given = {
        "diag": rng.uniform(0.5, 2, (K, D)),
        "full": full,
        "spherical": rng.uniform(0.5, 2, K),
        "tied": full[0],
    }[shape]
    matrices = {
        "diag": lambda c: [np.diag(v) for v in c],
        "full": list,
        "spherical": lambda c: [v * np.eye(D) for v in c],
        "tied": lambda c: [c] * K,
    }[shape](given)
    return means, given, matrices


@pytest.mark.parametrize("shape", gaussians.SHAPES)
def test_density_equals_scipy_with_missing_features_left_out(rng, shape):
    means, given, matrices = parameters(rng, shape)
    x = rng.normal(size=(6, D))
    x[1, 0] = x[2, 1:] = x[3] = np.nan
    found = gaussians.log_density(x, means, given, shape)
    for t, row in enumerate(x):
        seen = ~np.isnan(row)
        for k in range(K):
            truth = 0.0
            if seen.any():
                truth = multivariate_normal(means[k, seen], matrices[k][np.ix_(seen, seen)]).logpdf(row[seen])
            assert found[t, k] == pytest.approx(truth, abs=1e-10)


@pytest.mark.parametrize("shape", gaussians.SHAPES)
def test_update_is_the_weighted_moment(rng, shape):
    means, given, _ = parameters(rng, shape)
    x, w = rng.normal(size=(50, D)), rng.random((50, K))
    stats = gaussians.moments(x, w, means, given, shape)
    new, c = gaussians.update(stats, (means, given), shape, np.ones(D), 1e-9, 0.0)
    truth = w.T @ x / w.sum(0)[:, None]
    np.testing.assert_allclose(new, truth)
    scatter = np.array([(w[:, [k]] * (x - truth[k])).T @ (x - truth[k]) for k in range(K)])
    n = w.sum(0)
    expected = {
        "diag": np.diagonal(scatter, axis1=1, axis2=2) / n[:, None],
        "full": scatter / n[:, None, None],
        "spherical": np.trace(scatter, axis1=1, axis2=2) / n / D,
        "tied": scatter.sum(0) / n.sum(),
    }[shape]
    np.testing.assert_allclose(c, expected, atol=1e-12)


def test_floor_raises_the_smallest_direction_only(rng):
    spread = np.array([1.0, 4.0])
    covariance = np.array([[1.0, 1.99], [1.99, 4.0]])  # in units of the spread: eigenvalues 1.995 and .005
    raised = gaussians.floored(covariance, spread, 0.1)
    scale = np.sqrt(np.outer(spread, spread))
    np.testing.assert_allclose(np.linalg.eigvalsh(raised / scale), [0.1, 1.995])
    np.testing.assert_allclose(gaussians.floored(covariance, spread, 0.001), covariance)


def test_a_state_nobody_visits_stays_as_it_was(rng):
    for shape in gaussians.SHAPES[:3]:
        means, given, _ = parameters(rng, shape)
        w = np.zeros((20, K))
        w[:, 0] = 1
        stats = gaussians.moments(rng.normal(size=(20, D)), w, means, given, shape)
        new, c = gaussians.update(stats, (means, given), shape, np.ones(D), 0.01, 0.0)
        np.testing.assert_array_equal(new[1], means[1])
        np.testing.assert_allclose(c[1], given[1])


def test_prior_pulls_to_the_spread(rng):
    means, given, _ = parameters(rng, "diag")
    x, w = rng.normal(size=(10, D)), np.ones((10, K))
    stats = gaussians.moments(x, w, means, given, "diag")
    spread = np.array([2.0, 3.0, 4.0])
    c = gaussians.update(stats, (means, given), "diag", spread, 1e-9, 1e9)[1]
    np.testing.assert_allclose(c, np.tile(spread, (K, 1)), rtol=1e-6)

"""Gaussian log-densities and their updates for the four shapes of covariance, with missing features integrated out."""

from __future__ import annotations

from typing import Literal

import numpy as np

from polymodal.alignment import _markov_kernels as kernels
from polymodal.core.typing import Bool, Float

Shape = Literal["diag", "full", "spherical", "tied"]
SHAPES: tuple[Shape, ...] = ("diag", "full", "spherical", "tied")
LOG_2PI = float(np.log(2 * np.pi))


def log_density(
    x: Float[np.ndarray, "n d"],
    means: Float[np.ndarray, "k d"],
    covariances: Float[np.ndarray, "..."],
    shape: Shape,
) -> Float[np.ndarray, "n k"]:
    """Log-density of each frame under each state; NaN features are integrated out, a frame of nothing but NaN gives 0."""
    out = np.empty((len(x), len(means)))
    if shape in ("diag", "spherical"):
        variances = np.broadcast_to(covariances if shape == "diag" else covariances[:, None], means.shape)
        constants = -0.5 * (means.shape[1] * LOG_2PI + np.log(variances).sum(1))
        kernels.diagonal_log_density(
            x,
            np.ascontiguousarray(means.T),
            np.ascontiguousarray(1 / variances.T),
            constants,
            out,
        )
        return out
    for rows, seen in patterns(x):
        part = np.ascontiguousarray(x[rows][:, seen])
        for k in range(len(means)):
            covariance = covariances if shape == "tied" else covariances[k]
            out[rows, k] = _full_log_density(part - means[k, seen], covariance[np.ix_(seen, seen)])
    return out


def _full_log_density(away: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    if not len(covariance):
        return np.zeros(len(away))
    from scipy.linalg import solve_triangular

    root = np.linalg.cholesky(covariance)
    z = solve_triangular(root, away.T, lower=True, check_finite=False)
    density: np.ndarray = -0.5 * (len(covariance) * LOG_2PI + (z * z).sum(0)) - np.log(np.diag(root)).sum()
    return density


def patterns(
    x: Float[np.ndarray, "n d"],
) -> list[tuple[slice | Bool[np.ndarray, " n"], Bool[np.ndarray, " d"]]]:
    """Frames grouped by which features they have: (which frames, which features)."""
    seen = ~np.isnan(x)
    if seen.all():
        return [(slice(None), np.ones(x.shape[1], dtype=bool))]
    kinds, which = np.unique(seen, axis=0, return_inverse=True)
    return [(which.ravel() == i, kind) for i, kind in enumerate(kinds)]


Statistics = tuple[np.ndarray, ...]
"""Weights, first and second moments about a centre: they add up over blocks of frames."""


def moments(
    x: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, "n k"],
    means: Float[np.ndarray, "k d"],
    covariances: Float[np.ndarray, "..."],
    shape: Shape,
) -> Statistics:
    """Expected weights (k, d), sums and sums of squares of x (already relative to a centre, as the means are).

    Features of their own variance need observed values alone; with covariances, what a missing feature would be expected to be,
    given the observed ones and the present parameters, takes its place.
    """
    if shape in ("diag", "spherical"):
        seen = ~np.isnan(x)
        if seen.all():
            n = np.repeat(weights.sum(0)[:, None], x.shape[1], axis=1)
            return n, weights.T @ x, weights.T @ (x * x)
        filled = np.where(seen, x, 0.0)
        return weights.T @ seen.astype(float), weights.T @ filled, weights.T @ (filled * filled)
    k, d = means.shape
    n, first, second = np.zeros((k, d)), np.zeros((k, d)), np.zeros((k, d, d))
    for rows, seen in patterns(x):
        part, w = x[rows], weights[rows]
        for j in range(k):
            z, extra = part, None
            if not seen.all():
                z, extra = _completed(
                    part, seen, means[j], covariances if shape == "tied" else covariances[j]
                )
            n[j] += w[:, j].sum()
            first[j] += w[:, j] @ z
            second[j] += (z * w[:, [j]]).T @ z
            if extra is not None:
                second[j] += w[:, j].sum() * extra
    return n, first, second


def _completed(
    x: np.ndarray, seen: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Frames with their missing features' expectations, and the covariance that these have left."""
    gone = ~seen
    z, extra = np.array(x), np.zeros_like(covariance)
    slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, gone)])
    z[:, gone] = mean[gone] + (x[:, seen] - mean[seen]) @ slope
    extra[np.ix_(gone, gone)] = covariance[np.ix_(gone, gone)] - covariance[np.ix_(gone, seen)] @ slope
    return z, extra


def update(
    statistics: Statistics,
    old: tuple[Float[np.ndarray, "k d"], Float[np.ndarray, "..."]],
    shape: Shape,
    spread: Float[np.ndarray, " d"],
    floor: float,
    prior: float,
) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, "..."]]:
    """Means and covariances that maximise the expected log-posterior; what no frame spoke for stays as it was.

    The floor is a constraint (covariance - floor * diag(spread) has no negative eigenvalue), and the answer its exact optimum.
    """
    n, first, second = statistics
    means, covariances = old
    spoken = n > 1e-12
    safe = np.where(spoken, n, 1.0)
    mean = np.where(spoken, first / safe, means)
    if shape in ("diag", "spherical"):
        scatter = np.maximum(second - safe * mean**2, 0) * spoken
        if shape == "diag":
            fresh = (scatter + prior * spread) / np.where(spoken, n + prior, 1.0)
            return mean, np.where(spoken, np.maximum(fresh, floor * spread), covariances)
        total, weight = scatter.sum(1) + prior * spread.sum(), n.sum(1) + prior * n.shape[1]
        known = spoken.any(1)
        fresh = np.maximum(total / np.where(known, weight, 1.0), floor * spread.mean())
        return mean, np.where(known, fresh, covariances)
    # sum of w (x - mean)(x - mean)' = second - n mean mean'
    scatters = second - n[:, :1, None] * (mean[:, :, None] * mean[:, None, :])
    scatters[~spoken[:, 0]] = 0
    if shape == "tied":
        total = scatters.sum(0) + prior * np.diag(spread)
        return mean, floored(total / (n[:, 0].sum() + prior), spread, floor)
    fresh = np.array(covariances)
    for k in np.flatnonzero(spoken[:, 0]):
        fresh[k] = floored((scatters[k] + prior * np.diag(spread)) / (n[k, 0] + prior), spread, floor)
    return mean, fresh


def floored(
    covariance: Float[np.ndarray, "d d"], spread: Float[np.ndarray, " d"], floor: float
) -> Float[np.ndarray, "d d"]:
    """The likeliest covariance that is at least floor * diag(spread): small eigenvalues raised in units of the spread."""
    scale = np.sqrt(spread)
    unit = covariance / np.outer(scale, scale)
    values, vectors = np.linalg.eigh((unit + unit.T) / 2)
    raised = (vectors * np.maximum(values, floor)) @ vectors.T
    answer: np.ndarray = (raised + raised.T) / 2 * np.outer(scale, scale)
    return answer


def log_prior(
    covariances: Float[np.ndarray, "..."], shape: Shape, spread: Float[np.ndarray, " d"], prior: float
) -> float:
    """What `prior` frames of the overall spread, seen by every covariance, add to the log-posterior (up to a constant)."""
    if not prior:
        return 0.0
    if shape == "diag":
        return float(-0.5 * prior * (np.log(covariances) + spread / covariances).sum())
    if shape == "spherical":
        return float(-0.5 * prior * (len(spread) * np.log(covariances) + spread.sum() / covariances).sum())
    each = covariances[None] if shape == "tied" else covariances
    logarithms = np.linalg.slogdet(each)[1].sum()
    return float(-0.5 * prior * (logarithms + (np.linalg.inv(each) * np.diag(spread)).sum()))

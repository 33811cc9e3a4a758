"""Shared and private linear factors by least squares over what is observed: arrays in, loadings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from polymodal.core.linalg import signs
from polymodal.core.typing import Bool, Float


@dataclass(frozen=True, eq=False)
class Loadings:
    """One modality's part of the model: x = mean + scores_shared @ shared + scores_private @ private + residual."""

    mean: Float[np.ndarray, " d"]
    shared: Float[np.ndarray, "r d"]
    private: Float[np.ndarray, "q d"]


def fit_factors(
    blocks: Sequence[Float[np.ndarray, "n _"]],
    present: Bool[np.ndarray, "n m"],
    n_shared: int,
    n_private: Sequence[int],
    *,
    max_iter: int = 1000,
    tol: float = 1e-7,
) -> tuple[list[Loadings], int]:
    r"""Least squares $\min \sum_m \|X_m - 1\mu_m' - S W_m - P_m V_m\|^2$ over the observed rows, with $P_m'S = 0$.

    Alternates exact least squares for all scores (by pattern of presence) and for all loadings, from the angle-based solution
    (directions on which the modalities' own score spaces agree). The constraint costs nothing: regressing $P_m$ on $S$ and moving
    the fitted part into $W_m$ changes no reconstruction. At the end shared loadings, stacked over modalities, are orthonormal, and
    so are each modality's private ones; scores carry the variance, largest first, as in principal component analysis.

    Args:
        blocks: One (n, d_m) array a modality; rows that lack it hold anything finite.
        present: Which rows have which modality.
        n_shared: Columns of S.
        n_private: Columns of each P_m.
        max_iter: Most rounds.
        tol: Stop when a round explains less than this share of the variance more.

    Returns:
        Loadings a modality, and the rounds taken (max_iter + 1 when it stopped short).

    Complexity:
        O(n D k) a round for D features and k factors in all.
    """
    loadings = _angle_start(blocks, present, n_shared, n_private)
    total = sum(
        float(((x - part.mean)[present[:, m]] ** 2).sum())
        for m, (x, part) in enumerate(zip(blocks, loadings, strict=True))
    )
    previous, rounds = np.inf, 0
    for rounds in range(1, max_iter + 2):
        shared, private = factor_scores(blocks, present, loadings)
        loss = sum(
            float(((x - part.mean - shared @ part.shared - p @ part.private)[present[:, m]] ** 2).sum())
            for m, (x, part, p) in enumerate(zip(blocks, loadings, private, strict=True))
        )
        if previous - loss <= tol * total or rounds > max_iter:
            break
        previous = loss
        loadings = [
            _regress(x[present[:, m]], shared[present[:, m]], private[m][present[:, m]])
            for m, x in enumerate(blocks)
        ]
    return _orthogonal(loadings, shared, private, present), rounds


def factor_scores(
    blocks: Sequence[Float[np.ndarray, "n _"]], present: Bool[np.ndarray, "n m"], loadings: Sequence[Loadings]
) -> tuple[Float[np.ndarray, "n r"], list[Float[np.ndarray, "n _"]]]:
    """Least-squares scores of each row from the modalities it has; private scores of absent ones are 0."""
    n, r = len(present), loadings[0].shared.shape[0]
    shared = np.zeros((n, r))
    private = [np.zeros((n, part.private.shape[0])) for part in loadings]
    for rows, here in patterns(present):
        widths = [private[m].shape[1] for m in here]
        design = np.zeros((r + sum(widths), sum(loadings[m].mean.size for m in here)))
        design[:r] = np.hstack([loadings[m].shared for m in here])
        down, right = r, 0
        for m, width in zip(here, widths, strict=True):
            d = loadings[m].mean.size
            design[down : down + width, right : right + d] = loadings[m].private
            down, right = down + width, right + d
        values = np.hstack([blocks[m][rows] - loadings[m].mean for m in here])
        scores = values @ np.linalg.pinv(design, rcond=1e-10)
        shared[rows] = scores[:, :r]
        for m, part in zip(here, np.split(scores[:, r:], np.cumsum(widths)[:-1], axis=1), strict=True):
            private[m][rows] = part
    return shared, private


def patterns(present: np.ndarray) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Rows by which modalities they have; rows that have none are left out."""
    kinds, which = np.unique(present, axis=0, return_inverse=True)
    for i, kind in enumerate(kinds):
        if kind.any():
            yield np.flatnonzero(which.reshape(-1) == i), np.flatnonzero(kind).tolist()


def _angle_start(
    blocks: Sequence[np.ndarray], present: np.ndarray, n_shared: int, n_private: Sequence[int]
) -> list[Loadings]:
    """Directions on which the modalities' own leading score spaces agree best, then what is left of each modality."""
    whole = present.all(axis=1)
    if whole.sum() <= n_shared + max(n_private):
        whole = np.asarray(present.any(axis=1))
    means = [x[present[:, m]].mean(axis=0) for m, x in enumerate(blocks)]
    centred = [np.where(present[:, m : m + 1], x - means[m], 0.0)[whole] for m, x in enumerate(blocks)]
    if not any(n_private):
        stacked = np.hstack(
            centred
        )  # plain principal components: already the answer when no row lacks anything
    else:
        ranks = [n_shared + q for q in n_private]
        stacked = np.hstack(
            [np.linalg.svd(x, full_matrices=False)[0][:, :k] for x, k in zip(centred, ranks, strict=True)]
        )
    S = np.linalg.svd(stacked, full_matrices=False)[0][:, :n_shared]
    loadings = []
    for mean, x, q in zip(means, centred, n_private, strict=True):
        W = S.T @ x
        loadings.append(Loadings(mean, W, np.linalg.svd(x - S @ W, full_matrices=False)[2][:q]))
    return loadings


def _regress(x: np.ndarray, shared: np.ndarray, private: np.ndarray) -> Loadings:
    r = shared.shape[1]
    design = np.hstack([np.ones((len(x), 1)), shared, private])
    coefficients = np.linalg.lstsq(design, x, rcond=1e-12)[0]
    return Loadings(coefficients[0], coefficients[1 : 1 + r], coefficients[1 + r :])


def _orthogonal(
    loadings: Sequence[Loadings], shared: np.ndarray, private: Sequence[np.ndarray], present: np.ndarray
) -> list[Loadings]:
    """The same reconstruction with centred scores, private ones uncorrelated with shared ones, and orthonormal loadings."""
    known = np.asarray(present.any(axis=1))
    centre = shared[known].mean(axis=0)
    S = np.where(known[:, None], shared - centre, 0.0)
    moved, alone = [], []
    for m, (part, scores) in enumerate(zip(loadings, private, strict=True)):
        rows = present[:, m]
        ones = np.hstack([np.ones((int(rows.sum()), 1)), S[rows]])
        B = np.linalg.lstsq(ones, scores[rows], rcond=1e-12)[0]
        alone.append(scores[rows] - ones @ B)
        mean = part.mean + centre @ part.shared + B[0] @ part.private
        moved.append(Loadings(mean, part.shared + B[1:] @ part.private, part.private))
    stacked = _principal(S, np.hstack([part.shared for part in moved]))
    cuts = np.cumsum([part.mean.size for part in moved])[:-1]
    pieces = np.split(stacked, cuts, axis=1)
    return [
        Loadings(part.mean, W, _principal(p, part.private))
        for part, W, p in zip(moved, pieces, alone, strict=True)
    ]


def _principal(scores: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """Orthonormal loadings of scores @ loadings, by variance; the entry of largest size of each is positive."""
    if not len(loadings):
        return loadings
    R = np.linalg.qr(scores, mode="r")
    Vt = np.linalg.svd(R @ loadings, full_matrices=False)[2]
    return np.asarray(Vt * signs(Vt.T)[:, None])

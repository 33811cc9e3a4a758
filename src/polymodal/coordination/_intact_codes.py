"""The mathematics of multi-view intact space: Cauchy loss, minimised by rounds of reweighted ridge regressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polymodal.core.linalg import signs
from polymodal.core.typing import Bool, Float

START_ROUNDS = 30
"""Rounds in which the Cauchy scales follow the residuals, before they are held fixed."""
SMALLEST_SCALE = 1e-3
"""Least Cauchy scale, as a share of a modality's median distance from its median: where codes fit exactly the median residual is 0."""


@dataclass(frozen=True, eq=False)
class Intact:
    """Codes and how each modality follows from them: about offset + map @ code, to within scale.

    Args:
        codes: One row each.
        maps: (d, k) of each modality.
        offsets: (d,) of each modality.
        scales: Cauchy scale c of each modality.
        objective: After each round; it never rises.
    """

    codes: Float[np.ndarray, "n k"]
    maps: list[np.ndarray]
    offsets: list[np.ndarray]
    scales: Float[np.ndarray, " m"]
    objective: Float[np.ndarray, " rounds"]


def squared_residuals(
    views: Sequence[np.ndarray],
    present: Bool[np.ndarray, "n m"],
    codes: Float[np.ndarray, "n k"],
    maps: Sequence[np.ndarray],
    offsets: Sequence[np.ndarray],
) -> Float[np.ndarray, "n m"]:
    """|z - b - W x|^2 of each row and modality; 0 where the modality is missing."""
    out = np.zeros(present.shape)
    for m, (z, W, b) in enumerate(zip(views, maps, offsets, strict=True)):
        gaps = z - b - codes @ W.T
        out[:, m] = np.einsum("ij,ij->i", gaps, gaps)
    return np.where(present, out, 0.0)


def intact_objective(
    views: Sequence[np.ndarray], present: Bool[np.ndarray, "n m"], found: Intact, *, reg: float
) -> float:
    r"""Mean over present values of $\log(1 + |z - b - Wx|^2/c^2)$, plus $C (\sum_v |W_v|^2 + \tfrac1n \sum_i |x_i|^2)$."""
    squares = squared_residuals(views, present, found.codes, found.maps, found.offsets)
    loss = float(np.log1p(squares / found.scales**2).sum() / present.sum())
    lengths = sum(float((W**2).sum()) for W in found.maps) + float((found.codes**2).sum()) / len(present)
    return loss + reg * lengths


def fit_intact_space(
    views: Sequence[np.ndarray],
    present: Bool[np.ndarray, "n m"],
    n_components: int,
    *,
    reg: float,
    scale: float | None = None,
    max_iter: int = 500,
    tol: float = 1e-6,
) -> Intact:
    r"""Minimise the objective by rounds of reweighted ridge regressions, in turn for the codes and for the maps.

    $\log(1 + r^2/c^2)$ lies below its tangent in $r^2$, whose slope is the weight $q = 1/(c^2 + r^2)$; a ridge regression with these
    weights lowers the tangent, and so the objective. Each round also centres the codes and finds, among all codes and maps with the
    same products, the shortest; that changes no fit and lowers the penalty.

    Args:
        views: One array a modality, of comparable size (median row length about 1); rows that lack it hold zeros.
        present: Which rows have which modality.
        n_components: k.
        reg: C > 0.
        scale: c, the same for all modalities; None estimates one each.
        max_iter: Most rounds.
        tol: Stop when a round lowers the objective by less than this share.

    Complexity:
        O(rounds n (D k + M k^2 + k^3)) for M modalities of D features in all.
    """
    found = _start(views, present, n_components, reg=reg, scale=scale)
    history = [intact_objective(views, present, found, reg=reg)]
    for _ in range(max_iter):
        found = _round(views, present, found, reg=reg)
        history.append(intact_objective(views, present, found, reg=reg))
        if history[-2] - history[-1] <= tol * history[-2]:
            break
    _, _, Vt = np.linalg.svd(found.codes, full_matrices=False)  # any rotation fits alike: take principal axes
    turn = Vt.T * signs(np.vstack(found.maps) @ Vt.T)
    maps = [W @ turn for W in found.maps]
    return Intact(found.codes @ turn, maps, found.offsets, found.scales, np.array(history))


def infer_codes(
    views: Sequence[np.ndarray],
    present: Bool[np.ndarray, "n m"],
    maps: Sequence[np.ndarray],
    offsets: Sequence[np.ndarray],
    scales: Float[np.ndarray, " m"],
    *,
    ridge: float,
    max_iter: int = 200,
    tol: float = 1e-9,
) -> Float[np.ndarray, "n k"]:
    r"""For each row $\arg\min_x \sum_v \log(1 + |z_v - b_v - W_v x|^2/c_v^2) + \lambda |x|^2$ over the modalities it has.

    The loss has several valleys when modalities contradict each other: from the centre, where wrong values already count little, and
    from the least-squares code, the better end is taken. Rows do not influence each other.
    """
    k = maps[0].shape[1]
    zero = np.zeros((len(present), k))
    flat = np.where(present, 1 / scales**2, 0.0)
    ends = []
    for start in (zero, _solve_codes(views, maps, offsets, flat, ridge)):
        codes = start
        active = np.arange(len(codes))
        for _ in range(max_iter):
            some = [z[active] for z in views]
            squares = squared_residuals(some, present[active], codes[active], maps, offsets)
            new = _solve_codes(
                some, maps, offsets, np.where(present[active], 1 / (scales**2 + squares), 0.0), ridge
            )
            moved = np.abs(new - codes[active]).max(axis=1)
            size = np.abs(new).max(axis=1)
            codes[active] = new
            active = active[moved > tol * np.maximum(size, tol)]
            if not len(active):
                break
        squares = squared_residuals(views, present, codes, maps, offsets)
        ends.append((codes, np.log1p(squares / scales**2).sum(axis=1) + ridge * (codes**2).sum(axis=1)))
    (a, cost_a), (b, cost_b) = ends
    return np.where((cost_b < cost_a)[:, None], b, a)


def _start(
    views: Sequence[np.ndarray],
    present: np.ndarray,
    k: int,
    *,
    reg: float,
    scale: float | None,
) -> Intact:
    """Principal directions of rows drawn towards a sphere, then rounds with scales that follow the median residual."""
    lengths = np.column_stack([(z**2).sum(axis=1) for z in views])
    drawn = np.hstack([z / np.sqrt(1 + lengths[:, [m]]) for m, z in enumerate(views)])
    _, _, Vt = np.linalg.svd(drawn, full_matrices=False)
    edges = np.cumsum([0, *(z.shape[1] for z in views)])
    maps = [Vt[:k, edges[m] : edges[m + 1]].T.copy() for m in range(len(views))]
    offsets = [np.zeros(z.shape[1]) for z in views]
    scales = np.full(len(views), 1.0 if scale is None else scale)
    ridge = reg * present.sum() / len(present)
    codes = infer_codes(views, present, maps, offsets, scales, ridge=ridge, max_iter=10)
    found = Intact(codes, maps, offsets, scales, np.zeros(0))
    for _ in range(START_ROUNDS if scale is None else 0):
        found = _round(views, present, found, reg=reg)
        squares = squared_residuals(views, present, found.codes, found.maps, found.offsets)
        medians = [np.median(np.sqrt(squares[present[:, m], m])) for m in range(len(views))]
        found = replace(found, scales=np.maximum(medians, SMALLEST_SCALE))
    return found


def _round(views: Sequence[np.ndarray], present: np.ndarray, found: Intact, *, reg: float) -> Intact:
    n, total = len(present), float(present.sum())
    scales = found.scales
    squares = squared_residuals(views, present, found.codes, found.maps, found.offsets)
    weights = np.where(present, 1 / (scales**2 + squares), 0.0)
    codes = _solve_codes(views, found.maps, found.offsets, weights, reg * total / n)
    squares = squared_residuals(views, present, codes, found.maps, found.offsets)
    weights = np.where(present, 1 / (scales**2 + squares), 0.0)
    k = codes.shape[1]
    design = np.column_stack([codes, np.ones(n)])
    penalty = np.diag([reg * total] * k + [0.0])
    maps, offsets = [], []
    for m, z in enumerate(views):
        weighted = design * weights[:, [m]]
        solved = np.linalg.solve(design.T @ weighted + penalty, weighted.T @ z)
        maps.append(solved[:k].T)
        offsets.append(solved[k])
    mean = codes.mean(axis=0)
    codes = codes - mean
    offsets = [b + W @ mean for b, W in zip(offsets, maps, strict=True)]
    codes, maps = _balanced(codes, maps)
    return Intact(codes, maps, offsets, scales, found.objective)


def _balanced(codes: np.ndarray, maps: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The k x k matrix A for which codes A and maps A^-T, whose products are the same, are shortest: both have one diagonal Gram matrix.

    Alternating regressions find it only slowly.
    """
    inner_codes = codes.T @ codes / len(codes)
    inner_maps = np.sum([W.T @ W for W in maps], axis=0)
    values, vectors = np.linalg.eigh(inner_codes)
    if not values[0] > 1e-12 * values[-1]:
        return codes, maps  # a component that the penalty has emptied
    root = vectors * np.sqrt(values)
    squares, turn = np.linalg.eigh(root.T @ inner_maps @ root)
    if not squares[0] > 1e-24 * squares[-1]:
        return codes, maps
    turn, fourth = turn[:, ::-1], squares[::-1] ** 0.25
    there = vectors / np.sqrt(values) @ turn * fourth
    back = root @ turn / fourth
    return codes @ there, [W @ back for W in maps]


def _solve_codes(
    views: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    offsets: Sequence[np.ndarray],
    weights: np.ndarray,
    ridge: float,
) -> np.ndarray:
    k = maps[0].shape[1]
    left = np.tile(ridge * np.eye(k), (len(weights), 1, 1))
    right = np.zeros((len(weights), k))
    for m, (z, W, b) in enumerate(zip(views, maps, offsets, strict=True)):
        left += weights[:, m, None, None] * (W.T @ W)
        right += weights[:, [m]] * (z @ W - b @ W)
    solved: np.ndarray = np.linalg.solve(left, right[:, :, None])[:, :, 0]
    return solved

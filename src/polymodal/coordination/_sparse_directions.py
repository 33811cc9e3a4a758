"""Directions of few non-zero weights that covary most: the penalised matrix decomposition, for two or more modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polymodal.core.linalg import signs
from polymodal.core.typing import Float

_DENSE = 100
"""Features up to which the starting direction comes from a dense eigendecomposition."""


def l1_bounded(a: Float[np.ndarray, " d"], bound: float) -> Float[np.ndarray, " d"]:
    r"""$\operatorname{argmax}_w a'w$ subject to $\lVert w \rVert_2 \le 1$ and $\lVert w \rVert_1 \le$ bound; 0 where a is 0.

    The answer is a, soft-thresholded until the ratio of its norms is the bound, and scaled. The threshold is found exactly, from sums over
    the largest entries and one quadratic equation, not by bisection.

    Args:
        a: Any vector.
        bound: From 1 (one non-zero weight, where no two entries tie) to sqrt(d) (no constraint).

    Complexity:
        O(d log d).

    Relations:
        * bound >= sqrt(d): a over its length.
        * never better than a over its length, never worse than the unit vector of its largest entry.
    """
    length = float(np.linalg.norm(a))
    if length == 0:
        return np.zeros_like(a)
    if np.abs(a).sum() <= bound * length:
        return np.asarray(a / length)
    sizes = np.abs(a) / length
    order = np.sort(sizes)[::-1]
    count = np.arange(1, len(a) + 1)
    s1, s2 = np.cumsum(order), np.cumsum(order**2)
    following = np.append(order[1:], 0.0)  # with the threshold here, exactly the first `count` entries remain
    norm_1 = s1 - count * following
    norm_2 = np.sqrt(np.maximum(s2 - 2 * following * s1 + count * following**2, 0.0))
    k = (
        int(np.argmax((norm_1 >= bound * norm_2) & (norm_1 > 1e-12))) + 1
    )  # the first threshold that is too low
    spread = k * s2[k - 1] - s1[k - 1] ** 2
    if k <= bound**2 or spread <= 1e-14 * k:  # the largest entries tie: all of them share the bound
        kept = (sizes >= order[0] * (1 - 1e-7)).astype(float)
    else:
        kept = np.maximum(sizes - (s1[k - 1] - bound * np.sqrt(spread / (k - bound**2))) / k, 0.0)
    w: np.ndarray = np.sign(a) * kept / max(float(np.linalg.norm(kept)), float(kept.sum()) / bound)
    return w


@dataclass(frozen=True, eq=False)
class SparseDirections:
    """Directions of `sparse_directions`.

    Args:
        weights: For each modality (d, k), each column of length at most 1.
        covariances: For each component the objective that was reached: the sum over pairs of modalities of w_m'S_ml w_l, deflated.
        objectives: For each component the objective after every round; it never falls.
        converged: Whether every component did.
    """

    weights: tuple[np.ndarray, ...]
    covariances: Float[np.ndarray, " k"]
    objectives: tuple[np.ndarray, ...]
    converged: bool


def sparse_directions(
    views: Sequence[np.ndarray],
    bounds: Sequence[float],
    *,
    n_components: int,
    max_iter: int = 500,
    tol: float = 1e-9,
    counts: Float[np.ndarray, "m m"] | None = None,
) -> SparseDirections:
    r"""$\max \sum_{m<l} w_m'S_{ml}w_l$ subject to $\lVert w_m \rVert_2 \le 1$, $\lVert w_m \rVert_1 \le c_m$, component after component.

    The objective is linear in each modality's direction, so each is solved for exactly in turn (`l1_bounded`), from the leading
    eigenvector of the problem without L1 bounds; the objective cannot fall. Then each $S_{ml}$ loses $(w_m'S_{ml}w_l)\,w_mw_l'$, and
    the next component begins. No covariance matrix is formed: products go through the rows.

    Args:
        views: For each modality (n, d), centred; rows that lack it are 0.
        bounds: c_m of each modality, from 1 to sqrt(d).
        n_components: Components.
        max_iter: Most rounds a component.
        tol: Stop when a round improves the objective by less than this share of it.
        counts: Rows that have both modalities, where some rows lack some.

    Complexity:
        O(n d) a round for d features in all, plus the start: O(d^3) up to 100 features, O(n d) a Lanczos step above.

    Relations:
        * two modalities without bounds: singular vectors of the cross-covariance.
        * the objective never falls from one round to the next.

    References:
        Witten, Tibshirani and Hastie 2009 (two). Witten and Tibshirani 2009 (more).
    """
    block = _CrossCovariances(views, counts)
    objectives, directions, converged = [], [], True
    for _ in range(n_components):
        start = block.start()
        w = [l1_bounded(part, bound) for part, bound in zip(start, bounds, strict=True)]
        history = [block.objective(w)]
        for _round in range(max_iter):
            for m, bound in enumerate(bounds):
                pull = block.pull(w, m)
                w[m] = l1_bounded(pull, bound)
            history.append(block.objective(w))
            if history[-1] - history[-2] <= tol * abs(history[-1]):
                break
        else:
            converged = False
        flips = next((signs(part[:, None])[0] for part in w if part.any()), 1.0)
        w = [part * flips for part in w]
        block.deflate(w)
        directions.append(w)
        objectives.append(np.array(history))
    weights = tuple(np.stack(parts, axis=1) for parts in zip(*directions, strict=True))
    reached = np.array([history[-1] for history in objectives])
    return SparseDirections(weights, reached, tuple(objectives), converged)


class _CrossCovariances:
    """The deflated cross-covariances of all pairs of modalities, as products with rows and the directions taken out so far."""

    def __init__(self, views: Sequence[np.ndarray], counts: np.ndarray | None) -> None:
        self.views = views
        full = np.full((len(views), len(views)), float(len(views[0])))
        rows = full if counts is None else np.asarray(counts, dtype=float)
        self.factor = np.where(rows >= 2, 1 / np.maximum(rows - 1, 1), 0.0)
        self.taken: list[tuple[list[np.ndarray], np.ndarray]] = []

    def pull(self, w: Sequence[np.ndarray], m: int) -> np.ndarray:
        """Sum over the other modalities l of S_ml w_l: what direction m should follow."""
        scores = np.zeros(len(self.views[m]))
        pull = np.zeros(self.views[m].shape[1])
        for other, (view, direction) in enumerate(zip(self.views, w, strict=True)):
            if other != m and direction.any():
                scores += self.factor[m, other] * (view @ direction)
                for old, covariances in self.taken:
                    pull -= covariances[m, other] * (old[other] @ direction) * old[m]
        pull += self.views[m].T @ scores
        return pull

    def between(self, w: Sequence[np.ndarray]) -> np.ndarray:
        """w_m'S_ml w_l for all pairs; 0 on the diagonal."""
        scores = np.stack([view @ direction for view, direction in zip(self.views, w, strict=True)])
        covariances = (scores @ scores.T) * self.factor
        for old, taken in self.taken:
            along = np.array([a @ b for a, b in zip(old, w, strict=True)])
            covariances -= taken * np.outer(along, along)
        np.fill_diagonal(covariances, 0.0)
        return np.asarray(covariances)

    def objective(self, w: Sequence[np.ndarray]) -> float:
        """Sum over pairs."""
        return float(self.between(w).sum() / 2)

    def deflate(self, w: Sequence[np.ndarray]) -> None:
        """Take the covariance along these directions out of every pair."""
        self.taken.append(([np.array(part) for part in w], self.between(w)))

    def start(self) -> list[np.ndarray]:
        """Leading eigenvector of all pairs together, cut into modalities, each of unit length."""
        sizes = [view.shape[1] for view in self.views]
        cuts = np.cumsum(sizes)[:-1]

        def product(v: np.ndarray) -> np.ndarray:
            parts = np.split(np.ravel(v), cuts)
            return np.concatenate([self.pull(parts, m) for m in range(len(sizes))])

        if sum(sizes) <= _DENSE:
            vector = np.linalg.eigh(self._matrix())[1][:, -1]
        else:
            from scipy.sparse.linalg import LinearOperator, eigsh

            size = sum(sizes)
            operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
            v0 = np.concatenate([np.sqrt((view * view).sum(axis=0)) for view in self.views]) + 1e-300
            vector = eigsh(operator, k=1, which="LA", v0=v0, tol=1e-10)[1][:, 0]
        return np.split(vector, cuts)

    def _matrix(self) -> np.ndarray:
        rows = []
        for m, a in enumerate(self.views):
            row = []
            for other, b in enumerate(self.views):
                block = (
                    np.zeros((a.shape[1], b.shape[1])) if m == other else self.factor[m, other] * (a.T @ b)
                )
                if m != other:
                    for old, taken in self.taken:
                        block -= taken[m, other] * np.outer(old[m], old[other])
                row.append(block)
            rows.append(row)
        return np.block(rows)

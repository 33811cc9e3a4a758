"""Gromov-Wasserstein: matching two sets of different spaces by the distances within each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.alignment._costs import frames
from polymodal.alignment._distances import all_distances, cost_matrix
from polymodal.alignment._limits import check_dense
from polymodal.alignment._sinkhorn import rounded, sinkhorn
from polymodal.alignment.answer import Alignment
from polymodal.alignment.transport import pot
from polymodal.core.errors import ConvergenceWarning, ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float


@dataclass(frozen=True)
class GromovWasserstein:
    r"""The coupling that keeps distances: pairs near in a go with pairs near in b. The two need no common space.

    $$ \min_P\; \alpha \sum_{ijkl} (A_{ik} - B_{jl})^2 P_{ij} P_{kl} + (1 - \alpha) \langle C, P\rangle
       \quad\text{with}\quad P1 = p,\; P'1 = q $$

    with A, B the distances within a and within b. Alpha 1 is Gromov-Wasserstein; below it is fused with the costs C of pairs, where the
    features can be compared. The problem is not convex: several starts are tried and the best result is kept. The
    first comes from matching, for each element, the sorted distances to all others (a lower bound that is exact for generic
    isometric sets), the second is the product pq', the rest are random.

    Args:
        metric: Distances within each set in `align`, and of pairs where fused: a name that scipy's `cdist` knows, or a function.
        alpha: Share of the structure in (0, 1].
        epsilon: Strength of an entropy on P, in the unit of the objective; 0: none.
        n_starts: Starts to try.
        scale: Divide each matrix of distances by its mean, so that two units of length do not matter.
        marginals: (p, q), weights > 0 of equal sum; uniform with sum 1 unless given.
        n_iter: Steps of each start at most.
        random_state: Of the random starts.

    Complexity:
        O(n^2 m + n m^2) a step, plus a transport problem each; full matrices.

    Relations:
        * rotating, moving or mirroring either set, or adding features of zero: the same.
        * isometric sets: cost 0, and the pairs of the isometry (if it is the only one).
        * alpha -> 0: transport by C.

    References: Mémoli 2011; Peyré, Cuturi & Solomon 2016; Vayer et al. 2019 (fused).
    """

    metric: Any = "euclidean"
    alpha: float = 1.0
    epsilon: float = 0.0
    n_starts: int = 5
    scale: bool = False
    marginals: tuple[Any, Any] | None = field(default=None, compare=False, repr=False)
    n_iter: int = 1000
    random_state: RandomState = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1 or not self.epsilon >= 0 or self.n_starts < 1 or self.n_iter < 1:
            raise ModalityError(
                "GromovWasserstein needs alpha in (0, 1], epsilon >= 0 and n_starts and n_iter of at least 1, got "
                f"{self.alpha}, {self.epsilon}, {self.n_starts} and {self.n_iter}. For alpha 0 use Transport."
            )

    def align(self, a: Any, b: Any) -> Alignment:
        """Match two sets, each of any number of features (with alpha < 1: of as many).

        Raises:
            ModalityError: NaN, sets too large for their matrices of distances, or fused and of unlike features.
        """
        (x, rate_a), (y, rate_b) = frames(a, "a"), frames(b, "b")
        for name, s in (("a", x), ("b", y)):
            instead = "Match samples of the elements, or clusters of them."
            check_dense(len(s), len(s), f"GromovWasserstein's distances within {name},", instead)
        if self.alpha < 1 and x.shape[1] != y.shape[1]:
            raise ModalityError(
                f"Fused GromovWasserstein (alpha={self.alpha}) compares elements too, so a and b need as many features; got a {x.shape} "
                f"and b {y.shape}. Use alpha=1, or align_structures with costs of your own."
            )
        cross = all_distances(x, y, self.metric, "GromovWasserstein") if self.alpha < 1 else None
        within = [all_distances(s, s, self.metric, "GromovWasserstein") for s in (x, y)]
        return self._match(within[0], within[1], cross, (rate_a, rate_b))

    def align_costs(self, costs: Any) -> Alignment:
        """Refused: costs of pairs say nothing of the distances within each set.

        Raises:
            ModalityError: always.
        """
        raise ModalityError(
            "GromovWasserstein needs the distances within a and within b: align_structures(within_a, within_b, costs). With the costs of "
            "pairs alone use Transport."
        )

    def align_structures(self, within_a: Any, within_b: Any, costs: Any = None) -> Alignment:
        """Match two sets of which distances (or similarities, or a graph's weights) are known.

        Args:
            within_a: (n, n), symmetric.
            within_b: (m, m), symmetric.
            costs: (n, m), of pairs; needed for alpha < 1, and only there.
        """
        A, B = cost_matrix(within_a, finite=True), cost_matrix(within_b, finite=True)
        for name, D in (("a", A), ("b", B)):
            if D.shape[0] != D.shape[1] or not np.allclose(D, D.T):
                raise ModalityError(
                    f"The distances within {name} must be a symmetric matrix, got shape {D.shape}."
                )
        if (costs is None) != (self.alpha == 1):
            raise ModalityError(
                f"GromovWasserstein needs costs of pairs for alpha < 1, and only there; alpha is {self.alpha}, costs were "
                f"{'not ' if costs is None else ''}given."
            )
        cross = None if costs is None else cost_matrix(costs, shape=(len(A), len(B)), finite=True)
        return self._match(A, B, cross, (1.0, 1.0))

    def _match(
        self, A: np.ndarray, B: np.ndarray, cross: np.ndarray | None, rates: tuple[float, float]
    ) -> Alignment:
        pot()
        if self.scale:
            A, B = (D / max(float(D.mean()), 1e-300) for D in (A, B))
        p, q = self._weights(len(A), len(B))
        plans = [self._descend(A, B, cross, p, q, start) for start in self._starts(A, B, p, q)]
        values = [objective(plan, A, B, cross, self.alpha) for plan in plans]
        entropies = [self.epsilon * float((x * np.log(np.maximum(x, 1e-300))).sum()) for x in plans]
        best = int(np.argmin(np.add(values, entropies)))
        return Alignment.of_coupling(
            plans[best],
            self,
            cost=float(values[best] + entropies[best]),
            normalised_cost=float(values[best]),
            rates=rates,
        )

    def _weights(self, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
        if self.marginals is None:
            return np.full(n, 1 / n), np.full(m, 1 / m)
        p, q = (np.asarray(w, dtype=np.float64) for w in self.marginals)
        if (
            p.shape != (n,)
            or q.shape != (m,)
            or min(p.min(), q.min()) <= 0
            or abs(p.sum() - q.sum()) > 1e-9 * p.sum()
        ):
            raise ModalityError(
                f"GromovWasserstein needs {n} and {m} weights > 0 of equal sum as marginals, got shapes {p.shape} and {q.shape}, sums "
                f"{p.sum():g} and {q.sum():g}."
            )
        return p, q

    def _starts(self, A: np.ndarray, B: np.ndarray, p: np.ndarray, q: np.ndarray) -> list[np.ndarray]:
        emd, rng = pot().emd, generator(self.random_state)
        starts = [emd(p, q, profiles_apart(A, B, p, q)), np.outer(p, q) / q.sum()]
        for _ in range(self.n_starts - 2):
            starts.append(emd(p, q, rng.random((len(p), len(q)))))
        return starts[: self.n_starts]

    def _descend(
        self,
        A: np.ndarray,
        B: np.ndarray,
        cross: np.ndarray | None,
        p: np.ndarray,
        q: np.ndarray,
        start: np.ndarray,
    ) -> Float[np.ndarray, "n m"]:
        if self.epsilon:
            return self._descend_smooth(A, B, cross, p, q, start)
        from ot import gromov

        options: dict[str, Any] = {"symmetric": True, "G0": start, "max_iter": self.n_iter}
        if cross is None:
            plan = gromov.gromov_wasserstein(A, B, p, q, **options)
        else:
            plan = gromov.fused_gromov_wasserstein(cross, A, B, p, q, alpha=self.alpha, **options)
        return np.asarray(plan)

    def _descend_smooth(
        self,
        A: np.ndarray,
        B: np.ndarray,
        cross: np.ndarray | None,
        p: np.ndarray,
        q: np.ndarray,
        start: np.ndarray,
    ) -> Float[np.ndarray, "n m"]:
        """Entropic transport by the gradient, until that changes nothing (Peyré et al. 2016, with a stable inner loop)."""
        fixed = (A**2 @ p)[:, None] + B**2 @ q
        plan, moved = start, np.inf
        for _ in range(self.n_iter):
            gradient = 2 * self.alpha * (fixed - 2 * A @ plan @ B)
            if cross is not None:
                gradient += (1 - self.alpha) * cross
            with warnings.catch_warnings():
                # one step need not be exact; what counts is that the plan stands still in the end
                warnings.simplefilter("ignore", ConvergenceWarning)
                stepped = sinkhorn(gradient, p, q, epsilon=self.epsilon, n_iter=500, tol=1e-9)
            moved, plan = float(np.abs(stepped - plan).sum()), stepped
            if (
                moved < 1e-7
            ):  # near a permutation the last digits of the weights come slowly: they are rounded
                return rounded(sinkhorn(gradient, p, q, epsilon=self.epsilon, n_iter=20_000, tol=1e-4), p, q)
        warnings.warn(
            f"GromovWasserstein's plan still moved by {moved:.1e} after {self.n_iter} steps. Use a larger epsilon (now {self.epsilon:g}) "
            "or more n_iter.",
            ConvergenceWarning,
            stacklevel=5,
        )
        return plan


def objective(
    plan: Float[np.ndarray, "n m"],
    A: Float[np.ndarray, "n n"],
    B: Float[np.ndarray, "m m"],
    costs: Float[np.ndarray, "n m"] | None = None,
    alpha: float = 1.0,
) -> float:
    """What `GromovWasserstein` minimises, entropy aside, in O(n^2 m + n m^2)."""
    p, q = plan.sum(axis=1), plan.sum(axis=0)
    structure = float(p @ A**2 @ p + q @ B**2 @ q - 2 * ((A @ plan @ B) * plan).sum())
    fused = 0.0 if costs is None else float((plan * costs).sum())
    return alpha * max(structure, 0.0) + (1 - alpha) * fused


def profiles_apart(
    A: Float[np.ndarray, "n n"],
    B: Float[np.ndarray, "m m"],
    p: Float[np.ndarray, " n"],
    q: Float[np.ndarray, " m"],
) -> Float[np.ndarray, "n m"]:
    """Mean squared difference of the sorted distances that two elements have to all others: Mémoli's third lower bound, pair by pair."""
    from scipy.spatial.distance import cdist

    size = max(len(p), len(q))
    levels = (np.arange(size) + 0.5) / size
    quantiles = []
    for D, w in ((A, p), (B, q)):
        order = np.argsort(D, axis=1)
        values = np.take_along_axis(D, order, axis=1)
        reached = np.cumsum(w[order], axis=1) / w.sum()
        at = [np.minimum(np.searchsorted(r, levels - 1e-12), len(w) - 1) for r in reached]
        quantiles.append(np.take_along_axis(values, np.array(at), axis=1))
    found: np.ndarray = cdist(quantiles[0], quantiles[1], "sqeuclidean") / size
    return found

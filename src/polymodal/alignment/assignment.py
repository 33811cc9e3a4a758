"""One-to-one matching of least total cost between two sets, of any sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.alignment._costs import frames
from polymodal.alignment._distances import all_distances, cost_matrix
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int


@dataclass(frozen=True)
class Assignment:
    r"""Each element of the smaller set gets one of the larger, each of those at most one: $\min \sum_{(i, j)} c_{ij}$, exactly.

    Args:
        metric: Cost of a pair in `align`: a name that scipy's `cdist` knows, or a function of (n, d) and (m, d) that gives (n, m).
        maximize: The entries given to `align_costs` are scores: find the largest total.
        max_cost: Leave elements alone rather than match them at more than this; each pair then takes part only if it
            lowers the sum of (cost - max_cost). (With `maximize`: the least score of a pair.)

    Complexity:
        O(n^2 m) at worst, far less as a rule; the full matrix is held.

    Relations:
        * of sets of equal size the cost is that of exact transport between uniform weights, times n.
        * max_cost = infinity: the plain assignment; a smaller max_cost never gives more pairs.
        * maximize on -c: the same pairs as c.

    References: Crouse 2016 (the shortest augmenting paths that scipy has).
    """

    metric: Any = "euclidean"
    maximize: bool = False
    max_cost: float | None = None

    def align(self, a: Any, b: Any) -> Alignment:
        """Match elements by their distance.

        Raises:
            ModalityError: elements of unlike features, NaN, or sets too large for the matrix of their distances.
        """
        if self.maximize:
            raise ModalityError(
                "Assignment(maximize=True) takes scores, and align would give it distances. Use align_costs."
            )
        (x, rate_a), (y, rate_b) = frames(a, "a"), frames(b, "b")
        return self._match(all_distances(x, y, self.metric, "Assignment"), (rate_a, rate_b))

    def align_costs(self, costs: Any) -> Alignment:
        """Match by given costs; infinity (with `maximize`: minus infinity) forbids a pair."""
        return self._match(cost_matrix(costs), (1.0, 1.0))

    def _match(self, costs: Float[np.ndarray, "a b"], rates: tuple[float, float]) -> Alignment:
        path = assign(-costs if self.maximize else costs, self._least())
        total = float(costs[path[:, 0], path[:, 1]].sum())
        return Alignment.of_path(path, costs.shape, self, cost=total, rates=rates)

    def _least(self) -> float | None:
        if self.max_cost is None or not self.maximize:
            return self.max_cost
        return -self.max_cost


def assign(costs: Float[np.ndarray, "a b"], max_cost: float | None = None) -> Int[np.ndarray, "p 2"]:
    """The pairs of least total cost, by element of a.

    Args:
        costs: Cost of each pair; infinity forbids it.
        max_cost: What leaving one pair unmatched is worth; None: every element of the smaller set must be matched.

    Raises:
        ModalityError: the forbidden pairs leave no full matching; says for which elements.
    """
    from scipy.optimize import linear_sum_assignment

    if (costs == -np.inf).any():
        raise ModalityError(
            "Costs must not be minus infinity: no matching would be cheapest. Use a large finite gain."
        )
    if max_cost is not None and np.isfinite(max_cost):
        gain = np.minimum(costs - max_cost, 0.0)  # a pair of gain 0 is one left alone
        rows, columns = linear_sum_assignment(gain)
        kept = costs[rows, columns] < max_cost
        return np.stack([rows[kept], columns[kept]], axis=1).astype(np.int64)
    allowed = np.isfinite(costs)
    if not allowed.all() and (blocked := _unmatched(allowed)):
        side, elements = blocked
        raise ModalityError(
            f"Infinite costs forbid a full matching of {costs.shape[0]} by {costs.shape[1]} elements: elements {elements} of {side} "
            f"cannot all have a partner of their own. Allow more pairs, or set max_cost to leave elements unmatched."
        )
    rows, columns = linear_sum_assignment(costs)
    return np.stack([rows, columns], axis=1).astype(np.int64)


def _unmatched(allowed: np.ndarray) -> tuple[str, list[int]] | None:
    """Elements of the smaller set that a largest matching of the allowed pairs leaves out."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    side, table = ("a", allowed) if allowed.shape[0] <= allowed.shape[1] else ("b", allowed.T)
    partners = maximum_bipartite_matching(csr_array(table), perm_type="column")
    left = np.flatnonzero(partners < 0).tolist()
    return (side, left[:10]) if left else None

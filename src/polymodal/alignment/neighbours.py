"""Nearest neighbours as alignments: mutual ones, which are few and sure, and soft ones, which are all and differentiable in spirit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.alignment._costs import frames
from polymodal.alignment._distances import all_distances, cost_matrix
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int, Num

BLOCK = 2**22
"""Distances held at once."""


@dataclass(frozen=True)
class MutualNeighbours:
    r"""Pairs that are each other's nearest: $j = NN_b(i)$ and $i = NN_a(j)$; everyone else is left alone.

    Args:
        metric: Distance in `align`: a name that scipy's `cdist` knows, or a function of (n, d) and (m, d) that gives (n, m).
        largest: The entries given to `align_costs` are scores: neighbours are those of the largest.

    Complexity:
        O(n m d) time; `align` holds some rows of distances at a time, never the matrix.

    Relations:
        * at most min(n, m) pairs, each element in at most one, and at least one pair.
        * symmetric in a and b where no distances are equal (of equal ones the first counts).
        * a cycle a -> b -> a of nearest neighbours returns exactly at these elements.
    """

    metric: Any = "euclidean"
    largest: bool = False

    def align(self, a: Any, b: Any) -> Alignment:
        """The mutual neighbours of two sets in one space.

        Raises:
            ModalityError: elements of unlike features, or NaN.
        """
        if self.largest:
            raise ModalityError(
                "MutualNeighbours(largest=True) takes scores, and align would give it distances. Use align_costs."
            )
        (x, rate_a), (y, rate_b) = frames(a, "a"), frames(b, "b")
        path, costs = _near(x, y, self.metric)
        return Alignment.of_path(
            path, (len(x), len(y)), self, cost=float(costs.sum()), rates=(rate_a, rate_b)
        )

    def align_costs(self, costs: Any) -> Alignment:
        """The mutual neighbours by given costs; a pair of infinite cost is none."""
        c = cost_matrix(costs)
        path = mutual_neighbours(-c if self.largest else c)
        return Alignment.of_path(path, c.shape, self, cost=float(c[path[:, 0], path[:, 1]].sum()))


@dataclass(frozen=True)
class SoftNeighbours:
    r"""Every element of a is shared among those of b: $P_{ij} = \mathrm{softmax}_j(-c_{ij}/\tau)$; each row of the coupling adds up to 1.

    Args:
        temperature: tau > 0, in the unit of the costs.
        metric: As in `MutualNeighbours`; squared Euclidean, as in temporal cycle consistency, unless said.

    Relations:
        * tau -> 0: all weight on the nearest; tau -> infinity: 1 / m each.
        * each row adds up to 1.
    """

    temperature: float = 1.0
    metric: Any = "sqeuclidean"

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ModalityError(f"SoftNeighbours needs a temperature > 0, got {self.temperature}.")

    def align(self, a: Any, b: Any) -> Alignment:
        """The soft neighbours of two sets in one space.

        Raises:
            ModalityError: elements of unlike features, NaN, or sets too large for the full coupling.
        """
        (x, rate_a), (y, rate_b) = frames(a, "a"), frames(b, "b")
        return self._share(all_distances(x, y, self.metric, "SoftNeighbours"), (rate_a, rate_b))

    def align_costs(self, costs: Any) -> Alignment:
        """The soft neighbours by given costs; a pair of infinite cost gets nothing."""
        return self._share(cost_matrix(costs), (1.0, 1.0))

    def _share(self, costs: Float[np.ndarray, "a b"], rates: tuple[float, float]) -> Alignment:
        weights = soft_neighbours(costs, temperature=self.temperature)
        carried = float((weights * np.where(weights > 0, costs, 0.0)).sum())
        return Alignment.of_coupling(weights, self, cost=carried, rates=rates)


def mutual_neighbours(costs: Num[np.ndarray, "a b"]) -> Int[np.ndarray, "p 2"]:
    """Pairs (i, j) where j is the cheapest in row i and i the cheapest in column j; of equal costs the first counts."""
    forth, back = costs.argmin(axis=1), costs.argmin(axis=0)
    rows = np.flatnonzero(back[forth] == np.arange(len(costs)))
    pairs = np.stack([rows, forth[rows]], axis=1)
    return np.asarray(pairs[np.isfinite(costs[pairs[:, 0], pairs[:, 1]])], dtype=np.int64)


def soft_neighbours(costs: Num[np.ndarray, "a b"], *, temperature: float = 1.0) -> Float[np.ndarray, "a b"]:
    r"""$\mathrm{softmax}_j(-c_{ij}/\tau)$.

    Raises:
        ModalityError: a row of infinite costs only, which has no neighbours.
    """
    least = costs.min(axis=1, keepdims=True)
    if not np.isfinite(least).all():
        alone = np.flatnonzero(~np.isfinite(least[:, 0]))
        raise ModalityError(
            f"Elements {alone[:10].tolist()} of a have only infinite costs, so no neighbours. Leave them out."
        )
    weights = np.exp((least - costs) / temperature)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _near(x: np.ndarray, y: np.ndarray, metric: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mutual neighbours of vectors and their distances, some rows at a time."""
    rows = max(1, BLOCK // len(y))
    forth, forth_cost = np.empty(len(x), dtype=np.int64), np.empty(len(x))
    back, back_cost = np.zeros(len(y), dtype=np.int64), np.full(len(y), np.inf)
    for start in range(0, len(x), rows):
        costs = all_distances(x[start : start + rows], y, metric, "MutualNeighbours")
        here = slice(start, start + len(costs))
        forth[here] = costs.argmin(axis=1)
        forth_cost[here] = costs.min(axis=1)
        best = costs.argmin(axis=0)
        cost = costs[best, np.arange(len(y))]
        nearer = cost < back_cost
        back[nearer], back_cost[nearer] = best[nearer] + start, cost[nearer]
    found = np.flatnonzero(back[forth] == np.arange(len(x)))
    return np.stack([found, forth[found]], axis=1), forth_cost[found]

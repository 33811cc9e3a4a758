"""Alignments chained: from a to b to c, and around a ring back to where one began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array

from polymodal.alignment.answer import Aligner, Alignment
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Int


@dataclass(frozen=True)
class Composition:
    """The method of a composed alignment: two others, one after the other.

    Attributes:
        first: Who aligned a with b.
        second: Who aligned b with c.
    """

    first: Aligner
    second: Aligner

    def align(self, a: Any, b: Any) -> Alignment:
        """Refused: what lies between is not there.

        Raises:
            ModalityError: always.
        """
        raise ModalityError(
            "A composition needs what lies between: compose(align(a, b, first), align(b, c, second))."
        )

    def align_costs(self, costs: Any) -> Alignment:
        """Refused, as `align`.

        Raises:
            ModalityError: always.
        """
        return self.align(costs, costs)


def compose(ab: Alignment, bc: Alignment) -> Alignment:
    r"""From a to c by way of b: $P_{ac} = P_{ab}\,\mathrm{diag}(r)^{-1} P_{bc}$, r the row sums of $P_{bc}$.

    The path is that of pairs that share an element of b. An element of b that goes nowhere in c ends the way. The costs are added.

    Args:
        ab: An alignment of a with b.
        bc: One of the same b with c.

    Raises:
        ModalityError: the two have different numbers of elements of b.

    Relations:
        * associative, but for the method's name.
        * with the identity: the same path and coupling.
        * couplings that meet the weights of b: the composition meets those of a and c.
        * path = the non-zero cells of the product of the two paths' matrices.
    """
    if ab.length_b != bc.length_a:
        raise ModalityError(
            f"To compose two alignments, the second must begin where the first ends: it has {bc.length_a} elements there, the first "
            f"{ab.length_b}. Give compose(a to b, b to c); inverse() turns one round."
        )
    leaving = np.asarray(bc.coupling.sum(axis=1)).ravel()
    shares = np.divide(1.0, leaving, out=np.zeros_like(leaving), where=leaving > 0)
    coupling = csr_array(ab.coupling @ diags_array(shares) @ bc.coupling)
    ways = csr_array(_matrix(ab) @ _matrix(bc)).sorted_indices().tocoo()
    path = np.stack([ways.row, ways.col], axis=1).astype(np.int64)
    cost = ab.cost + bc.cost
    return Alignment(
        path, coupling, cost, cost / max(1, len(path)), ab.length_a, bc.length_b, ab.rate_a, bc.rate_b, Composition(ab.method, bc.method),
    )  # fmt: skip


def cycle_consistent(ring: Sequence[Alignment]) -> Int[np.ndarray, "p k"]:
    """The chains of elements, one of each set, that the ring of alignments leads back to where they began.

    Args:
        ring: Alignments of a with b, b with c, ..., and the last set with a.

    Returns:
        One row per chain: its element of a, of b, ...; in the order of a.

    Raises:
        ModalityError: the ring does not close.

    Relations:
        * two alignments by nearest neighbour, there and back: the pairs of `MutualNeighbours`.
        * every row's consecutive elements are pairs of the ring's alignments.
    """
    if len(ring) < 2 or any(x.length_b != y.length_a for x, y in pairwise([*ring, ring[0]])):
        sizes = [(x.length_a, x.length_b) for x in ring]
        raise ModalityError(
            f"A ring needs two or more alignments, each beginning where the one before ends and the last ending where the first begins; "
            f"got lengths {sizes}."
        )
    chains = ring[0].path
    for step in ring[1:]:
        order = step.path[np.argsort(step.path[:, 0], kind="stable")]
        first = np.searchsorted(order[:, 0], chains[:, -1], side="left")
        counts = np.searchsorted(order[:, 0], chains[:, -1], side="right") - first
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        reached = order[np.repeat(first, counts) + offsets, 1]
        chains = np.column_stack([np.repeat(chains, counts, axis=0), reached])
    closed = chains[chains[:, 0] == chains[:, -1], :-1]
    return np.asarray(closed[np.lexsort(closed.T[::-1])], dtype=np.int64)


def _matrix(alignment: Alignment) -> csr_array:
    cells = (alignment.path[:, 0], alignment.path[:, 1])
    return csr_array((np.ones(len(alignment.path)), cells), shape=(alignment.length_a, alignment.length_b))

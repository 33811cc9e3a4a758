"""Word alignments of both directions, made into one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from polymodal.alignment._word_model import WordModel
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Int

Rule = Literal["intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and"]
RULES: tuple[Rule, ...] = ("intersection", "union", "grow-diag", "grow-diag-final", "grow-diag-final-and")
_AROUND = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrise(
    forward: Int[np.ndarray, "p 2"],
    backward: Int[np.ndarray, "q 2"],
    rule: Rule | str = "grow-diag-final-and",
) -> Int[np.ndarray, "r 2"]:
    """One set of links out of two that were found in opposite directions, both as (position in a, position in b).

    Args:
        forward: Links of b's words to a's.
        backward: Links of a's words to b's.
        rule: "intersection" and "union" of both. "grow-diag" starts at the intersection and takes links of the union that touch one
            already taken, straight or diagonally, where a word is still without one. "grow-diag-final" then takes links of either
            set, forward first, where one of the two words has none; "grow-diag-final-and" where both have none.

    Returns:
        Links in order of position.

    Raises:
        ModalityError: an unknown rule.

    Relations:
        * intersection <= grow-diag <= grow-diag-final, grow-diag-final-and <= union.
        * forward = backward: every rule gives it back.

    References:
        Och and Ney 2003. Koehn, Och and Marcu 2003 (the order in which links are tried).
    """
    if rule not in RULES:
        raise ModalityError(f"symmetrise knows the rules {list(RULES)}, got {rule!r}.")
    one, other = ({(int(i), int(j)) for i, j in links} for links in (forward, backward))
    union = one | other
    taken = union if rule == "union" else one & other
    if rule.startswith("grow-diag"):
        _grow(taken, union)
    if rule.startswith("grow-diag-final"):
        both = rule.endswith("and")
        for links in (one, other):
            for i, j in sorted(links):
                free_a, free_b = i not in {x for x, _ in taken}, j not in {y for _, y in taken}
                if (free_a and free_b) if both else (free_a or free_b):
                    taken.add((i, j))
    return np.array(sorted(taken), dtype=np.int64).reshape(-1, 2)


def _grow(taken: set[tuple[int, int]], union: set[tuple[int, int]]) -> None:
    linked_a, linked_b = {i for i, _ in taken}, {j for _, j in taken}
    grown = True
    while grown:
        grown = False
        for i, j in sorted(taken):
            for down, right in _AROUND:
                near = i + down, j + right
                if (
                    near in union
                    and near not in taken
                    and (near[0] not in linked_a or near[1] not in linked_b)
                ):
                    taken.add(near)
                    linked_a.add(near[0])
                    linked_b.add(near[1])
                    grown = True


class Symmetrised:
    """A word alignment model learned in both directions, whose links are joined by a rule.

    Words of a that translate into several words of b, and the other way round, are both found; a model of one direction links each
    word of b once.

    Args:
        model: `IBM1()`, `IBM2()` or `HMMWordAligner()`: it is copied for each direction.
        rule: See `symmetrise`.

    Attributes:
        forward_: The model that links words of b to words of a.
        backward_: The one that links words of a to words of b.

    Relations:
        * its path = symmetrise(forward path, inverse of the backward path, rule).
        * its coupling is the geometric mean of both posteriors (Liang et al. 2006 agree by their product).
    """

    def __init__(self, model: WordModel, rule: Rule | str = "grow-diag-final-and") -> None:
        self.model = model
        self.rule = rule

    def __repr__(self) -> str:
        return f"Symmetrised({self.model!r}, {self.rule!r})"

    def fit(self, a: Sequence[Any], b: Sequence[Any]) -> Symmetrised:
        """Learn both directions from sentence pairs; returns itself. See `IBM1.fit`."""
        if self.rule not in RULES:
            raise ModalityError(f"Symmetrised knows the rules {list(RULES)}, got {self.rule!r}.")
        self.forward_ = copy.deepcopy(self.model).fit(a, b)
        self.backward_ = copy.deepcopy(self.model).fit(b, a)
        return self

    def align(self, a: str | Sequence[str], b: str | Sequence[str]) -> Alignment:
        """The joined links. The cost is the sum of both directions', in nats."""
        return self._joined(self._both("forward_").align(a, b), self._both("backward_").align(b, a))

    def align_costs(self, costs: Any) -> Alignment:
        """The same with costs as -log t in both directions."""
        given = np.asarray(costs, dtype=np.float64)
        return self._joined(
            self._both("forward_").align_costs(given), self._both("backward_").align_costs(given.T)
        )

    def _joined(self, forward: Alignment, backward: Alignment) -> Alignment:
        path = symmetrise(forward.path, backward.path[:, ::-1], self.rule)
        coupling = forward.coupling.multiply(backward.coupling.T).sqrt()
        return Alignment.of_coupling(
            coupling, self, cost=forward.cost + backward.cost, path=path,
            normalised_cost=forward.normalised_cost + backward.normalised_cost,
        )  # fmt: skip

    def _both(self, name: str) -> WordModel:
        if not hasattr(self, name):
            self.model._check_fitted()  # an untrained model says what is to be done
            raise ModalityError(
                "Symmetrised learns its own copies: call fit(sentences_a, sentences_b) first."
            )
        found: WordModel = getattr(self, name)
        return found

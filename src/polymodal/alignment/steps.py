"""Which moves a warping path may make, what each costs, and what makes costs of different lengths comparable."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Float, Int

Move = tuple[int, int, float]
Normalisation = Literal["path", "both", "first"]


@dataclass(frozen=True)
class StepPattern:
    r"""The steps a path may take. A step is one or more moves (frames of a, frames of b, weight), each onto a cell it pays for.

    $D_{ij} = \min_{\text{steps}} \big( D_{\text{origin}} + \sum_{\text{moves}} w\, c_{\text{cell}} \big)$, $D_{00} = c_{00}$.

    Args:
        steps: Each a tuple of moves. A step that advances b alone must be the single move (0, 1, w).
        normalisation: What the cost is divided by: frames covered in "both", in the "first", or the number of cells on the "path".

    Relations:
        * slope_limited(0) takes the same steps as symmetric2, at the same cost.
        * asymmetric(largest_jump=1) follows a, and never skips or repeats a frame of a.

    References: Sakoe & Chiba 1978, table I; Itakura 1975.
    """

    steps: tuple[tuple[Move, ...], ...]
    normalisation: Normalisation = "path"

    def __post_init__(self) -> None:
        for step in self.steps:
            moves = np.array(step, dtype=float).reshape(len(step), -1 if step else 0)
            fits = (
                len(step) > 0
                and moves.shape[1] == 3
                and (moves >= 0).all()
                and (moves[:, :2].sum(1) > 0).all()
            )
            if not fits or (moves[:, 0].sum() == 0 and (len(step) > 1 or step[0][:2] != (0, 1))):
                raise ModalityError(
                    "StepPattern needs steps of moves (frames of a, frames of b, weight), none negative, each moving; one that does not "
                    f"advance a must be the single move (0, 1, weight). Got {step}."
                )

    @classmethod
    def symmetric1(cls) -> StepPattern:
        """One frame of a, of b, or of both; every cell weighs 1. Prefers diagonals, being fewer cells."""
        return cls((((1, 1, 1.0),), ((1, 0, 1.0),), ((0, 1, 1.0),)), "path")

    @classmethod
    def symmetric2(cls) -> StepPattern:
        """As symmetric1, a diagonal weighs 2: every path weighs as much, so costs divide by length_a + length_b."""
        return cls((((1, 1, 2.0),), ((1, 0, 1.0),), ((0, 1, 1.0),)), "both")

    @classmethod
    def asymmetric(cls, largest_jump: int = 2) -> StepPattern:
        """Each frame of a takes one frame of b, from 0 to `largest_jump` after the last one; those between are skipped."""
        if largest_jump < 1:
            raise ModalityError(
                f"StepPattern.asymmetric needs largest_jump >= 1 frame of b, got {largest_jump}."
            )
        jumps = [1, 0, *range(2, largest_jump + 1)]
        return cls(tuple(((1, jump, 1.0),) for jump in jumps), "first")

    @classmethod
    def slope_limited(cls, limit: float = 1.0, *, symmetric: bool = True) -> StepPattern:
        """Sakoe and Chiba's P: of d diagonal moves, at most d / P others in one direction may follow in a row.

        Args:
            limit: P: 0 (no limit), 1 / k, or a whole number. 1 holds the slope between 1/2 and 2.
            symmetric: Weigh moves by the frames of a plus those of b (diagonals 2), or by the frames of a alone (shared among the
                cells of a step).
        """
        if limit == 0:
            return (
                cls.symmetric2()
                if symmetric
                else cls((((1, 1, 1.0),), ((1, 0, 1.0),), ((0, 1, 0.0),)), "first")
            )
        ratio = Fraction(limit).limit_denominator(100) if limit > 0 else Fraction(0)
        if 1 not in (ratio.numerator, ratio.denominator) or ratio <= 0:
            raise ModalityError(
                f"StepPattern.slope_limited needs limit 0, 1/k or a whole number, got {limit}."
            )
        diagonal = [(1, 1)] * ratio.numerator
        shapes = [[(1, 1)]]
        for count in range(1, ratio.denominator + 1):
            shapes += [[*diagonal, *[(1, 0)] * count], [*diagonal, *[(0, 1)] * count]]
        return cls(tuple(_weighted(moves, symmetric) for moves in shapes), "both" if symmetric else "first")

    @classmethod
    def named(cls, name: str) -> StepPattern:
        """One of the usual patterns by its name, for configuration files."""
        if name not in _NAMED:
            raise ModalityError(
                f"Unknown step pattern {name!r}; known: {sorted(_NAMED)}.{suggest(name, _NAMED)}"
            )
        kind, limit = _NAMED[name]
        if kind == "symmetric1":
            return cls.symmetric1()
        return cls.asymmetric() if limit is None else cls.slope_limited(limit, symmetric=kind == "symmetric")

    @property
    def slopes(self) -> tuple[float, float]:
        """Fewest and most frames of b per frame of a over a whole path."""
        rises = [(sum(m[1] for m in step), sum(m[0] for m in step)) for step in self.steps]
        ratios = [b / a if a else np.inf for b, a in rises]
        return min(ratios), max(ratios)

    @property
    def diagonal_weight(self) -> float | None:
        """W where the pattern is the three single moves weighing w, 1, 1, which have a faster way; None for others."""
        for weight, known in ((1.0, StepPattern.symmetric1()), (2.0, StepPattern.symmetric2())):
            if set(self.steps) == set(known.steps):
                return weight
        return None

    def table(self) -> tuple[Int[np.ndarray, "p s 2"], Float[np.ndarray, "p s"]]:
        """Cells of each step as offsets back from its end (entry 0: where it comes from) and their weights; -1 where unused."""
        longest = max(len(step) for step in self.steps) + 1
        cells = np.full((len(self.steps), longest, 2), -1, dtype=np.int64)
        weights = np.zeros((len(self.steps), longest))
        for p, step in enumerate(self.steps):
            moves = np.array([m[:2] for m in step])
            total = moves.sum(0)
            cells[p, 0] = total
            cells[p, 1 : len(step) + 1] = total - np.cumsum(moves, axis=0)
            weights[p, 1 : len(step) + 1] = [m[2] for m in step]
        return cells, weights

    def extent(self, path: Int[np.ndarray, "p 2"]) -> float:
        """What the cost of `path` is divided by."""
        covered = path[-1] - path[0] + 1
        if self.normalisation == "both":
            return float(covered.sum())
        return float(covered[0] if self.normalisation == "first" else len(path))


def _weighted(moves: list[tuple[int, int]], symmetric: bool) -> tuple[Move, ...]:
    share = sum(a for a, _ in moves) / len(moves)
    return tuple((a, b, float(a + b) if symmetric else share) for a, b in moves)


_NAMED: dict[str, tuple[str, float | None]] = {
    "symmetric1": ("symmetric1", None),
    "asymmetric": ("asymmetric", None),
    "symmetric2": ("symmetric", 0),
    "symmetric_p05": ("symmetric", 0.5),
    "symmetric_p1": ("symmetric", 1),
    "symmetric_p2": ("symmetric", 2),
    "asymmetric_p0": ("asymmetric", 0),
    "asymmetric_p05": ("asymmetric", 0.5),
    "asymmetric_p1": ("asymmetric", 1),
    "asymmetric_p2": ("asymmetric", 2),
}

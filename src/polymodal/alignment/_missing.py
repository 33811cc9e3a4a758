"""Frames that are missing: left out of the warping, or free to go with any frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.alignment import _costs
from polymodal.alignment.windows import Bounds, Window, whole
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Gapped:
    """A sequence, and which of its frames are there. Frames that are not hold the first one that is."""

    values: Float[np.ndarray, "t d"]
    present: Bool[np.ndarray, " t"]
    rate: float

    @property
    def rows(self) -> Int[np.ndarray, " kept"]:
        """Numbers of the frames that are there."""
        return np.flatnonzero(self.present)


@dataclass(frozen=True, eq=False)
class Remaining:
    """A window on all frames, as it bounds those that are there."""

    window: Window | None
    a: Bool[np.ndarray, " n"]
    b: Bool[np.ndarray, " m"]

    def bounds(self, length_a: int, length_b: int) -> Bounds:
        """First and last of the frames of b that are there, for each of a."""
        n, m = len(self.a), len(self.b)
        first, last = whole(n, m) if self.window is None else self.window.bounds(n, m)
        rows = np.flatnonzero(self.b)
        return np.searchsorted(rows, first[self.a]), np.searchsorted(rows, last[self.a], side="right") - 1

    def __repr__(self) -> str:
        return f"{self.window}, among the frames that are present"


def gapped(sequence: Any, name: str) -> Gapped:
    """A sequence whose frames of NaN alone are missing.

    Raises:
        ModalityError: a frame that is NaN in part, infinity, or no frame at all.
    """
    x, rate = _costs.numbers(sequence, name)
    present = ~np.isnan(x).all(axis=1)
    if not present.any():
        raise ModalityError(f"Sequence {name} has no frame that is not NaN: there is nothing to align.")
    _costs.finite(x, present, name)
    x = x.copy()
    x[~present] = x[present.argmax()]
    return Gapped(x, present, rate)


def free_costs(a: Gapped, b: Gapped, metric: _costs.Metric) -> Float[np.ndarray, "n m"]:
    """Costs of all pairs of frames, 0 where one is missing."""
    costs = _costs.matrix(a.values, b.values, metric).copy()
    costs[~a.present] = 0.0
    costs[:, ~b.present] = 0.0
    return costs

"""Which cells a warping path may visit: windows give, for each frame of a, the first and last frame of b."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Int

Bounds = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]


@runtime_checkable
class Window(Protocol):
    """Anything with `bounds`; write your own for another shape. Both bounds must never fall from frame to frame."""

    def bounds(self, length_a: int, length_b: int) -> Bounds:
        """First and last frame of b (inclusive) for each frame of a; a first above its last means none."""


@dataclass(frozen=True)
class SakoeChiba:
    r"""A band around the diagonal: $|i - j| \le$ `radius`.

    Args:
        radius: Frames, >= 0. dtaidistance's `window` counts the diagonal as well: it is radius + 1.
        slanted: Measure from the line that joins the two corners, in frames of b, instead of from i = j: for sequences of unlike rates.

    Relations:
        * radius 0 on equal lengths: the path is the diagonal, the cost the sum of the frame-by-frame distances.
        * slanted changes nothing when the lengths are equal.

    References: Sakoe & Chiba 1978.
    """

    radius: int
    slanted: bool = False

    def __post_init__(self) -> None:
        if self.radius < 0:
            raise ModalityError(
                f"SakoeChiba needs radius >= 0 frames, got {self.radius}. Radius 0 is the diagonal alone."
            )

    def bounds(self, length_a: int, length_b: int) -> Bounds:
        """First and last frame of b for each frame of a."""
        centre = np.arange(length_a)
        if self.slanted and length_a != length_b:
            line = centre * ((length_b - 1) / max(length_a - 1, 1))
            first, last = np.ceil(line - self.radius - 1e-9), np.floor(line + self.radius + 1e-9)
        else:
            first, last = centre - self.radius, centre + self.radius
        return _clip(first, last, length_b)

    def wider(self, length_a: int, length_b: int) -> SakoeChiba:
        """The next window to try where this one holds no path."""
        least = 0 if self.slanted else abs(length_a - length_b)
        return SakoeChiba(
            least if least > self.radius else self.radius + max(1, self.radius // 4), self.slanted
        )


@dataclass(frozen=True)
class Itakura:
    r"""A parallelogram: from both corners the path rises by at most `slope` and at least 1 / `slope`.

    Args:
        slope: Frames of b per frame of a, > 1 (or 1 on equal lengths: the diagonal alone).

    References: Itakura 1975.
    """

    slope: float = 2.0

    def __post_init__(self) -> None:
        if not self.slope >= 1:
            raise ModalityError(f"Itakura needs slope >= 1, got {self.slope}. The usual slope is 2.")

    def bounds(self, length_a: int, length_b: int) -> Bounds:
        """First and last frame of b for each frame of a."""
        i, s = np.arange(length_a), self.slope
        rest = length_a - 1 - i
        first = np.ceil(np.maximum(i / s, length_b - 1 - s * rest) - 1e-9)
        last = np.floor(np.minimum(s * i, length_b - 1 - rest / s) + 1e-9)
        return _clip(first, last, length_b)

    def wider(self, length_a: int, length_b: int) -> Itakura:
        """The next window to try where this one holds no path."""
        return Itakura(round(self.slope * 1.1 + 0.05, 1))


def _clip(first: np.ndarray, last: np.ndarray, length_b: int) -> Bounds:
    """Into 0 .. length_b - 1; a row whose band lies wholly outside stays empty (its first above its last)."""
    return np.maximum(first, 0).astype(np.int64), np.minimum(last, length_b - 1).astype(np.int64)


def whole(length_a: int, length_b: int) -> Bounds:
    """No window: every cell."""
    return np.zeros(length_a, dtype=np.int64), np.full(length_a, length_b - 1, dtype=np.int64)


def holds_path(
    first: Int[np.ndarray, " n"],
    last: Int[np.ndarray, " n"],
    length_b: int,
    *,
    open_begin: bool,
    open_end: bool,
) -> bool:
    """Whether steps of one frame at a time can cross the window."""
    return bool(
        (first <= last).all()
        and (first[1:] <= last[:-1] + 1).all()
        and (open_begin or first[0] == 0)
        and (open_end or last[-1] == length_b - 1)
    )


def checked(window: Window, length_a: int, length_b: int) -> Bounds:
    """The bounds of any window, refused unless they can be used as they are."""
    first, last = (np.ascontiguousarray(x, dtype=np.int64) for x in window.bounds(length_a, length_b))
    if first.shape != (length_a,) or last.shape != (length_a,):
        raise ModalityError(
            f"{window} needs one first and one last frame of b for each of {length_a} frames of a, got shapes {first.shape}, {last.shape}."
        )
    first, last = np.maximum(first, 0), np.minimum(last, length_b - 1)
    if (np.diff(first) < 0).any() or (np.diff(last) < 0).any():
        raise ModalityError(
            f"{window} needs bounds that never fall from one frame of a to the next, as a warping path never does."
        )
    return first, last

"""The problem, `align(a, b, method)`, and its answer, `Alignment`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Float, Int, Num


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which element of a goes with which of b.

    Attributes:
        path: Matched pairs (frame of a, frame of b), in order.
        cost: What the method minimised, >= 0.
        normalised_cost: The cost per unit of length (for DTW: see `StepPattern.normalisation`), comparable between pairs of sequences.
        length_a: Frames of a.
        length_b: Frames of b.
        rate_a: Frames per second of a; 1 where the sequence came without a rate, so that times are frame numbers.
        rate_b: Frames per second of b.
        method: The method that gave this answer.
    """

    path: Int[np.ndarray, "p 2"]
    cost: float
    normalised_cost: float
    length_a: int
    length_b: int
    rate_a: float
    rate_b: float
    method: Aligner

    def __len__(self) -> int:
        return len(self.path)

    def __repr__(self) -> str:
        return f"Alignment({len(self)} pairs of {self.length_a} and {self.length_b} frames, cost {self.cost:.6g}, by {self.method})"

    def times(self) -> Float[np.ndarray, "p 2"]:
        """The matched pairs in seconds (in frames where there is no rate)."""
        return np.asarray(self.path / np.array([self.rate_a, self.rate_b]))

    def inverse(self) -> Alignment:
        """The same matches seen from b."""
        return Alignment(
            np.ascontiguousarray(self.path[np.argsort(self.path[:, 1], kind="stable"), ::-1]),
            self.cost, self.normalised_cost, self.length_b, self.length_a, self.rate_b, self.rate_a, self.method,
        )  # fmt: skip

    def matrix(self) -> Bool[np.ndarray, "a b"]:
        """True where a frame of a goes with a frame of b."""
        together = np.zeros((self.length_a, self.length_b), dtype=bool)
        together[self.path[:, 0], self.path[:, 1]] = True
        return together

    def warp(self, b: Num[np.ndarray, "b ..."]) -> Float[np.ndarray, "a ..."]:
        """Bring `b`, or anything measured at its frames, onto the time of a: the mean over the frames matched with each frame of a.

        A frame of a without a match takes the values of the last matched one before it (before the first match: of the first).

        Relations:
            * warp(x) = x where the path is the diagonal.
        """
        values = np.asarray(b, dtype=np.float64)
        if len(values) != self.length_b:
            raise ModalityError(
                f"warp needs one value per frame of b, {self.length_b}, got {len(values)}. "
                "To bring a onto the time of b use inverse().warp(a)."
            )
        counts = np.bincount(self.path[:, 0], minlength=self.length_a)
        sums = np.zeros((self.length_a, *values.shape[1:]))
        np.add.at(sums, self.path[:, 0], values[self.path[:, 1]])
        matched = np.flatnonzero(counts)
        nearest = matched[np.maximum(np.searchsorted(matched, np.arange(self.length_a), side="right") - 1, 0)]
        return sums[nearest] / counts[nearest].reshape(-1, *[1] * (values.ndim - 1))

    def plot(self, a: Num[np.ndarray, "a ..."], b: Num[np.ndarray, "b ..."]) -> Any:
        """Draw both sequences joined by lines; gives matplotlib's axes."""
        from polymodal.alignment.plot import plot_matches

        return plot_matches(self, a, b)


@runtime_checkable
class Aligner(Protocol):
    """A method that `align` takes."""

    def align(self, a: Any, b: Any) -> Alignment:
        """Which frame of a goes with which of b."""

    def align_costs(self, costs: Any) -> Alignment:
        """The same, given what each pair of frames costs."""


def _method(method: Aligner | None) -> Aligner:
    from polymodal.alignment.dtw import DTW

    return DTW() if method is None else method


def align(a: Any, b: Any, method: Aligner | None = None) -> Alignment:
    """Find which element of `a` goes with which of `b`.

    Args:
        a: A sequence, (frames,) or (frames, features), or a `Ragged` of one sequence, whose rate then gives times in seconds.
        b: The other, of any length.
        method: An aligner object; `DTW()` unless said.

    Examples:
        >>> align([0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0]).path.tolist()
        [[0, 0], [0, 1], [1, 2], [2, 3]]
    """
    return _method(method).align(a, b)


def align_costs(costs: Num[np.ndarray, "a b"], method: Aligner | None = None) -> Alignment:
    """As `align`, from the cost of every pair of elements: for modalities that share no space but can be compared.

    Relations:
        * align_costs(c) = align(a, b) where c holds the distances of their frames.
    """
    return _method(method).align_costs(costs)

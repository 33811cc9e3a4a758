"""The problem, `align(a, b, method)`, and its answer, `Alignment`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from scipy.sparse import csr_array

from polymodal.alignment._limits import check_dense
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Bool, Float, Int, Num

ALIGNERS: Mapping[str, tuple[str, str]] = {
    "dtw": ("dtw", "DTW"),
    "soft_dtw": ("soft_warping", "SoftDTW"),
    "ctw": ("canonical_time_warping", "CanonicalTimeWarping"),
    "assignment": ("assignment", "Assignment"),
    "transport": ("transport", "Transport"),
    "gromov_wasserstein": ("gromov_wasserstein", "GromovWasserstein"),
    "mutual_neighbours": ("neighbours", "MutualNeighbours"),
}
"""Name -> (module of this package, class): the methods that `align` knows by name, each with its defaults."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which element of a goes with which of b.

    Every method gives all fields. A hard method (time warping, assignment) couples the pairs of its path with weight 1; a soft one
    (posteriors, transport, attention) gives the weights, and as path its hard reading.

    Attributes:
        path: Matched pairs (element of a, element of b), in order.
        coupling: Weight of each pair, (length_a, length_b), >= 0, sparse: 1 on the path, or what the method believes or transports.
        cost: What the method minimised.
        normalised_cost: The cost per unit of length (for DTW: see `StepPattern.normalisation`), comparable between pairs of sequences.
        length_a: Frames of a.
        length_b: Frames of b.
        rate_a: Frames per second of a; 1 where the sequence came without a rate, so that times are frame numbers.
        rate_b: Frames per second of b.
        method: The method that gave this answer.
    """

    path: Int[np.ndarray, "p 2"]
    coupling: csr_array
    cost: float
    normalised_cost: float
    length_a: int
    length_b: int
    rate_a: float
    rate_b: float
    method: Aligner

    @classmethod
    def of_path(
        cls,
        path: Int[np.ndarray, "p 2"],
        lengths: tuple[int, int],
        method: Aligner,
        *,
        cost: float,
        normalised_cost: float | None = None,
        rates: tuple[float, float] = (1.0, 1.0),
    ) -> Alignment:
        """The answer of a hard method: each pair of the path has weight 1.

        Args:
            path: Matched pairs, each once.
            lengths: Elements of a, and of b.
            method: Who answers.
            cost: What it minimised.
            normalised_cost: The cost per matched pair unless given.
            rates: Frames per second of a, and of b.
        """
        coupling = csr_array((np.ones(len(path)), (path[:, 0], path[:, 1])), shape=lengths)
        per_pair = cost / max(1, len(path)) if normalised_cost is None else normalised_cost
        return cls(path, coupling, cost, per_pair, *lengths, *rates, method)

    @classmethod
    def of_coupling(
        cls,
        coupling: Any,
        method: Aligner,
        *,
        cost: float,
        path: Int[np.ndarray, "p 2"] | None = None,
        normalised_cost: float | None = None,
        rates: tuple[float, float] = (1.0, 1.0),
    ) -> Alignment:
        """The answer of a soft method.

        Args:
            coupling: Weights of the pairs, (length_a, length_b), dense or sparse, >= 0.
            method: Who answers.
            cost: What it minimised.
            path: The hard reading; each element of a with the one of b that weighs most (the first of equals), unless given.
                An element of a that is coupled with nothing is in no pair.
            normalised_cost: The cost per unit of weight unless given.
            rates: Frames per second of a, and of b.

        Relations:
            * a coupling of zeros and ones with one 1 a row: the same as `of_path` of those cells.
        """
        weights = csr_array(coupling, dtype=np.float64)
        weights.eliminate_zeros()
        if path is None:
            path = strongest(weights)
        per_unit = cost / max(float(weights.sum()), 1e-300) if normalised_cost is None else normalised_cost
        n, m = weights.shape
        return cls(path, weights, cost, per_unit, n, m, *rates, method)

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
            np.ascontiguousarray(self.path[np.argsort(self.path[:, 1], kind="stable"), ::-1]), self.coupling.T.tocsr(),
            self.cost, self.normalised_cost, self.length_b, self.length_a, self.rate_b, self.rate_a, self.method,
        )  # fmt: skip

    def matrix(self) -> Bool[np.ndarray, "a b"]:
        """True where an element of a goes with one of b: the path, as a full matrix.

        Raises:
            ModalityError: more than some GiB; the path says the same.
        """
        instead = "Use path, or coupling, which is sparse."
        check_dense(self.length_a, self.length_b, "The matrix of an alignment", instead, item_bytes=1)
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


def strongest(coupling: csr_array) -> Int[np.ndarray, "p 2"]:
    """For each row that has any weight, the column that weighs most; the first of equals."""
    rows = np.flatnonzero(np.diff(coupling.indptr))
    sorted_coupling = coupling.sorted_indices()
    best = np.asarray(sorted_coupling.argmax(axis=1)).ravel()[rows] if len(rows) else rows
    return np.stack([rows, best], axis=1).astype(np.int64)


def aligner(method: Aligner | str | None) -> Aligner:
    """The method named, with its defaults; an object as it is; `DTW()` where nothing is said.

    Raises:
        ModalityError: an unknown name, or an object that is no aligner.
    """
    if method is None:
        method = "dtw"
    if isinstance(method, str):
        if method not in ALIGNERS:
            raise ModalityError(
                f"align knows the methods {sorted(ALIGNERS)}, got {method!r}.{suggest(method, ALIGNERS)}"
            )
        module, name = ALIGNERS[method]
        found = getattr(importlib.import_module(f"polymodal.alignment.{module}"), name)()
        return cast(Aligner, found)
    if isinstance(method, type) or not isinstance(method, Aligner):
        raise ModalityError(
            f"align needs a method object such as DTW(), or a name of {sorted(ALIGNERS)}, got {method!r}."
        )
    return method


def align(a: Any, b: Any, method: Aligner | str | None = None) -> Alignment:
    """Find which element of `a` goes with which of `b`.

    Args:
        a: A sequence, (frames,) or (frames, features), or a `Ragged` of one sequence, whose rate then gives times in seconds.
        b: The other, of any length.
        method: An aligner object, or the name of one ("dtw", ...: `ALIGNERS`), which then has its defaults; `DTW()` unless said.

    Examples:
        >>> align([0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0]).path.tolist()
        [[0, 0], [0, 1], [1, 2], [2, 3]]
    """
    return aligner(method).align(a, b)


def align_costs(costs: Num[np.ndarray, "a b"], method: Aligner | str | None = None) -> Alignment:
    """As `align`, from the cost of every pair of elements: for modalities that share no space but can be compared.

    Relations:
        * align_costs(c) = align(a, b) where c holds the distances of their frames.
    """
    return aligner(method).align_costs(costs)

"""Two sequences made ready for the kernels: what a cell costs, without the matrix of all cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from polymodal.alignment import _kernels as k
from polymodal.alignment._limits import check_dense
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Bool, Float, Int

Metric = str | Callable[[Any, Any], Any]  # one of _METRICS, or a function of all frames

Rows = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray
]  # frames of a and of b, and their squared lengths

FEW_CELLS = 2**12

# metric -> what is added up over features, what is done with the sum, and that for squared costs
_METRICS: dict[str, tuple[int, int, int]] = {
    "euclidean": (k.SQUARES, k.ROOT, k.PLAIN),
    "sqeuclidean": (k.SQUARES, k.PLAIN, k.SQUARE),
    "cityblock": (k.ABSOLUTES, k.PLAIN, k.SQUARE),
    "cosine": (k.PRODUCTS, k.COSINE, k.COSINE_SQUARE),
}


@dataclass(frozen=True, eq=False)
class CellCosts:
    """Cells of two sequences, features first and flat; of a matrix, `a` is the matrix and `b` is empty."""

    a: Float[np.ndarray, " da"]
    b: Float[np.ndarray, " db"]
    shape: tuple[int, int]
    features: int
    kind: int
    post: int

    @cached_property
    def a_reversed(self) -> Float[np.ndarray, " da"]:
        """Each feature of a from its last frame to its first."""
        return reversed_frames(self.a, self.shape[0])

    @cached_property
    def b_reversed(self) -> Float[np.ndarray, " db"]:
        """Each feature of b from its last frame to its first."""
        return reversed_frames(self.b, self.shape[1])

    @property
    def in_tiles(self) -> bool:
        """Whether costs are worked out for tiles of cells first: where frames have several features."""
        n, m = self.shape
        return tiles_pay(self.features, n * m)

    @property
    def height(self) -> int:
        """Rows of a strip whose diagonals stay in the nearest cache."""
        return strip_height(self.features, self.kind)

    def part(self, i: slice, j: slice) -> CellCosts:
        """The cells of some frames (given by start and stop) as costs of their own."""
        n, m = self.shape
        shape = (i.stop - i.start, j.stop - j.start)
        if self.kind == k.MATRIX:
            return CellCosts(
                np.ascontiguousarray(self.a.reshape(n, m)[i, j]).ravel(),
                self.b,
                shape,
                1,
                self.kind,
                self.post,
            )
        a, b = self.a.reshape(-1, n)[:, i], self.b.reshape(-1, m)[:, j]
        return CellCosts(
            np.ascontiguousarray(a).ravel(),
            np.ascontiguousarray(b).ravel(),
            shape,
            self.features,
            self.kind,
            self.post,
        )

    def at(self, i: np.ndarray, j: np.ndarray) -> Float[np.ndarray, " p"]:
        """Costs of the cells (i, j), one by one."""
        n, m = self.shape
        if self.kind == k.MATRIX:
            return np.asarray(self.a[i * m + j])
        x, y = self.a.reshape(-1, n)[:, i], self.b.reshape(-1, m)[:, j]
        if self.kind == k.SQUARES:
            total = ((x - y) ** 2).sum(0)
        else:
            total = np.abs(x - y).sum(0) if self.kind == k.ABSOLUTES else (x * y).sum(0)
        return np.asarray(_FINISH[self.post](total))

    def along(self, path: Int[np.ndarray, "p 2"]) -> float:
        """Sum over the cells of a path, some thousands at a time."""
        pieces = (path[start : start + 4096] for start in range(0, len(path), 4096))
        return float(sum(self.at(piece[:, 0], piece[:, 1]).sum() for piece in pieces))

    @property
    def stride_a(self) -> int:
        """Distance in `a` from one feature (of a matrix: row) to the next."""
        return self.shape[1] if self.kind == k.MATRIX else self.shape[0]


def tiles_pay(features: int, cells: int) -> bool:
    """Whether tiles are faster than diagonals; measured."""
    return features >= 8 and cells >= FEW_CELLS


def strip_height(features: int, kind: int) -> int:
    """Rows taken together by `sweep`; measured: tall for one feature, lower as frames of more features fill the cache."""
    if kind == k.MATRIX:
        return 256
    return 512 if features < 8 else 256


_FINISH: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    k.PLAIN: lambda x: x,
    k.ROOT: np.sqrt,
    k.SQUARE: np.square,
    k.COSINE: lambda x: np.maximum(1 - x, 0),
    k.COSINE_SQUARE: lambda x: np.maximum(1 - x, 0) ** 2,
}


def reversed_frames(flat: np.ndarray, length: int) -> np.ndarray:
    return np.ascontiguousarray(flat.reshape(-1, length)[:, ::-1]).ravel() if flat.size else flat


def frames(sequence: Any, name: str) -> tuple[Float[np.ndarray, "t d"], float]:
    """A sequence as frames by features, and its frames per second (1 where unknown)."""
    x, rate = numbers(sequence, name)
    finite(x, np.ones(len(x), dtype=bool), name)
    return x, rate


def numbers(sequence: Any, name: str) -> tuple[Float[np.ndarray, "t d"], float]:
    """As `frames`, whatever the numbers are."""
    rate = 1.0
    if isinstance(sequence, Ragged):
        if len(sequence) != 1:
            raise ModalityError(
                f"align needs one sequence {name}, got a Ragged of {len(sequence)}. Pick one: {name}[[0]], or use pairwise_dtw."
            )
        rate = sequence.rate or 1.0
        sequence = sequence[0]
    x = np.asarray(sequence)
    if x.ndim == 0 or x.size == 0 or x.dtype.kind not in "fiub":
        raise ModalityError(
            f"Sequence {name} must hold numbers, (frames,) or (frames, features), at least one; got {x.dtype} of shape {x.shape}."
        )
    return np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float64), rate


def finite(x: Float[np.ndarray, "t d"], present: Bool[np.ndarray, " t"], name: str) -> None:
    """Refuse a sequence with NaN or infinity in a frame that should be there."""
    bad = np.flatnonzero(present & ~np.isfinite(x).all(axis=1))
    if len(bad):
        whole = np.isnan(x[bad]).all()
        raise ModalityError(
            f"Sequence {name} holds NaN or infinity in {len(bad)} of {len(x)} frames, first in frame {bad[0]}"
            + (f" (then {', '.join(map(str, bad[1:6]))}{', ...' if len(bad) > 6 else ''})" if len(bad) > 1 else "")
            + ". A missing frame has no distance: "
            + ("DTW(missing='drop') leaves such frames out, 'free' lets them match anything at no cost; " if whole else
               "a frame may be missing as a whole (DTW(missing='drop') leaves frames of NaN alone out), not in part; ")
            + "or fill them in before aligning."
        )  # fmt: skip


def same_features(a: np.ndarray, b: np.ndarray) -> None:
    """Refuse sequences whose frames cannot be compared."""
    if a.shape[1] != b.shape[1]:
        raise ModalityError(
            f"Time warping compares frames, so a and b need as many features; got a {a.shape} and b {b.shape}. Bring both into one "
            "space first (CCA, or canonical time warping, which learns the space while it aligns)."
        )


def lay_out(
    sequences: Sequence[Float[np.ndarray, "_ d"]], metric: Metric
) -> Float[np.ndarray, "features total"]:
    """Sequences one after the other, features first; unit frames for cosine, zero features as the kernels want."""
    x = sequences[0] if len(sequences) == 1 else np.concatenate(sequences)
    if metric == "cosine":
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        if (norms == 0).any():
            raise ModalityError(
                f"Cosine distance needs frames other than zero; {(norms == 0).sum()} of {len(x)} are zero. Use 'euclidean'."
            )
        x = x / norms
    d = x.shape[1]
    padding = 0 if d == 1 else (-d % 4 if d <= 4 else -d % 8)
    return np.ascontiguousarray((np.pad(x, ((0, 0), (0, padding))) if padding else x).T)


def codes(metric: Metric, squared: bool) -> tuple[int, int]:
    """The kernels' numbers for a named metric."""
    if metric not in _METRICS:
        raise ModalityError(
            f"Unknown metric {metric!r}; known: {sorted(_METRICS)}, or a function of (n, d) and (m, d) that gives (n, m)."
        )
    kind, plain, square = _METRICS[metric]
    return kind, square if squared else plain


def of_sequences(
    a: Float[np.ndarray, "n da"], b: Float[np.ndarray, "m db"], metric: Metric, *, squared: bool
) -> CellCosts:
    """Costs of the cells of two sequences; a function is called once, with both."""
    if callable(metric):
        instead = "A named metric ('euclidean', 'sqeuclidean', 'cityblock', 'cosine') needs none."
        check_dense(len(a), len(b), "The matrix of costs that a metric given as a function makes,", instead)
        return of_matrix(metric(a, b), squared=squared, shape=(len(a), len(b)))
    same_features(a, b)
    kind, post = codes(metric, squared)
    x, y = lay_out([a], metric), lay_out([b], metric)
    return CellCosts(x.ravel(), y.ravel(), (len(a), len(b)), len(x), kind, post)


def of_matrix(matrix: Any, *, squared: bool, shape: tuple[int, int] | None = None) -> CellCosts:
    """Costs that are there already."""
    c = np.asarray(matrix)
    if c.ndim != 2 or c.size == 0 or (shape is not None and c.shape != shape) or c.dtype.kind not in "fiub":
        wanted = "(frames of a, frames of b)" if shape is None else shape
        raise ModalityError(
            f"Costs must be a matrix of numbers of shape {wanted}, got {c.dtype} of shape {c.shape}."
        )
    c = np.ascontiguousarray(c, dtype=np.float64)
    if not np.isfinite(c).all() or (c < 0).any():
        raise ModalityError(
            "Costs must be finite and not negative; to forbid cells use a window, to turn similarities into costs subtract them."
        )
    return CellCosts((c * c if squared else c).ravel(), np.empty(0), c.shape, 1, k.MATRIX, k.PLAIN)


def matrix(
    a: Float[np.ndarray, "n da"], b: Float[np.ndarray, "m db"], metric: Metric
) -> Float[np.ndarray, "n m"]:
    """The whole matrix of costs, for methods that need it."""
    if callable(metric):
        return of_sequences(a, b, metric, squared=False).a.reshape(len(a), len(b))
    from scipy.spatial.distance import cdist

    same_features(a, b)
    codes(metric, False)
    x, y = (lay_out([s], metric).T for s in (a, b))
    return np.asarray(np.maximum(cdist(x, y, metric), 0.0))

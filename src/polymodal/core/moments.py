"""Means and covariances of several vector modalities in one pass: streamed, mergeable, and aware of missing rows.

What every closed-form method of second order (CCA and its kin) needs of the data, in memory that does not grow with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.typing import Float

Precision = Literal["float64", "float32"]
BLOCK_SIZE = 1024
"""Rows multiplied together: a block of some hundred columns then stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Moments:
    r"""Counts, sums and products of the columns $z = (x_1 - o_1, \dots, x_M - o_M, p_1, \dots, p_M)$, as one matrix $\sum_i z_i z_i'$.

    $p_m$ is 1 on the rows that have modality m and 0 elsewhere, and the values of absent rows count as 0; so the one product
    holds the counts $p_a'p_b$, the sums of a over the rows that also have b, and all cross products: everything pairwise complete.
    The origin $o$ is a provisional mean: it keeps the products from cancelling.

    Args:
        names: The modalities.
        dims: Features of each.
        origin: What was subtracted from each feature.
        products: The symmetric matrix above.
        precision: In which blocks were multiplied; blocks are always added up in float64.

    Relations:
        * `moments(data[:k]).merge(moments(data[k:]))` = `moments(data)`: merging is addition, in any order.
        * without missing rows, `mean` and `covariance` are numpy's.
    """

    names: tuple[str, ...]
    dims: tuple[int, ...]
    origin: Float[np.ndarray, " d"]
    products: Float[np.ndarray, "k k"]
    precision: Precision

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows. O(columns squared)."""
        if (self.names, self.dims) != (other.names, other.dims):
            mine, others = (
                dict(zip(self.names, self.dims, strict=True)),
                dict(zip(other.names, other.dims, strict=True)),
            )
            raise ModalityError(
                f"Moments merge when they are of the same modalities and features: {mine} against {others}."
            )
        moved = other.moved(self.origin).products
        coarsest: Precision = "float32" if "float32" in (self.precision, other.precision) else "float64"
        return replace(self, products=self.products + moved, precision=coarsest)

    def moved(self, origin: Float[np.ndarray, " d"]) -> Moments:
        """The same moments about another origin: x - new = (x - old) + p (old - new)."""
        products = self.products.copy()
        shift = self.origin - origin
        width = sum(self.dims)
        for m, columns in enumerate(self._slices()):
            products[:, columns] += np.outer(products[:, width + m], shift[columns])
        for m, columns in enumerate(self._slices()):
            products[columns] += np.outer(shift[columns], products[width + m])
        return replace(self, origin=origin, products=products)

    def scaled(self, weight: float) -> Moments:
        """Every row counted `weight` times."""
        return replace(self, products=self.products * weight)

    @property
    def complete(self) -> bool:
        """Whether every row seen has every modality, as far as counts can tell."""
        counts = self.products[sum(self.dims) :, sum(self.dims) :]
        return bool((counts == counts[0, 0]).all())

    def joint(self) -> Float[np.ndarray, "d d"]:
        """Covariance of all features side by side, pairwise complete: with missing rows it may have negative eigenvalues.

        Raises:
            ModalityError: two modalities that fewer than two rows have together.
        """
        return np.block([[self.covariance(a, b) for b in self.names] for a in self.names])

    def count(self, a: str, b: str | None = None) -> int:
        """Rows that have `a` (and `b`)."""
        return round(float(self.products[self._flag(a), self._flag(b or a)]))

    def mean(self, a: str) -> Float[np.ndarray, " d"]:
        """Mean of `a` over the rows that have it."""
        columns = self._columns(a)
        mean: np.ndarray = self.origin[columns] + self.products[columns, self._flag(a)] / self.count(a)
        return mean

    def covariance(self, a: str, b: str | None = None) -> Float[np.ndarray, "d_a d_b"]:
        """Covariance of `a` with `b` (or with itself) over the rows that have both, divided by their number less one.

        A feature that varies by no more than rounding has exactly zero covariance with everything.

        Raises:
            ModalityError: fewer than two rows have both.
        """
        b = b or a
        n = self.count(a, b)
        if n < 2:
            raise ModalityError(
                f"A covariance needs at least 2 rows that have both {a!r} and {b!r}, got {n}."
            )
        rows, columns = self._columns(a), self._columns(b)
        sums_a, sums_b = self.products[rows, self._flag(b)], self.products[columns, self._flag(a)]
        covariance = (self.products[rows, columns] - np.outer(sums_a, sums_b) / n) / (n - 1)
        covariance[self._constant(a)] = 0.0
        covariance[:, self._constant(b)] = 0.0
        return covariance

    def cancels(self, a: str) -> bool:
        """Whether some feature's mean lies so far from the origin that float32 products cannot tell its variance from 0."""
        return self.precision == "float32" and bool(self._constant(a).any())

    def _constant(self, a: str) -> np.ndarray:
        columns, n = self._columns(a), self.count(a)
        second = np.diag(self.products)[columns]
        spread = second - self.products[columns, self._flag(a)] ** 2 / n
        constant: np.ndarray = spread <= 1e4 * np.finfo(self.precision).eps * second
        return constant

    def _slices(self) -> list[slice]:
        ends = np.cumsum(self.dims).tolist()
        return [slice(end - d, end) for end, d in zip(ends, self.dims, strict=True)]

    def _columns(self, a: str) -> slice:
        return self._slices()[self.names.index(a)]

    def _flag(self, a: str) -> int:
        return sum(self.dims) + self.names.index(a)


def moments(data: Modalities, *, precision: Precision = "float64", block_size: int = BLOCK_SIZE) -> Moments:
    """One pass over the rows of vector modalities; each block is multiplied once and added up in float64.

    Args:
        data: Vector modalities, any of which a row may lack. Arrays, memory maps: rows are read in blocks, in order.
        precision: Of the products of one block. float32 takes about half the time and loses digits as the conditioning of the data grows.
        block_size: Rows a block.

    Complexity:
        O(n p^2) time for p columns in all; O(p^2 + block_size p) memory, whatever n.

    Relations:
        * any `block_size` gives the same moments, to rounding.
    """
    from scipy.linalg import blas

    names = tuple(data.names)
    dims = tuple(data[name].shape[0] for name in names)
    width, columns = sum(dims), sum(dims) + len(names)
    dtype = np.dtype(precision)
    multiply = blas.dsyrk if precision == "float64" else blas.ssyrk
    origin = np.concatenate([_provisional_mean(data[name], block_size) for name in names])
    block = np.zeros((min(block_size, max(len(data), 1)), columns), dtype=dtype)
    total = np.zeros((columns, columns), order="F")
    part = np.zeros((columns, columns), dtype=dtype, order="F")
    for start in range(0, len(data), block_size):
        rows = slice(start, min(start + block_size, len(data)))
        filled = block[: rows.stop - rows.start]
        offset = 0
        for m, (name, d) in enumerate(zip(names, dims, strict=True)):
            _fill(filled[:, offset : offset + d], data[name], rows, origin[offset : offset + d])
            filled[:, width + m] = data[name].index[rows] >= 0
            offset += d
        if precision == "float64":  # the upper triangle only: half the work
            total = multiply(1.0, filled.T, beta=1.0, c=total, overwrite_c=True)
        else:
            part = multiply(1.0, filled.T, beta=0.0, c=part, overwrite_c=True)
            total += part
    upper = np.triu(total)
    return Moments(names, dims, origin, upper + np.triu(upper, 1).T, precision)


def block_of(column: Modality, rows: slice) -> np.ndarray:
    """The stored values of some rows: a view where they lie side by side. Absent rows hold an arbitrary value."""
    index = column.index[rows]
    first, last = int(index[0]), int(index[-1])
    if first >= 0 and last - first == len(index) - 1 and (np.diff(index) == 1).all():
        return np.asarray(column.store[first : last + 1])
    return np.asarray(column.store[np.maximum(index, 0)])


def _fill(out: np.ndarray, column: Modality, rows: slice, origin: np.ndarray) -> None:
    present = column.index[rows] >= 0
    if not present.any():
        out[:] = 0.0
        return
    values = block_of(column, rows)
    if values.dtype == out.dtype == np.float32:
        np.subtract(
            values, origin.astype(np.float32), out=out
        )  # the origin is a float32 number: nothing is lost
    else:
        np.subtract(values, origin, out=out, casting="same_kind")
    if not present.all():
        out[~present] = 0.0  # set, not multiplied: what stands there may be NaN


def _provisional_mean(column: Modality, rows: int) -> np.ndarray:
    """Mean of the first values, rounded to float32, so that subtracting it is one exact operation in either precision."""
    first = np.flatnonzero(column.present)[:rows]
    if not len(first):
        return np.zeros(column.shape[0])
    mean = np.asarray(column.store[column.index[first]]).mean(axis=0, dtype=np.float64)
    with np.errstate(over="ignore"):
        rounded = mean.astype(np.float32).astype(np.float64)
    origin: np.ndarray = np.where(np.isfinite(rounded), rounded, mean)
    return origin

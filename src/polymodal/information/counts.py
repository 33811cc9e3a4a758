"""`Plugin`: entropies of labels by counting, with the first-order correction of their bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int
from polymodal.information.problems import Estimate

Correction = Literal["none", "miller-madow"]


@dataclass(frozen=True)
class Plugin:
    r"""Probabilities are shares of rows: $\hat H = -\sum \frac{c}{n} \log \frac{c}{n}$.

    The share estimate is too low by about $(m - 1) / 2n$ for m occupied cells (Miller and Madow); mutual information is too
    high accordingly. The correction adds that term to each entropy.

    Args:
        correction: "miller-madow" or "none".
        bins: Numbers with a decimal point are cut into so many equally filled bins a column first; None: every different
            value is a label of its own. Labels and whole numbers are never cut.

    Raises:
        ModalityError: more bins than rows, or a modality whose every row is different: its counts say nothing.

    Relations:
        * correction="none": the entropies of the table of shares.
        * identical modalities: I(x; x) = H(x). One class: 0.
        * rows repeated twice, correction="none": the same.
    """

    correction: Correction = "miller-madow"
    bins: int | None = None

    def __post_init__(self) -> None:
        if self.correction not in ("none", "miller-madow"):
            raise ModalityError(f"Plugin needs correction 'none' or 'miller-madow', got {self.correction!r}.")
        if self.bins is not None and self.bins < 2:
            raise ModalityError(f"Plugin needs at least 2 bins, got {self.bins}.")

    def entropy(self, x: Any, rng: np.random.Generator) -> Estimate:
        """H(x); never above the logarithm of the number of different values, correction aside."""
        del rng
        column = codes_of(x, self.bins, "x")
        return Estimate(self._entropy(column))

    def mutual_information(self, x: Any, y: Any, given: Any, rng: np.random.Generator) -> Estimate:
        """H(x, z) + H(y, z) - H(x, y, z) - H(z)."""
        del rng
        a, b = codes_of(x, self.bins, "x"), codes_of(y, self.bins, "y")
        for name, column in (("x", a), ("y", b)):
            if len(column) > 2 and column.max() + 1 == len(column):
                raise ModalityError(
                    f"Plugin needs values of {name} that repeat, but all {len(column)} rows differ. Give bins=, or use KSG()."
                )
        z = np.zeros_like(a) if given is None else codes_of(given, self.bins, "given")
        h_xz, h_yz, h_z = self._entropy(a, z), self._entropy(b, z), self._entropy(z)
        return Estimate(h_xz + h_yz - self._entropy(a, b, z) - h_z, limit=min(h_xz, h_yz) - h_z)

    def _entropy(self, *columns: np.ndarray) -> float:
        counts = np.bincount(joined(*columns))
        n = counts.sum()
        p = counts[counts > 0] / n
        extra = 0.0 if self.correction == "none" else (len(p) - 1) / (2 * n)
        return float(-(p * np.log(p)).sum()) + extra


def codes_of(values: Any, bins: int | None = None, name: str = "x") -> Int[np.ndarray, " n"]:
    """A whole number for each different row; numbers with a decimal point are cut into `bins` equally filled ones first.

    Raises:
        ModalityError: more bins than rows.
    """
    table = np.asarray(values)
    table = table.reshape(len(table), -1)
    return joined(*(_codes_of_column(table[:, j], bins, name) for j in range(table.shape[1])))


def joined(*columns: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """One code for each different combination, from 0 on, none unused."""
    found = np.zeros_like(columns[0])
    for column in columns:
        _, found = np.unique(found * (int(column.max()) + 1) + column, return_inverse=True)
    return found


def table_of(*columns: Int[np.ndarray, " n"]) -> Float[np.ndarray, "..."]:
    """Shares of rows: a table with one axis a column of codes."""
    shape = tuple(int(column.max()) + 1 for column in columns)
    flat = np.ravel_multi_index(columns, shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape)))
    return np.asarray(counts.reshape(shape) / len(flat))


def _codes_of_column(column: np.ndarray, bins: int | None, name: str) -> np.ndarray:
    if column.dtype.kind == "O":
        column = np.array(column.tolist())  # its natural type, if it has one
    if bins is None or column.dtype.kind != "f":
        return np.asarray(np.unique(column, return_inverse=True)[1])
    if bins > len(column):
        raise ModalityError(f"{name} needs at least one row a bin, got {bins} bins for {len(column)} rows.")
    inner = np.quantile(column, np.arange(1, bins) / bins)
    return np.asarray(np.unique(np.searchsorted(inner, column, side="right"), return_inverse=True)[1])

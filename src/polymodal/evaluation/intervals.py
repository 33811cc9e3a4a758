"""Percentile bootstrap intervals: what a mean or a median would have been on other samples of queries (or of groups)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Num

Statistic = Literal["mean", "median"]
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """An estimate and its percentile interval."""

    value: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


def bootstrap_interval(
    values: Num[np.ndarray, " n"],
    *,
    statistic: Statistic = "mean",
    groups: Sequence[Any] | np.ndarray | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state: RandomState = 0,
) -> Interval:
    """Percentile bootstrap of a mean or a median over `values`.

    Args:
        values: One number a query. NaN (a query that has no answer) is left out.
        statistic: What is estimated.
        groups: One label a value. Groups are drawn instead of values, so that values of one group (queries about
            one character, one speaker) are not taken for independent.
        n_resamples: Number of samples drawn with replacement.
        level: Share of the resampled statistics inside the interval, in (0, 1).
        random_state: Seed.

    Raises:
        ModalityError: no value that is a number, groups of another length, a level outside (0, 1).

    Relations:
        * equal values: low = value = high.
        * every value its own group: the interval without groups.

    References:
        Efron and Tibshirani 1993, chapter 13.

    Complexity:
        O(n x n_resamples) time, O(n) memory beyond 32 MiB.
    """
    if not 0 < level < 1 or n_resamples < 1:
        raise ModalityError(
            f"bootstrap_interval needs 0 < level < 1 and n_resamples >= 1, got {level} and {n_resamples}."
        )
    x = np.asarray(values, dtype=np.float64)
    labels = np.arange(len(x)) if groups is None else np.asarray(groups)
    if labels.shape != x.shape:
        raise ModalityError(f"groups needs one label per value ({len(x)}), got shape {labels.shape}.")
    known = ~np.isnan(x)
    if not known.any():
        raise ModalityError("bootstrap_interval needs at least one value that is a number, got none.")
    x = x[known]
    _, codes = np.unique(labels[known], return_inverse=True)
    resampled = _resample(x, codes, statistic, n_resamples, generator(random_state))
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    center = float(np.mean(x) if statistic == "mean" else np.median(x))
    return Interval(center, float(low), float(high), level)


def _resample(
    x: np.ndarray, codes: np.ndarray, statistic: Statistic, n_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, " b"]:
    g = int(codes.max()) + 1
    sums, sizes = np.bincount(codes, x), np.bincount(codes)
    order = np.argsort(x, kind="stable")
    out = np.empty(n_resamples)
    step = max(1, _BLOCK // (len(x) + g))
    for start in range(0, n_resamples, step):
        b = min(step, n_resamples - start)
        drawn = rng.integers(g, size=(b, g)) + g * np.arange(b)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=b * g).reshape(b, g)
        if statistic == "mean":
            out[start : start + b] = (counts @ sums) / (counts @ sizes)
        else:
            out[start : start + b] = _weighted_median(x[order], counts[:, codes[order]])
    return out


def _weighted_median(sorted_x: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The median of each row's sample, in which `sorted_x[i]` stands `counts[row, i]` times."""
    total = np.cumsum(counts, axis=1)
    n = total[:, -1:]
    lower = np.argmax(total > (n - 1) // 2, axis=1)
    upper = np.argmax(total > n // 2, axis=1)
    return np.asarray((sorted_x[lower] + sorted_x[upper]) / 2)

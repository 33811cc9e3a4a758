"""What the parts of the study share: bootstrap intervals, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polymodal.alignment import (
    DTW,
)
from polymodal.alignment.answer import Alignment

Keep = Callable[[str, Callable[[], dict[str, Any]]], None]
"""Do a piece of work under a key, unless it is done; its numbers are written down at once."""


def interval(num: Any, den: Any = None, units: Any = None, draws: int = 1000) -> tuple[float, float, float]:
    """sum(num) / sum(den) and its 95 % percentile bootstrap.

    Args:
        num: One number a row.
        den: The same; 1 unless given, so that the ratio is the mean.
        units: What is drawn: one label a row, or (rows, 2) where a row is of two (a pair of performances): it then counts as often as both
            were drawn, multiplied. The rows themselves unless given.
        draws: Samples.
    """
    x = np.asarray(num, dtype=float)
    y = np.ones_like(x) if den is None else np.asarray(den, dtype=float)
    labels = np.arange(len(x))[:, None] if units is None else np.asarray(units).reshape(len(x), -1)
    codes = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    n = int(codes.max()) + 1
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=draws)
    weights = np.prod([counts[:, codes[:, k]] for k in range(codes.shape[1])], axis=0)
    below = weights @ y
    low, high = np.quantile((weights @ x)[below > 0] / below[below > 0], (0.025, 0.975))
    return float(x.sum() / max(y.sum(), 1e-300)), float(low), float(high)


def shown(found: tuple[float, float, float], digits: int = 3) -> str:
    """A value and its interval as text."""
    value, low, high = found
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def rounded(values: Any, digits: int = 4) -> list[float]:
    return [round(float(v), digits) for v in values]


def named(done: dict[str, Any], under: str) -> list[tuple[str, dict[str, Any]]]:
    """What was done under a key, by what follows it."""
    return [(key[len(under) + 1 :], entry) for key, entry in done.items() if key.startswith(under + "/")]


def diagonal(n: int, m: int) -> np.ndarray:
    return np.stack([np.rint(np.linspace(0, n - 1, m)).astype(np.int64), np.arange(m)], axis=1)


def as_answer(path: np.ndarray, a: Sequence[Any], b: Sequence[Any]) -> Alignment:
    ordered = path[np.lexsort((path[:, 1], path[:, 0]))]
    return Alignment.of_path(ordered, (len(a), len(b)), DTW(), cost=0.0)


def wrong(costs: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return np.asarray(train[costs.argmin(axis=1)] != test)


def positions(found: Alignment) -> np.ndarray:
    """The frame of b for each frame of a: the mean of those on the path."""
    return found.warp(np.arange(found.length_b))

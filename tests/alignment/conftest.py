"""Every warping path of small sequences, one by one: the slow truth, as fixtures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from polymodal.alignment import StepPattern
from polymodal.alignment.windows import Window


def paths(
    n: int, m: int, pattern: StepPattern, starts: list[int]
) -> Iterator[tuple[list[tuple[int, int]], list[float]]]:
    """Cells and weights of every path from (0, j) for j in starts to any cell of the last row."""

    def grow(
        cells: list[tuple[int, int]], weights: list[float]
    ) -> Iterator[tuple[list[tuple[int, int]], list[float]]]:
        if cells[-1][0] == n - 1:
            yield cells, weights
        for step in pattern.steps:
            i, j = cells[-1]
            more, cost = [], []
            for down, right, weight in step:
                i, j = i + down, j + right
                more.append((i, j))
                cost.append(weight)
            if i < n and j < m:
                yield from grow(cells + more, weights + cost)

    for start in starts:
        yield from grow([(0, start)], [1.0])


def cheapest(
    costs: np.ndarray,
    pattern: StepPattern,
    window: Window | None = None,
    *,
    open_begin: bool = False,
    open_end: bool = False,
) -> float:
    """The least cost over all paths; infinity where there is none."""
    n, m = costs.shape
    first, last = window.bounds(n, m) if window else (np.zeros(n, int), np.full(n, m - 1))
    best = np.inf
    for cells, weights in paths(n, m, pattern, list(range(m)) if open_begin else [0]):
        inside = all(first[i] <= j <= last[i] for i, j in cells)
        if inside and (open_end or cells[-1][1] == m - 1):
            best = min(best, sum(w * costs[c] for w, c in zip(weights, cells, strict=True)))
    return best


def full_matrix(costs: np.ndarray) -> float:
    """The recursion as it is written, cell by cell."""
    n, m = costs.shape
    d = np.full((n + 1, m + 1), np.inf)
    d[0, 0] = 0
    for i in range(n):
        for j in range(m):
            d[i + 1, j + 1] = costs[i, j] + min(d[i, j], d[i, j + 1], d[i + 1, j])
    return float(d[n, m])


@pytest.fixture(name="cheapest")
def _cheapest() -> Callable[..., float]:
    return cheapest


@pytest.fixture(name="full_matrix")
def _full_matrix() -> Callable[[np.ndarray], float]:
    return full_matrix


@pytest.fixture(name="all_paths")
def _all_paths() -> Callable[..., Iterator[tuple[list[tuple[int, int]], list[float]]]]:
    return paths


def every_state_path(
    start: np.ndarray, transitions: np.ndarray, log_b: np.ndarray, end: np.ndarray | None = None
) -> tuple[float, np.ndarray, np.ndarray, tuple[int, ...], float]:
    """All state paths of a chain: log-likelihood, posteriors, expected transitions, the best path, its log-probability."""
    n, k = log_b.shape
    logarithms = {}
    with np.errstate(divide="ignore"):
        log_start, log_a = np.log(start), np.log(transitions)
        log_end = np.zeros(k) if end is None else np.log(end)
    for path in itertools.product(range(k), repeat=n):
        steps = sum(log_a[i, j] for i, j in itertools.pairwise(path))
        frames = sum(log_b[t, s] for t, s in enumerate(path))
        logarithms[path] = log_start[path[0]] + steps + frames + log_end[path[-1]]
    best = max(logarithms, key=logarithms.__getitem__)
    total = float(np.logaddexp.reduce(list(logarithms.values())))
    posteriors, pairs = np.zeros((n, k)), np.zeros((k, k))
    for path, p in logarithms.items():
        for t, s in enumerate(path):
            posteriors[t, s] += np.exp(p - total)
        for i, j in itertools.pairwise(path):
            pairs[i, j] += np.exp(p - total)
    return total, posteriors, pairs, best, float(logarithms[best])


@pytest.fixture(name="every_state_path")
def _every_state_path() -> Callable[..., tuple[float, np.ndarray, np.ndarray, tuple[int, ...], float]]:
    return every_state_path

"""Accumulated costs of many pairs of sequences, in threads (the kernels hold no lock)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from polymodal.alignment import _kernels as k
from polymodal.alignment import _tile_kernels as tiles
from polymodal.alignment._costs import Metric, lay_out, reversed_frames, strip_height, tiles_pay
from polymodal.core.typing import Float, Int

CHUNK = 64  # pairs a thread takes at once


def in_threads(work: Callable[[Any], Any], items: Sequence[Any], n_jobs: int) -> list[Any]:
    """`work` of every item, in order."""
    if n_jobs == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(n_jobs, len(items))) as pool:
        return list(pool.map(work, items))


def all_pairs(
    a: Sequence[Float[np.ndarray, "_ d"]],
    b: Sequence[Float[np.ndarray, "_ d"]],
    pairs: Int[np.ndarray, "p 2"],
    metric: Metric,
    kind: int,
    post: int,
    extra: float,
    bounds: Callable[[int, int], tuple[Any, Any]],
    n_jobs: int,
) -> Float[np.ndarray, " p"]:
    """Accumulated costs of `pairs` of sequences, closed at both ends. Pairs of the same two lengths share their window."""
    x, y = lay_out(a, metric), lay_out(b, metric)
    (features, total_a), total_b = x.shape, y.shape[1]
    lengths_a, lengths_b = np.array([len(s) for s in a]), np.array([len(s) for s in b])
    starts_a, starts_b = np.cumsum(lengths_a) - lengths_a, np.cumsum(lengths_b) - lengths_b
    flat_a, flat_b = x.ravel(), reversed_frames(y.ravel(), total_b)
    height, out = strip_height(features, kind), np.empty(len(pairs))
    sizes = np.stack([lengths_a[pairs[:, 0]], lengths_b[pairs[:, 1]]], axis=1)
    kinds, which = np.unique(sizes, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    tasks = []
    for (n, m), members in zip(
        kinds.tolist(), np.split(order, np.cumsum(np.bincount(which.ravel()))[:-1]), strict=True
    ):
        window = bounds(n, m)
        tasks += [(m, window, members[at : at + CHUNK]) for at in range(0, len(members), CHUNK)]

    def work(task: tuple[int, tuple[Any, Any], np.ndarray]) -> None:
        m, (first, last), members = task
        i, j = pairs[members].T
        ends = np.empty(len(members))
        if tiles_pay(features, len(first) * m):
            tiles.sweep_pairs(x, starts_a[i], y, starts_b[j], m, kind, post, extra, first, last, ends)
        else:
            last_b = total_b - 1 - starts_b[j]
            k.sweep_pairs(
                flat_a, starts_a[i], flat_b, last_b, total_a, total_b, features, kind, post, extra, first, last, m, height, ends
            )  # fmt: skip
        out[members] = ends

    in_threads(work, tasks, n_jobs)
    return out

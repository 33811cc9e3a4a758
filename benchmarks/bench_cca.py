"""CCA of many rows: one streamed pass beside cca_zoo, statsmodels and scikit-learn.

Every contender runs in a process of its own on the same seeded data: two modalities that share twenty factors. Seconds are processor
seconds of `fit` on one thread (best of three; one where it takes over ten), MiB the peak above the input, agreement the largest
difference of the canonical correlations from the peer's. (cca_zoo also computes importances, whose cost grows with the pairs asked for.)

    python benchmarks/bench_cca.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_cca.py    # peers installed elsewhere
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from measuring import (
    Answer,
    Row,
    best_of,
    command_line,
    contend_once,
    difference,
    interpreter,
    present,
    row,
)

# rows, columns a modality, type of the input, pairs asked for, ours, peer
WORKS = [
    (100_000, 256, "float64", 10, "ours", "cca_zoo"),
    (100_000, 256, "float64", 10, "ours32", "cca_zoo"),
    (100_000, 256, "float32", 10, "ours32", "cca_zoo"),
    (100_000, 256, "float64", 256, "ours", "cca_zoo"),
    (100_000, 256, "float64", 256, "ours", "statsmodels"),
    (100_000, 256, "float64", 256, "ours32", "statsmodels"),
    (10_000, 256, "float64", 2, "ours", "sklearn"),
]
NAMES = {"cca_zoo": "cca_zoo CCA", "statsmodels": "statsmodels CanCorr", "sklearn": "scikit-learn CCA"}


def run(works: Sequence[tuple[int, int, str, int, str, str]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    return [
        row(
            work=f"CCA, n = {n:,}, {p} + {p} columns, {pairs} pairs, {dtype}"
            + (", float32 products" if who == "ours32" else ""),
            ours=present(contend_once(__file__, who, n, p, dtype, pairs)),
            peer_name=NAMES[peer],
            peer=contend_once(__file__, peer, n, p, dtype, pairs, python=interpreter()),
            agreement=difference("correlations"),
        )
        for n, p, dtype, pairs, who, peer in works
    ]


def _data(n: int, p: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Filled block by block, so that making it leaves no peak behind."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 20, p)) * 0.1
    X, Y = np.empty((n, p), dtype), np.empty((n, p), dtype)
    for start in range(0, n, 1000):
        z = rng.standard_normal((len(X[start : start + 1000]), 20))
        for out, weights in zip((X, Y), maps, strict=True):
            out[start : start + 1000] = z @ weights + rng.standard_normal((len(z), p)) + 1
    return X, Y


def _fitter(who: str, pairs: int) -> Callable[[np.ndarray, np.ndarray], Callable[[], list[float]]]:
    """What is timed: data to a fitted model. What it returns gives the correlations, and is not timed."""
    if who.startswith("ours"):
        from polymodal.coordination import CCA

        precision = "float32" if who == "ours32" else "float64"

        def ours(X: np.ndarray, Y: np.ndarray) -> Callable[[], list[float]]:
            model = CCA(pairs, precision=precision).fit({"x": X, "y": Y})
            return model.correlations_.tolist

        return ours
    if who == "cca_zoo":
        from cca_zoo import linear

        def zoo(X: np.ndarray, Y: np.ndarray) -> Callable[[], list[float]]:
            model = linear.CCA(n_components=pairs).fit([X, Y])
            return lambda: correlations(
                *(x.astype(float) @ w for x, w in zip((X, Y), model.weights_, strict=True))
            )

        return zoo
    if who == "statsmodels":
        from statsmodels.multivariate.cancorr import CanCorr

        def cancorr(X: np.ndarray, Y: np.ndarray) -> Callable[[], list[float]]:
            model = CanCorr(X, Y)
            return model.cancorr[:pairs].tolist

        return cancorr
    from sklearn import cross_decomposition

    def sklearn(X: np.ndarray, Y: np.ndarray) -> Callable[[], list[float]]:
        model = cross_decomposition.CCA(n_components=pairs, max_iter=5000).fit(X, Y)
        return lambda: correlations(*model.transform(X, Y))

    return sklearn


def correlations(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Of each column of one with that of the other."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return [float(u @ v / np.sqrt((u @ u) * (v @ v))) for u, v in zip(a.T, b.T, strict=True)]


def contender(who: str, n: int, p: int, dtype: str, pairs: int) -> Answer:
    _fitter(who, 1)(*_data(200, 8, dtype))  # imports and first calls are not the work
    fit = _fitter(who, pairs)
    X, Y = _data(n, p, dtype)
    found = best_of(lambda: fit(X, Y))
    return found.figures() | {"correlations": found.answer()}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

"""CCA of many rows: one streamed pass beside cca_zoo, statsmodels and scikit-learn.

Every contender runs in a process of its own on the same seeded data: two modalities that share twenty factors. Seconds are processor
seconds of `fit` on one thread (best of three; one where it takes over ten), MiB the peak above the input, agreement the largest
difference of the canonical correlations from the peer's. (cca_zoo also computes importances, whose cost grows with the pairs asked for.)

    python benchmarks/bench_cca.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_cca.py    # peers installed elsewhere
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
# rows, columns a modality, type of the input, pairs asked for, ours, peer
WORK = [
    (100_000, 256, "float64", 10, "ours", "cca_zoo"),
    (100_000, 256, "float64", 10, "ours32", "cca_zoo"),
    (100_000, 256, "float32", 10, "ours32", "cca_zoo"),
    (100_000, 256, "float64", 256, "ours", "cca_zoo"),
    (100_000, 256, "float64", 256, "ours", "statsmodels"),
    (100_000, 256, "float64", 256, "ours32", "statsmodels"),
    (10_000, 256, "float64", 2, "ours", "sklearn"),
]
NAMES = {"cca_zoo": "cca_zoo CCA", "statsmodels": "statsmodels CanCorr", "sklearn": "scikit-learn CCA"}


def run(work: list[tuple[int, int, str, int, str, str]] | None = None) -> list[dict[str, Any]]:
    """One row per piece of work; a peer that cannot be imported has None for its figures."""
    seen: dict[tuple[Any, ...], dict[str, Any] | None] = {}

    def measured(who: str, *size: Any) -> dict[str, Any] | None:
        if (who, *size) not in seen:
            seen[(who, *size)] = _measure(who, *size)
        return seen[(who, *size)]

    rows = []
    for n, p, dtype, pairs, who, peer_name in WORK if work is None else work:
        ours, peer = measured(who, n, p, dtype, pairs), measured(peer_name, n, p, dtype, pairs)
        assert ours is not None
        row = {
            "work": f"CCA, n = {n:,}, {p} + {p} columns, {pairs} pairs, {dtype}"
            + (", float32 products" if who == "ours32" else ""),
            "ours_s": ours["seconds"],
            "peer": NAMES[peer_name] + ("" if peer else ": not installed"),
            "peer_s": peer and peer["seconds"],
            "ratio": peer and peer["seconds"] / ours["seconds"],
            "ours_mib": ours["mib"],
            "peer_mib": peer and peer["mib"],
            "agreement": None,
        }
        if peer:
            k = len(peer["correlations"])
            row["agreement"] = float(np.abs(np.array(ours["correlations"][:k]) - peer["correlations"]).max())
        rows.append(row)
    return rows


def _measure(who: str, n: int, p: int, dtype: str, pairs: int) -> dict[str, Any] | None:
    python = (
        sys.executable if who.startswith("ours") else os.environ.get("POLYMODAL_BENCH_PYTHON", sys.executable)
    )
    done = subprocess.run(
        [python, __file__, "--contender", who, str(n), str(p), dtype, str(pairs)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


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
            return lambda: _correlations(
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
        return lambda: _correlations(*model.transform(X, Y))

    return sklearn


def _correlations(a: np.ndarray, b: np.ndarray) -> list[float]:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return [float(u @ v / np.sqrt((u @ u) * (v @ v))) for u, v in zip(a.T, b.T, strict=True)]


def _contend(who: str, n: int, p: int, dtype: str, pairs: int) -> dict[str, Any]:
    _fitter(who, 1)(*_data(200, 8, dtype))  # imports and first calls are not the work
    fit = _fitter(who, pairs)
    X, Y = _data(n, p, dtype)
    before = _peak()
    seconds: list[float] = []
    while not seconds or (len(seconds) < 3 and seconds[0] < 10):
        start = time.process_time()
        answer = fit(X, Y)
        seconds.append(time.process_time() - start)
        if len(seconds) == 1:
            peak = _peak() - before
    return {"seconds": min(seconds), "mib": peak, "correlations": answer()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as one markdown table."""

    def show(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    lines = [
        "| work | ours, cpu-s | peer | peer, cpu-s | ratio | ours, MiB | peer, MiB | agreement |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        cells = [
            r["work"],
            show(r["ours_s"], ".2f"),
            r["peer"],
            show(r["peer_s"], ".2f"),
            show(r["ratio"], ".1f"),
            show(r["ours_mib"], ".0f"),
            show(r["peer_mib"], ".0f"),
            show(r["agreement"], ".0e"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        try:
            print(
                json.dumps(
                    _contend(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
                )
            )
        except ModuleNotFoundError:
            sys.exit(3)
    else:
        print(table(run()))

"""CCA of four modalities and many rows, one streamed pass, beside cca_zoo's.

Every contender runs in a process of its own on the same seeded data: modalities that share twenty factors. Seconds are processor
seconds of `fit` on one thread (best of three; one where it takes over ten), MiB the peak above the input, agreement the largest
difference of the correlations of the components (mean over pairs of modalities) from those of the peer.

    python benchmarks/bench_gcca.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_gcca.py    # peers installed elsewhere
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from bench_cca import ONE_THREAD, _peak, table

# method, rows, columns a modality, modalities, components, share of missing rows
WORK = [
    ("GeneralisedCCA", 50_000, 128, 4, 10, 0.0),
    ("MultisetCCA", 50_000, 128, 4, 10, 0.0),
    ("PLS", 50_000, 256, 2, 10, 0.0),
    ("GeneralisedCCA", 50_000, 128, 4, 10, 0.3),
]


def run(work: list[tuple[str, int, int, int, int, float]] | None = None) -> list[dict[str, Any]]:
    """One row per piece of work; a peer that cannot be imported, or cannot do it, has None for its figures."""
    rows = []
    for method, n, p, views, k, missing in WORK if work is None else work:
        size = (str(n), str(p), str(views), str(k), str(missing))
        ours = _measure("ours", method, *size)
        peer = None if missing else _measure("cca_zoo", method, *size)
        assert ours is not None
        label = (
            "cca_zoo" if peer else "cca_zoo takes no missing rows" if missing else "cca_zoo: not installed"
        )
        row = {
            "work": f"{method}, n = {n:,}, {views} x {p} columns, {k} components"
            + (f", {missing:.0%} of the values missing" if missing else ""),
            "ours_s": ours["seconds"],
            "peer": label,
            "peer_s": peer and peer["seconds"],
            "ratio": peer and peer["seconds"] / ours["seconds"],
            "ours_mib": ours["mib"],
            "peer_mib": peer and peer["mib"],
            "agreement": peer and float(np.abs(np.array(ours["correlations"]) - peer["correlations"]).max()),
        }
        rows.append(row)
    return rows


def _measure(who: str, *arguments: str) -> dict[str, Any] | None:
    python = sys.executable if who == "ours" else os.environ.get("POLYMODAL_BENCH_PYTHON", sys.executable)
    done = subprocess.run(
        [python, __file__, "--contender", who, *arguments],
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


def _data(n: int, p: int, views: int) -> list[np.ndarray]:
    """Filled block by block, so that making it leaves no peak behind."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((views, 20, p)) * np.linspace(0.05, 0.2, 20)[:, None]
    out = [np.empty((n, p)) for _ in range(views)]
    for start in range(0, n, 1000):
        z = rng.standard_normal((len(out[0][start : start + 1000]), 20))
        for x, weights in zip(out, maps, strict=True):
            x[start : start + 1000] = z @ weights + rng.standard_normal((len(z), p)) + 1
    return out


def _fitter(who: str, method: str, k: int, missing: float) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """What is timed: data to fitted weights."""
    if who == "ours":
        import polymodal.coordination as ours
        from polymodal import Modalities

        def fit(views: list[np.ndarray]) -> list[np.ndarray]:
            frame = Modalities({str(m): x for m, x in enumerate(views)})
            rng = np.random.default_rng(1)
            for name in frame.names[1:] if missing else ():
                frame = frame.without(name, np.flatnonzero(rng.random(len(frame)) < missing))
            model = getattr(ours, method)(k).fit(frame)
            return [model.weights_[str(m)] for m in range(len(views))]

        return fit
    from cca_zoo import linear

    peer = {"GeneralisedCCA": linear.GCCA, "MultisetCCA": linear.MCCA, "PLS": linear.PLS}[method]
    return lambda views: peer(n_components=k).fit(views).weights_


def _correlations(views: list[np.ndarray], weights: list[np.ndarray]) -> list[float]:
    scores = [x @ w for x, w in zip(views, weights, strict=True)]
    scores = [(z - z.mean(axis=0)) / z.std(axis=0) for z in scores]
    means = np.mean([(a * b).mean(axis=0) for a, b in combinations(scores, 2)], axis=0)
    answer: list[float] = np.abs(means).tolist()
    return answer


def _contend(who: str, method: str, n: int, p: int, views: int, k: int, missing: float) -> dict[str, Any]:
    _fitter(who, method, 1, missing)(_data(300, 8, views))  # imports and first calls are not the work
    fit, data = _fitter(who, method, k, missing), _data(n, p, views)
    before = _peak()
    seconds: list[float] = []
    while not seconds or (len(seconds) < 3 and seconds[0] < 10):
        start = time.process_time()
        weights = fit(data)
        seconds.append(time.process_time() - start)
        if len(seconds) == 1:
            peak = _peak() - before
    return {"seconds": min(seconds), "mib": peak, "correlations": _correlations(data, weights)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        who, method, n, p, views, k = sys.argv[2:8]
        try:
            print(json.dumps(_contend(who, method, int(n), int(p), int(views), int(k), float(sys.argv[8]))))
        except ModuleNotFoundError:
            sys.exit(3)
    else:
        print(table(run()))

"""Dynamic time warping beside dtaidistance (C), tslearn, aeon and dtw-python: distances, paths, all pairs.

Each contender runs in a process of its own on the same seeded random walks, and gives the same answer (the square root of the
summed squared costs); seconds are processor seconds on one thread, best of several after a first call that compiles; MiB are
the peak above the input.

    python benchmarks/bench_dtw.py
    POLYMODAL_BENCH_PYTHON=...        an interpreter that has dtaidistance, tslearn, dtw-python
    POLYMODAL_BENCH_AEON_PYTHON=...   one that has aeon (which wants an older numpy)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
PEERS = ("dtaidistance", "tslearn", "aeon", "dtw-python")
LINEAR = ("dtaidistance",)  # what needs no matrix for a distance
Work = tuple[str, int, int, int]  # what, length, features, sequences
WORKS: tuple[Work, ...] = (
    ("distance", 500, 1, 2),
    ("path", 500, 1, 2),
    ("distance", 2_000, 1, 2),
    ("path", 2_000, 1, 2),
    ("distance", 10_000, 1, 2),
    ("path", 10_000, 1, 2),
    ("distance", 50_000, 1, 2),
    ("path", 50_000, 1, 2),
    ("path", 100_000, 1, 2),
    ("distance", 500, 32, 2),
    ("path", 500, 32, 2),
    ("distance", 2_000, 32, 2),
    ("path", 2_000, 32, 2),
    ("distance", 10_000, 32, 2),
    ("path", 10_000, 32, 2),
    ("path", 50_000, 32, 2),
    ("pairs", 256, 1, 200),
    ("pairs", 256, 32, 60),
)


def run(works: tuple[Work, ...] = WORKS) -> list[dict[str, Any]]:
    """One row per work and peer; a peer that is not there, or cannot do it, says so in its name."""
    rows = []
    for work in works:
        ours = _measure("polymodal", work)
        if "error" in ours:
            raise RuntimeError(ours["error"])
        for peer in PEERS:
            if work[0] == "pairs" and peer == "dtw-python":
                continue  # it has no all pairs
            theirs: dict[str, Any] = {"error": "its matrix does not fit"}
            if work[1] < 50_000 or (work[0] == "distance" and peer in LINEAR):
                theirs = _measure(peer, work)
            absent = "error" in theirs
            rows.append(
                {
                    "work": _say(work),
                    "ours_s": ours["seconds"],
                    "peer": f"{peer}: {theirs['error']}" if absent else f"{peer} {theirs['version']}",
                    "peer_s": float("nan") if absent else theirs["seconds"],
                    "ratio": float("nan") if absent else theirs["seconds"] / ours["seconds"],
                    "ours_mib": ours["mib"],
                    "peer_mib": float("nan") if absent else theirs["mib"],
                    "agreement": float("nan") if absent else abs(theirs["answer"] / ours["answer"] - 1),
                }
            )
    return rows


def _say(work: Work) -> str:
    what, length, features, count = work
    return f"DTW {what}, " + (f"{count} x " if count > 2 else "") + f"{length:,} frames, {features} features"


def _measure(who: str, work: Work) -> dict[str, Any]:
    variable = {"polymodal": "", "aeon": "POLYMODAL_BENCH_AEON_PYTHON"}.get(who, "POLYMODAL_BENCH_PYTHON")
    python = os.environ.get(variable) or sys.executable
    done = subprocess.run(
        [python, __file__, "--contender", who, json.dumps(work)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"error": "not installed" if "ModuleNotFoundError" in last else last[:80]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _polymodal(what: str, features: int) -> Callable[[Any], float]:
    from polymodal.alignment import DTW, align, dtw_distance, pairwise_dtw

    method = DTW(convention="root")
    if what == "pairs":
        return lambda x: float(pairwise_dtw(x, method=method, n_jobs=1).sum() / 2)
    if what == "path":
        return lambda x: align(x[0], x[1], method).cost
    return lambda x: dtw_distance(x[0], x[1], method)


def _dtaidistance(what: str, features: int) -> Callable[[Any], float]:
    from dtaidistance import dtw, dtw_ndim

    module = dtw if features == 1 else dtw_ndim
    if what == "pairs":
        import numpy as np

        return lambda x: float(
            np.triu(module.distance_matrix_fast(x, parallel=False, compact=False), 1).sum()
        )
    if what == "path":
        if features == 1:
            return lambda x: _cost(x, dtw.warping_path_fast(x[0], x[1]))
        return lambda x: _cost(x, dtw_ndim.warping_path(x[0], x[1], use_c=True))
    return lambda x: float(module.distance_fast(x[0], x[1]))


def _tslearn(what: str, features: int) -> Callable[[Any], float]:
    from tslearn.metrics import cdist_dtw, dtw, dtw_path

    if what == "pairs":
        return lambda x: float(cdist_dtw(x).sum() / 2)
    if what == "path":
        return lambda x: float(dtw_path(x[0], x[1])[1])
    return lambda x: float(dtw(x[0], x[1]))


def _aeon(what: str, features: int) -> Callable[[Any], float]:
    import numpy as np
    from aeon.distances import dtw_alignment_path, dtw_distance, dtw_pairwise_distance

    def turned(x: Any) -> Any:
        return np.ascontiguousarray(x.T) if features > 1 else x

    if what == "pairs":
        return lambda x: float(np.sqrt(dtw_pairwise_distance(np.stack([turned(s) for s in x]))).sum() / 2)
    if what == "path":
        return lambda x: float(np.sqrt(dtw_alignment_path(turned(x[0]), turned(x[1]))[1]))
    return lambda x: float(np.sqrt(dtw_distance(turned(x[0]), turned(x[1]))))


def _dtw_python(what: str, features: int) -> Callable[[Any], float]:
    import dtw

    return lambda x: float(
        dtw.dtw(
            x[0], x[1], dist_method="sqeuclidean", step_pattern="symmetric1", distance_only=what == "distance"
        ).distance
        ** 0.5
    )


def _cost(x: Any, path: Any) -> float:
    import numpy as np

    i, j = np.array(path).T
    return float(np.sqrt(((x[0][i] - x[1][j]) ** 2).sum()))


def _contend(who: str, work: Work) -> dict[str, Any]:
    import importlib.metadata

    import numpy as np

    what, length, features, count = work
    solve = {
        "polymodal": _polymodal,
        "dtaidistance": _dtaidistance,
        "tslearn": _tslearn,
        "aeon": _aeon,
        "dtw-python": _dtw_python,
    }[who](what, features)

    def walks(t: int) -> Any:
        steps = np.random.default_rng(0).normal(size=(count, t, features)).cumsum(1)
        return np.ascontiguousarray(steps[:, :, 0] if features == 1 else steps)

    solve(walks(200))  # compiles
    x = walks(length)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the high-water mark starts here
    before = _status("VmRSS")
    best, spent = np.inf, 0.0
    while spent < 2.0:
        start = time.process_time()
        answer = solve(x)
        took = time.process_time() - start
        best, spent = min(best, took), spent + max(took, 0.1)
    return {
        "seconds": best,
        "mib": (_status("VmHWM") - before) / 1024,
        "answer": answer,
        "version": importlib.metadata.version(who),
    }


def _status(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith(field)).split()[1])


def main() -> None:
    if sys.argv[1:2] == ["--contender"]:
        print(json.dumps(_contend(sys.argv[2], tuple(json.loads(sys.argv[3])))))
        return
    columns = ("work", "ours_s", "peer", "peer_s", "ratio", "ours_mib", "peer_mib", "agreement")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    for work in WORKS:
        for row in run((work,)):
            cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in (row[c] for c in columns)]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

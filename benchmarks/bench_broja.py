"""BROJA beside two published ways: the cone programme of BROJA-2PID (written out for cvxpy and Clarabel), and dit's optimiser.

Random tables p(x1, x2, y), seconds are processor seconds of one thread, each contender in a process of its own, best of several where
short; MiB are the peak of the process above what it had when the table was there. `agreement` is the largest difference of the four
parts, in bits; `gap` is what our dual certifies.

    python benchmarks/bench_broja.py
    POLYMODAL_BENCH_DIT_PYTHON=...   an interpreter that has dit, cvxpy and clarabel
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
WORKS = (
    ((3, 3, 2), ("cone programme", "dit")),
    ((10, 10, 3), ("cone programme",)),
    ((30, 30, 4), ("cone programme",)),
)


def run(works: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = WORKS) -> list[dict[str, Any]]:
    """One row per table and peer."""
    rows = []
    for shape, peers in works:
        ours = _measure("polymodal", shape)
        if "error" in ours:
            raise RuntimeError(ours["error"])
        for peer in peers:
            theirs = _measure(peer, shape)
            absent = "error" in theirs
            nan = float("nan")
            rows.append(
                {
                    "work": "BROJA, " + " x ".join(map(str, shape)),
                    "ours_s": ours["seconds"],
                    "peer": f"{peer}: {theirs['error']}" if absent else peer,
                    "peer_s": nan if absent else theirs["seconds"],
                    "ratio": nan if absent else theirs["seconds"] / ours["seconds"],
                    "ours_mib": ours["mib"],
                    "peer_mib": nan if absent else theirs["mib"],
                    "agreement": ""
                    if absent
                    else float(np.abs(np.subtract(ours["parts"], theirs["parts"])).max()),
                    "gap": ours["gap"],
                }
            )
    return rows


def _measure(who: str, shape: tuple[int, ...]) -> dict[str, Any]:
    python = (
        sys.executable if who == "polymodal" else os.environ.get("POLYMODAL_BENCH_DIT_PYTHON", sys.executable)
    )
    done = subprocess.run(
        [python, __file__, who, json.dumps(shape)],
        capture_output=True,
        text=True,
        env=os.environ | ONE_THREAD,
        timeout=900,
        check=False,
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1][:80]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _table(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(int(np.prod(shape)))).reshape(shape)


def _polymodal(p: np.ndarray) -> tuple[list[float], float]:
    from polymodal.information import decompose_table

    found = decompose_table(p, unit="bits")
    return list(found.parts.values()), found.gap


def _information(p: np.ndarray) -> float:
    inside = p > 0
    product = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    return float((p[inside] * np.log2(p[inside] / product[inside])).sum())


def _parts(p: np.ndarray, least: float) -> list[float]:
    one, other = _information(p.sum(1)), _information(p.sum(0))
    return [one + other - least, least - other, least - one, _information(p.reshape(-1, p.shape[2])) - least]


def _cone(p: np.ndarray) -> tuple[list[float], float]:
    """Minimise sum q log(q_ijk / q_ij.), with relative-entropy cones."""
    import cvxpy

    i, j, k = p.shape
    q = [cvxpy.Variable((i, j), nonneg=True) for _ in range(k)]
    total = sum(q[1:], q[0])
    objective = sum(cvxpy.sum(cvxpy.rel_entr(part, total)) for part in q)
    constraints = []
    for y in range(k):
        constraints += [
            cvxpy.sum(q[y], axis=1) == p[:, :, y].sum(1),
            cvxpy.sum(q[y], axis=0) == p[:, :, y].sum(0),
        ]
    problem = cvxpy.Problem(cvxpy.Minimize(objective), constraints)
    problem.solve(solver=cvxpy.CLARABEL)
    p_y = p.sum((0, 1))
    return _parts(p, problem.value / np.log(2) - float((p_y * np.log2(p_y)).sum())), 0.0


def _dit(p: np.ndarray) -> tuple[list[float], float]:
    import dit
    from dit.pid import PID_BROJA

    outcomes = list(np.ndindex(*p.shape))
    d = dit.Distribution([tuple(map(str, o)) for o in outcomes], [float(p[o]) for o in outcomes])
    found = PID_BROJA(d, [[0], [1]], [2])
    keys = (((0,), (1,)), ((0,),), ((1,),), ((0, 1),))
    return [float(found.get_pi(key)) for key in keys], 0.0


def main(who: str, shape: tuple[int, ...]) -> None:
    import resource

    solve = {"polymodal": _polymodal, "cone programme": _cone, "dit": _dit}[who]
    small = _table((2, 2, 2))
    solve(small)  # imports, and what is set up once
    p = _table(shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(5):
        start = time.process_time()
        parts, gap = solve(p)
        seconds.append(time.process_time() - start)
        if sum(seconds) > 20:
            break
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": min(seconds), "mib": (after - before) / 1024, "parts": parts, "gap": gap}))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(sys.argv[1], tuple(json.loads(sys.argv[2])))
    else:
        for row in run():
            print(row)

"""Soft-DTW beside tslearn: a loss with its gradient, and the value alone.

Each contender runs in a process of its own on the same seeded random walks in float64; seconds are processor
seconds on one thread, best of several after a first call that compiles; MiB are the peak above the input.

    python benchmarks/bench_soft_dtw.py
    POLYMODAL_BENCH_PYTHON=...        an interpreter that has tslearn and torch
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
Work = tuple[str, int, int, int]  # what, batch, length, features
WORKS: tuple[Work, ...] = (
    ("gradient", 32, 256, 1),
    ("gradient", 32, 256, 32),
    ("gradient", 1, 2_000, 1),
    ("gradient", 1, 10_000, 1),
    ("value", 1, 2_000, 1),
    ("value", 1, 10_000, 1),
)
LONGEST = 5_000  # frames, above which the peer's matrices take several GiB


def run(works: tuple[Work, ...] = WORKS) -> list[dict[str, Any]]:
    """One row per work; a peer that is not there, or cannot do it, says so in its name."""
    rows = []
    for work in works:
        ours = _measure("polymodal", work)
        if "error" in ours:
            raise RuntimeError(ours["error"])
        theirs: dict[str, Any] = {"error": "its matrices do not fit"}
        if work[2] <= LONGEST:
            theirs = _measure("tslearn", work)
        absent = "error" in theirs
        nan = float("nan")
        rows.append(
            {
                "work": _say(work),
                "ours_s": ours["seconds"],
                "peer": f"tslearn: {theirs['error']}" if absent else f"tslearn {theirs['version']}",
                "peer_s": nan if absent else theirs["seconds"],
                "ratio": nan if absent else theirs["seconds"] / ours["seconds"],
                "ours_mib": ours["mib"],
                "peer_mib": nan if absent else theirs["mib"],
                "agreement": nan if absent else abs(theirs["answer"] / ours["answer"] - 1),
            }
        )
    return rows


def _say(work: Work) -> str:
    what, batch, length, features = work
    return f"soft-DTW {what}, {batch} x {length:,} frames, {features} features"


def _measure(who: str, work: Work) -> dict[str, Any]:
    python = os.environ.get("POLYMODAL_BENCH_PYTHON" if who == "tslearn" else "") or sys.executable
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


def _gradient(loss: Callable[[Any, Any], Any]) -> Callable[[Any], float]:
    """A loss's solver: its answer is the size of the gradient by the first sequences."""

    def solve(x: Any) -> float:
        a = x[0].clone().requires_grad_()
        loss(a, x[1]).sum().backward()
        return float(a.grad.double().abs().sum())

    return solve


def _solver(who: str, what: str) -> Callable[[Any], float]:
    if who == "polymodal":
        from polymodal.alignment import SoftDTW, soft_dtw

        return _gradient(soft_dtw) if what == "gradient" else lambda x: SoftDTW().distance(x[0][0], x[1][0])
    from tslearn.metrics import SoftDTWLossPyTorch
    from tslearn.metrics import soft_dtw as theirs

    if what == "gradient":
        return _gradient(SoftDTWLossPyTorch(gamma=1.0))
    return lambda x: float(theirs(x[0][0], x[1][0], gamma=1.0))


def _contend(who: str, work: Work) -> dict[str, Any]:
    import importlib.metadata

    import numpy as np
    import torch

    torch.set_num_threads(1)
    what, batch, length, features = work
    solve = _solver(who, what)

    def walks(t: int) -> Any:
        steps = np.random.default_rng(0).normal(size=(2, batch, t, features)).cumsum(2)
        return torch.from_numpy(steps) if what == "gradient" else steps

    solve(walks(50))  # compiles
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

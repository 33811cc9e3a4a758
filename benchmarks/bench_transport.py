"""Entropic transport beside POT (logarithms, in numpy and torch; stabilised kernel) and geomloss, for as many steps.

Two clouds of n points in three dimensions, C = |x - y|^2 / 2, uniform weights, epsilon = 0.01 (the costs reach about 20, so a plain
kernel underflows). Each contender runs in a process of its own; seconds are processor seconds on one thread, best of several
where they are short; MiB are the peak above the input. `agreement` is the relative distance of the transport cost <C, P> from the
converged one: with as many steps, how far each has come; `missed` the sum of what the weights miss.

    python benchmarks/bench_transport.py
    POLYMODAL_BENCH_PYTHON=...   an interpreter that has POT, geomloss and torch
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
PEERS = ("POT, log, numpy", "POT, log, torch", "POT, stabilised", "geomloss")
WORKS = ((1_000, 100), (4_000, 100))  # elements a side, steps
EPSILON = 0.01


def run(works: tuple[tuple[int, int], ...] = WORKS) -> list[dict[str, Any]]:
    """One row per work and peer."""
    rows = []
    for n, steps in works:
        truth = _measure("converged", n, 20_000)["answer"]
        ours = _measure("polymodal", n, steps)
        if "error" in ours:
            raise RuntimeError(ours["error"])
        for peer in PEERS:
            theirs = _measure(peer, n, steps)
            absent = "error" in theirs
            nan = float("nan")
            rows.append(
                {
                    "work": f"Sinkhorn, n = {n:,}, {steps} steps",
                    "ours_s": ours["seconds"],
                    "peer": f"{peer}: {theirs['error']}" if absent else peer,
                    "peer_s": nan if absent else theirs["seconds"],
                    "ratio": nan if absent else theirs["seconds"] / ours["seconds"],
                    "ours_mib": ours["mib"],
                    "peer_mib": nan if absent else theirs["mib"],
                    "agreement": f"{abs(ours['answer'] / truth - 1):.1e} / "
                    + ("" if absent else f"{abs(theirs['answer'] / truth - 1):.1e}"),
                    "missed": f"{ours['missed']:.1e} / " + ("" if absent else f"{theirs['missed']:.1e}"),
                }
            )
    return rows


def _measure(who: str, n: int, steps: int) -> dict[str, Any]:
    ours = who in ("polymodal", "converged")
    python = sys.executable if ours else os.environ.get("POLYMODAL_BENCH_PYTHON") or sys.executable
    done = subprocess.run(
        [python, __file__, "--contender", who, str(n), str(steps)],
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


def _polymodal(steps: int, tol: float = 0.0) -> Callable[..., Any]:
    from polymodal.alignment._sinkhorn import sinkhorn

    return lambda x, y, c, p: sinkhorn(c, p, p, epsilon=EPSILON, n_iter=steps, tol=tol)


def _pot(steps: int, method: str, torch_too: bool = False) -> Callable[..., Any]:
    import ot

    def solve(x: Any, y: Any, c: Any, p: Any) -> Any:
        if torch_too:
            import torch

            c, p = torch.tensor(c), torch.tensor(p)
        plan = ot.bregman.sinkhorn(p, p, c, EPSILON, method=method, numItermax=steps, stopThr=0, warn=False)
        return plan.numpy() if torch_too else plan

    return solve


def _geomloss(steps: int) -> Callable[..., Any]:
    import numpy as np
    import torch
    from geomloss import SamplesLoss

    def solve(x: Any, y: Any, c: Any, p: Any) -> Any:
        a, b = torch.tensor(x), torch.tensor(y)
        reach = float(np.linalg.norm(np.r_[x, y].max(0) - np.r_[x, y].min(0)))
        blur = EPSILON**0.5
        loss = SamplesLoss(
            "sinkhorn", p=2, blur=blur, scaling=(blur / reach) ** (1 / (steps - 2)), debias=False, potentials=True,
            backend="tensorized",
        )  # fmt: skip
        w = torch.tensor(p)
        f, g = loss(w, a, w, b)
        f, g = f.numpy().reshape(-1), g.numpy().reshape(-1)
        return np.exp((f[:, None] + g - c) / EPSILON) * p[:, None] * p

    return solve


def _contend(who: str, n: int, steps: int) -> dict[str, Any]:
    import numpy as np

    solve = {
        "converged": lambda: _polymodal(steps, 1e-6),
        "polymodal": lambda: _polymodal(steps),
        "POT, log, numpy": lambda: _pot(steps, "sinkhorn_log"),
        "POT, log, torch": lambda: _pot(steps, "sinkhorn_log", True),
        "POT, stabilised": lambda: _pot(steps, "sinkhorn_stabilized"),
        "geomloss": lambda: _geomloss(steps),
    }[who]()

    def problem(size: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(size, 3)), rng.normal(size=(size, 3)) + 0.5
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        return x, y, np.maximum(squares, 0) / 2, np.full(size, 1 / size)

    warnings.simplefilter("ignore")
    solve(*problem(50))  # compiles
    data = problem(n)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the high-water mark starts here
    before = _status("VmRSS")
    best, spent, plan = np.inf, 0.0, None
    while spent < 4.0:
        plan = None  # so that two are never held
        start = time.process_time()
        plan = solve(*data)
        took = time.process_time() - start
        best, spent = min(best, took), spent + max(took, 0.1)
    p = data[3]
    return {
        "seconds": best,
        "mib": (_status("VmHWM") - before) / 1024,
        "answer": float((plan * data[2]).sum() / plan.sum()),
        "missed": float(abs(plan.sum(0) - p).sum() + abs(plan.sum(1) - p).sum()),
    }


def _status(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith(field)).split()[1])


def main() -> None:
    if sys.argv[1:2] == ["--contender"]:
        print(json.dumps(_contend(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        return
    columns = ("work", "ours_s", "peer", "peer_s", "ratio", "ours_mib", "peer_mib", "agreement", "missed")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    for work in WORKS:
        for row in run((work,)):
            cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in (row[c] for c in columns)]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

"""Entropic transport beside POT (logarithms, in numpy and torch; stabilised kernel) and geomloss, for as many steps.

Two clouds of n points in three dimensions, C = |x - y|^2 / 2, uniform weights, epsilon = 0.01 (the costs reach about 20, so a plain
kernel underflows). Each contender runs in a process of its own; seconds are processor seconds on one thread, best of several
where they are short; MiB are the peak above the input. `agreement` is the relative distance of the transport cost <C, P> from the
converged one: with as many steps, how far each has come; `missed` the sum of what the weights miss.

    python benchmarks/bench_transport.py
    POLYMODAL_BENCH_PYTHON=...   an interpreter that has POT, geomloss and torch
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from measuring import Answer, Row, best_of, command_line, contend, interpreter, present, row

PEERS = ("POT, log, numpy", "POT, log, torch", "POT, stabilised", "geomloss")
WORKS = ((1_000, 100), (4_000, 100))  # elements a side, steps
EPSILON = 0.01


def run(works: tuple[tuple[int, int], ...] = WORKS) -> list[Row]:
    """One row per work and peer."""
    rows = []
    for n, steps in works:
        truth = present(contend(__file__, "converged", n, 20_000))["answer"]
        ours = present(contend(__file__, "polymodal", n, steps))

        def agreement(ours: Answer, peer: Answer, truth: float = truth) -> str:
            return " / ".join(f"{abs(who['answer'] / truth - 1):.1e}" for who in (ours, peer))

        for peer in PEERS:
            theirs = contend(__file__, peer, n, steps, python=interpreter())
            found = row(
                work=f"Sinkhorn, n = {n:,}, {steps} steps",
                ours=ours,
                peer_name=peer,
                peer=theirs,
                agreement=agreement,
            )
            missed = f"{theirs['missed']:.1e}" if isinstance(theirs, dict) else ""
            rows.append(found | {"missed": f"{ours['missed']:.1e} / {missed}"})
    return rows


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


def contender(who: str, n: int, steps: int) -> Answer:
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
    found = best_of(lambda: solve(*data), repeats=20, enough=4)
    plan, p = found.answer, data[3]
    return found.figures() | {
        "answer": float((plan * data[2]).sum() / plan.sum()),
        "missed": float(abs(plan.sum(0) - p).sum() + abs(plan.sum(1) - p).sum()),
    }


if __name__ == "__main__":
    command_line(run, contender, WORKS)

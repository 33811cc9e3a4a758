"""Soft-DTW beside tslearn: a loss with its gradient, and the value alone.

Each contender runs in a process of its own on the same seeded random walks in float64; seconds are processor
seconds on one thread, best of several after a first call that compiles; MiB are the peak above the input.

    python benchmarks/bench_soft_dtw.py
    POLYMODAL_BENCH_PYTHON=...        an interpreter that has tslearn and torch
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from measuring import (
    Absent,
    Answer,
    Row,
    best_of,
    command_line,
    contend,
    difference,
    interpreter,
    present,
    row,
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


def run(works: tuple[Work, ...] = WORKS) -> list[Row]:
    """One row per work; a peer that is not there, or cannot do it, says so in its name."""
    return [
        row(
            work=_say(work),
            ours=present(contend(__file__, "polymodal", work)),
            peer_name="tslearn",
            peer=contend(__file__, "tslearn", work, python=interpreter())
            if work[2] <= LONGEST
            else Absent("its matrices do not fit"),
            agreement=difference("answer", relative=True),
        )
        for work in works
    ]


def _say(work: Work) -> str:
    what, batch, length, features = work
    return f"soft-DTW {what}, {batch} x {length:,} frames, {features} features"


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


def contender(who: str, work: Work) -> Answer:
    import importlib.metadata

    import numpy as np
    import torch

    what, batch, length, features = work
    solve = _solver(who, what)

    def walks(t: int) -> Any:
        steps = np.random.default_rng(0).normal(size=(2, batch, t, features)).cumsum(2)
        return torch.from_numpy(steps) if what == "gradient" else steps

    solve(walks(50))  # compiles
    x = walks(length)
    found = best_of(lambda: solve(x), repeats=20, enough=2)
    return found.figures() | {"answer": found.answer, "version": importlib.metadata.version(who)}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

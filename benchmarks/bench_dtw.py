"""Dynamic time warping beside dtaidistance (C), tslearn, aeon and dtw-python: distances, paths, all pairs.

Each contender runs in a process of its own on the same seeded random walks, and gives the same answer (the square root of the
summed squared costs); seconds are processor seconds on one thread, best of several after a first call that compiles; MiB are
the peak above the input.

    python benchmarks/bench_dtw.py
    POLYMODAL_BENCH_PYTHON=...        an interpreter that has dtaidistance, tslearn, dtw-python
    POLYMODAL_BENCH_AEON_PYTHON=...   one that has aeon (which wants an older numpy)
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


def run(works: tuple[Work, ...] = WORKS) -> list[Row]:
    """One row per work and peer; a peer that is not there, or cannot do it, says so in its name."""
    rows = []
    for work in works:
        ours = present(contend(__file__, "polymodal", work))
        for peer in PEERS:
            if work[0] == "pairs" and peer == "dtw-python":
                continue  # it has no all pairs
            theirs: Answer | Absent = Absent("its matrix does not fit")
            if work[1] < 50_000 or (work[0] == "distance" and peer in LINEAR):
                theirs = contend(__file__, peer, work, python=_python(peer))
            rows.append(
                row(
                    work=_say(work),
                    ours=ours,
                    peer_name=peer,
                    peer=theirs,
                    agreement=difference("answer", relative=True),
                )
            )
    return rows


def _python(peer: str) -> str:
    return interpreter("POLYMODAL_BENCH_AEON_PYTHON" if peer == "aeon" else "POLYMODAL_BENCH_PYTHON")


def _say(work: Work) -> str:
    what, length, features, count = work
    return f"DTW {what}, " + (f"{count} x " if count > 2 else "") + f"{length:,} frames, {features} features"


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


def contender(who: str, work: Work) -> Answer:
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
    found = best_of(lambda: solve(x), repeats=20, enough=2)
    return found.figures() | {"answer": found.answer, "version": importlib.metadata.version(who)}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

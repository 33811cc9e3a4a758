"""BROJA beside two published ways: the cone programme of BROJA-2PID (written out for cvxpy and Clarabel), and dit's optimiser.

Random tables p(x1, x2, y), seconds are processor seconds of one thread, each contender in a process of its own, best of several where
short; MiB are the peak of the process above what it had when the table was there. `agreement` is the largest difference of the four
parts, in bits; `gap` is what our dual certifies.

    python benchmarks/bench_broja.py
    POLYMODAL_BENCH_DIT_PYTHON=...   an interpreter that has dit, cvxpy and clarabel
"""

from __future__ import annotations

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend, difference, interpreter, present, row

WORKS = (
    ((3, 3, 2), ("cone programme", "dit")),
    ((10, 10, 3), ("cone programme",)),
    ((30, 30, 4), ("cone programme",)),
)


def run(works: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = WORKS) -> list[Row]:
    """One row per table and peer."""
    rows = []
    for shape, peers in works:
        ours = present(contend(__file__, "polymodal", shape))
        rows += [
            row(
                work="BROJA, " + " x ".join(map(str, shape)),
                ours=ours,
                peer_name=peer,
                peer=contend(
                    __file__, peer, shape, python=interpreter("POLYMODAL_BENCH_DIT_PYTHON"), limit=900
                ),
                agreement=difference("parts"),
            )
            | {"gap": ours["gap"]}
            for peer in peers
        ]
    return rows


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


def contender(who: str, shape: tuple[int, ...]) -> Answer:
    solve = {"polymodal": _polymodal, "cone programme": _cone, "dit": _dit}[who]
    solve(_table((2, 2, 2)))  # imports, and what is set up once
    p = _table(shape)
    found = best_of(lambda: solve(p), repeats=5, enough=20)
    parts, gap = found.answer
    return found.figures() | {"parts": parts, "gap": gap}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

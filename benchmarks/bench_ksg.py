"""KSG beside scikit-learn: mutual_info_regression, one feature each (it has no more), and mutual_info_classif.

Two normal numbers with correlation 0.7, k = 3. Processor seconds of one thread, best of several; MiB are the peak above the input, each
contender in a process of its own. `agreement` is the difference of the answers in nats; both add noise of 1e-10 against ties, from
other draws.

    python benchmarks/bench_ksg.py
"""

from __future__ import annotations

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend, difference, present, row

WORKS = (("KSG", 2_000), ("KSG", 20_000), ("KSG", 100_000), ("Ross", 20_000))


def run(works: tuple[tuple[str, int], ...] = WORKS) -> list[Row]:
    """One row per work."""
    return [
        row(
            work=f"{what}, n = {n:,}, k = 3",
            ours=present(contend(__file__, "polymodal", what, n)),
            peer_name="scikit-learn",
            peer=contend(__file__, "scikit-learn", what, n),
            agreement=difference("answer"),
        )
        for what, n in works
    ]


def _ours(what: str, x: np.ndarray, y: np.ndarray) -> float:
    from polymodal.information import KSG, Ross, mutual_information

    return mutual_information(x, y, KSG() if what == "KSG" else Ross()).nats


def _theirs(what: str, x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    function = mutual_info_regression if what == "KSG" else mutual_info_classif
    return float(function(x[:, None], y, n_neighbors=3, random_state=0)[0])


def contender(who: str, what: str, n: int) -> Answer:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    y = 0.7 * x + np.sqrt(1 - 0.49) * rng.normal(size=n)
    if what == "Ross":
        y = np.digitize(y, [-1.0, 0.0, 1.0])
    solve = _ours if who == "polymodal" else _theirs
    solve(what, x[:200], y[:200])
    found = best_of(lambda: solve(what, x, y), repeats=5)
    return found.figures() | {"answer": found.answer}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

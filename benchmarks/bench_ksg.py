"""KSG beside scikit-learn: mutual_info_regression, one feature each (it has no more), and mutual_info_classif.

Two normal numbers with correlation 0.7, k = 3. Processor seconds of one thread, best of several; MiB are the peak above the input, each
contender in a process of its own. `agreement` is the difference of the answers in nats; both add noise of 1e-10 against ties, from
other draws.

    python benchmarks/bench_ksg.py
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
WORKS = (("KSG", 2_000), ("KSG", 20_000), ("KSG", 100_000), ("Ross", 20_000))


def run(works: tuple[tuple[str, int], ...] = WORKS) -> list[dict[str, Any]]:
    """One row per work."""
    rows = []
    for what, n in works:
        ours, theirs = (_measure(who, what, n) for who in ("polymodal", "scikit-learn"))
        rows.append(
            {
                "work": f"{what}, n = {n:,}, k = 3",
                "ours_s": ours["seconds"],
                "peer": "scikit-learn",
                "peer_s": theirs["seconds"],
                "ratio": theirs["seconds"] / ours["seconds"],
                "ours_mib": ours["mib"],
                "peer_mib": theirs["mib"],
                "agreement": abs(ours["answer"] - theirs["answer"]),
            }
        )
    return rows


def _measure(who: str, what: str, n: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, who, what, str(n)],
        capture_output=True,
        text=True,
        env=os.environ | ONE_THREAD,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _ours(what: str, x: np.ndarray, y: np.ndarray) -> float:
    from polymodal.information import KSG, Ross, mutual_information

    return mutual_information(x, y, KSG() if what == "KSG" else Ross()).nats


def _theirs(what: str, x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    function = mutual_info_regression if what == "KSG" else mutual_info_classif
    return float(function(x[:, None], y, n_neighbors=3, random_state=0)[0])


def main(who: str, what: str, n: int) -> None:
    import resource

    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    y = 0.7 * x + np.sqrt(1 - 0.49) * rng.normal(size=n)
    if what == "Ross":
        y = np.digitize(y, [-1.0, 0.0, 1.0])
    solve = _ours if who == "polymodal" else _theirs
    solve(what, x[:200], y[:200])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(5):
        start = time.process_time()
        answer = solve(what, x, y)
        seconds.append(time.process_time() - start)
        if sum(seconds) > 10:
            break
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": min(seconds), "mib": (after - before) / 1024, "answer": answer}))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        for row in run():
            print(row)

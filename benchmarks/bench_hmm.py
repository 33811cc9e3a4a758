"""Baum-Welch beside hmmlearn: the same sequences, the same start, the same number of steps.

Each contender runs in a process of its own; seconds are processor seconds of one thread, best of several after a first call that
compiles; MiB are the peak above the input. The answer is the log-likelihood after the fit.

    python benchmarks/bench_hmm.py
    POLYMODAL_BENCH_PYTHON=...        an interpreter that has hmmlearn
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
PEERS = ("hmmlearn log", "hmmlearn scaling")
STEPS = 5
Work = tuple[str, int, int, int, int]  # what, sequences, frames of each, features (or symbols), states
WORKS: tuple[Work, ...] = (
    ("diag", 100, 1000, 8, 10),
    ("full", 100, 1000, 8, 10),
    ("discrete", 100, 1000, 20, 10),
    ("diag", 1, 100_000, 8, 10),
    ("diag", 20, 1000, 8, 50),
    ("viterbi", 100, 1000, 8, 10),
)


def run(works: tuple[Work, ...] = WORKS) -> list[dict[str, Any]]:
    rows = []
    for work in works:
        ours = _measure("polymodal", work)
        if "error" in ours:
            raise RuntimeError(ours["error"])
        for peer in PEERS:
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
    what, count, length, features, states = work
    task = "best path, diag" if what == "viterbi" else f"Baum-Welch, {what}, {STEPS} steps"
    kind = "symbols" if what == "discrete" else "features"
    return f"{task}: {count} x {length:,} frames, {features} {kind}, {states} states"


def _measure(who: str, work: Work) -> dict[str, Any]:
    python = (
        sys.executable if who == "polymodal" else os.environ.get("POLYMODAL_BENCH_PYTHON") or sys.executable
    )
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


def _start(what: str, features: int, states: int) -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(1)
    transitions = np.full((states, states), 0.3 / (states - 1))
    np.fill_diagonal(transitions, 0.7)
    start: dict[str, Any] = {"start": np.full(states, 1 / states), "transitions": transitions}
    if what == "discrete":
        return start | {"symbols": rng.dirichlet(np.ones(features), size=states)}
    means = rng.normal(size=(states, features))
    covariances = np.ones((states, features))
    if what == "full":
        covariances = np.tile(np.eye(features), (states, 1, 1))
    return start | {"means": means, "covariances": covariances}


def _data(what: str, count: int, length: int, features: int, states: int) -> Any:
    """Frames that a model of as many states emitted, one sequence after the other."""
    import numpy as np

    rng = np.random.default_rng(0)
    runs = rng.geometric(0.2, size=count * length)
    labels = np.repeat(rng.integers(0, states, size=count * length), runs)[: count * length]
    if what == "discrete":
        tables = rng.dirichlet(np.full(features, 0.3), size=states).cumsum(1)
        return (rng.random((len(labels), 1)) > tables[labels]).sum(1).clip(0, features - 1)
    return 1.5 * rng.normal(size=(states, features))[labels] + rng.normal(size=(len(labels), features))


def _polymodal(work: Work) -> Callable[[Any], float]:
    from dataclasses import replace

    import numpy as np

    from polymodal import Ragged
    from polymodal.alignment import Categorical, Gaussian, HiddenMarkovModel

    what, count, _, features, states = work
    p = _start(what, features, states)
    if what == "discrete":
        emission: Any = Categorical(probabilities=p["symbols"])
    else:
        shape = "full" if what == "full" else "diag"
        emission = Gaussian(shape, floor=1e-12, means=p["means"], covariances=p["covariances"])
        emission = replace(emission, spread=np.ones(features))
    begun = HiddenMarkovModel.of(p["start"], p["transitions"], emission)

    def solve(x: Any) -> float:
        frames = len(x) // count
        data = Ragged(x, np.arange(count + 1) * frames)
        if what == "viterbi":
            return float(begun.viterbi(data).log_probability.sum())
        model = HiddenMarkovModel(states, emission=emission, topology=begun.topology, max_iter=STEPS, tol=0)
        return model.fit(data).history_[-1]

    return solve


def _hmmlearn(work: Work, implementation: str) -> Callable[[Any], float]:
    from hmmlearn import hmm

    what, count, _, features, states = work
    p = _start(what, features, states)

    def made() -> Any:
        common = {"init_params": "", "n_iter": STEPS, "tol": -1e300, "implementation": implementation}
        if what == "discrete":
            model = hmm.CategoricalHMM(states, **common)
            model.emissionprob_ = p["symbols"]
            model.n_features = features
        else:
            shape = "full" if what == "full" else "diag"
            weight = 1 if shape == "diag" else -features  # such that there is no prior
            model = hmm.GaussianHMM(
                states, shape, covars_prior=0, covars_weight=weight, min_covar=0, **common
            )
            model.means_, model.covars_ = p["means"], p["covariances"]
        model.startprob_, model.transmat_ = p["start"], p["transitions"]
        return model

    def solve(x: Any) -> float:
        frames = len(x) // count
        lengths, model = [frames] * count, made()
        x = x[:, None] if what == "discrete" else x
        if what == "viterbi":
            model.n_features = features
            return float(model.decode(x, lengths)[0])
        model.fit(x, lengths)
        return float(model.monitor_.history[-1])

    return solve


def _contend(who: str, work: Work) -> dict[str, Any]:
    import importlib.metadata

    import numpy as np

    solve = _polymodal(work) if who == "polymodal" else _hmmlearn(work, who.split()[1])
    what, count, _, features, states = work
    solve(_data(what, count, 20, features, states))  # compiles
    x = _data(*work)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the high-water mark starts here
    before = _status("VmRSS")
    best, spent = np.inf, 0.0
    while spent < 3.0:
        start = time.process_time()
        answer = solve(x)
        took = time.process_time() - start
        best, spent = min(best, took), spent + max(took, 0.1)
    return {
        "seconds": best,
        "mib": (_status("VmHWM") - before) / 1024,
        "answer": answer,
        "version": importlib.metadata.version(who.split(maxsplit=1)[0]),
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

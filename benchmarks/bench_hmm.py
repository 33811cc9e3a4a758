"""Baum-Welch beside hmmlearn: the same sequences, the same start, the same number of steps.

Each contender runs in a process of its own; seconds are processor seconds of one thread, best of several after a first call that
compiles; MiB are the peak above the input. The answer is the log-likelihood after the fit.

    python benchmarks/bench_hmm.py
    POLYMODAL_BENCH_PYTHON=...        an interpreter that has hmmlearn
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from measuring import Answer, Row, best_of, command_line, contend, difference, interpreter, present, row

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


def run(works: tuple[Work, ...] = WORKS) -> list[Row]:
    """One row per work and peer."""
    rows = []
    for work in works:
        ours = present(contend(__file__, "polymodal", work))
        rows += [
            row(
                work=_say(work),
                ours=ours,
                peer_name=peer,
                peer=contend(__file__, peer, work, python=interpreter()),
                agreement=difference("answer", relative=True),
            )
            for peer in PEERS
        ]
    return rows


def _say(work: Work) -> str:
    what, count, length, features, states = work
    task = "best path, diag" if what == "viterbi" else f"Baum-Welch, {what}, {STEPS} steps"
    kind = "symbols" if what == "discrete" else "features"
    return f"{task}: {count} x {length:,} frames, {features} {kind}, {states} states"


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


def contender(who: str, work: Work) -> Answer:
    import importlib.metadata

    solve = _polymodal(work) if who == "polymodal" else _hmmlearn(work, who.split()[1])
    what, count, _, features, states = work
    solve(_data(what, count, 20, features, states))  # compiles
    x = _data(*work)
    found = best_of(lambda: solve(x), repeats=20, enough=3)
    version = importlib.metadata.version(who.split(maxsplit=1)[0])
    return found.figures() | {"answer": found.answer, "version": version}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

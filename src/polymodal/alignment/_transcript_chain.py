"""The chain of states that a transcript stands for: few predecessors each, so sparse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.alignment import _markov_kernels as kernels
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int

STAY, LEAVE, PAUSE, PASS = (
    0,
    1,
    2,
    3,
)  # what an edge says: kept on, went on, went on into or past an optional silence


@dataclass(frozen=True, eq=False)
class TranscriptChain:
    """Places of a transcript; edges heads[p]:heads[p + 1] lead to place p.

    Attributes:
        emits: Emission state of each place.
        unit: Position in the transcript, -1 for silence.
        run: Number of the unit or silence that a place belongs to, rising.
        first: Log-probability of beginning at each place.
        last: Log-probability of ending there.
        heads: Where the edges of each place begin.
        sources: Where each edge comes from.
        weights: Log-probability of each edge.
        kinds: What it says.
    """

    emits: Int[np.ndarray, " p"]
    unit: Int[np.ndarray, " p"]
    run: Int[np.ndarray, " p"]
    first: Float[np.ndarray, " p"]
    last: Float[np.ndarray, " p"]
    heads: Int[np.ndarray, " p1"]
    sources: Int[np.ndarray, " e"]
    weights: Float[np.ndarray, " e"]
    kinds: Int[np.ndarray, " e"]


@dataclass(frozen=True, eq=False)
class Tally:
    """Expected stays and leavings of every emission state, and of pauses: left out, taken."""

    stayed: Float[np.ndarray, " k"]
    left: Float[np.ndarray, " k"]
    pauses: Float[np.ndarray, " 2"]


def compose(
    units: list[int], states: int, stay: Float[np.ndarray, " k"], silence: int | None, pause: float
) -> TranscriptChain:
    """[silence] unit [silence] unit ... [silence], each silence taken with probability `pause`."""
    emits: list[int] = []
    unit: list[int] = []
    run: list[int] = []
    edges: list[list[tuple[int, float, int]]] = []
    on, past = np.log(pause), np.log1p(-pause)
    leave = np.log1p(-stay)

    def place(emit: int, position: int, incoming: list[tuple[int, float, int]]) -> int:
        here = len(emits)
        emits.append(emit)
        unit.append(position)
        edges.append([(here, float(np.log(stay[emit])), STAY), *incoming])
        return here

    quiet, before = -1, -1  # the silence and the unit's last state that come just before
    for i, u in enumerate(units):
        for j in range(states):
            incoming: list[tuple[int, float, int]] = []
            if j:
                incoming = [(len(emits) - 1, float(leave[emits[-1]]), LEAVE)]
            else:
                if silence is not None:
                    into = [(before, float(leave[emits[before]] + on), PAUSE)] if before >= 0 else []
                    quiet = place(silence, -1, into)
                    run.append(2 * i)
                    incoming.append((quiet, float(leave[silence]), LEAVE))
                if before >= 0:
                    through = past if silence is not None else 0.0
                    kind = PASS if silence is not None else LEAVE
                    incoming.append((before, float(leave[emits[before]] + through), kind))
            place(u * states + j, i, incoming)
            run.append(2 * i + 1)
        before = len(emits) - 1
    if silence is not None:
        place(silence, -1, [(before, float(leave[emits[before]] + on), PAUSE)])
        run.append(2 * len(units))
    n = len(emits)
    first, last = np.full(n, -np.inf), np.full(n, -np.inf)
    first[0], last[-1] = (0.0, 0.0) if silence is None else (on, 0.0)
    if silence is not None:
        first[1], last[before] = past, past
    return TranscriptChain(
        np.array(emits), np.array(unit), np.array(run), first, last,
        np.concatenate([[0], np.cumsum([len(e) for e in edges])]).astype(np.int64),
        np.array([s for e in edges for s, _, _ in e], dtype=np.int64),
        np.array([w for e in edges for _, w, _ in e]),
        np.array([k for e in edges for _, _, k in e], dtype=np.int64),
    )  # fmt: skip


def _expect(chain: TranscriptChain, log_b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood, posteriors of places, expected uses of edges."""
    posteriors, uses = np.empty((len(log_b), len(chain.emits))), np.zeros(len(chain.sources))
    total = kernels.sparse_expectations(
        np.ascontiguousarray(log_b), chain.emits, chain.first, chain.heads, chain.sources, chain.weights, chain.last, posteriors, uses,
    )  # fmt: skip
    if not np.isfinite(total):
        raise ModalityError("The recording has probability zero under its transcript: check its features.")
    return float(total), posteriors, uses


def posteriors(chain: TranscriptChain, log_b: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n p"]:
    """Probability of each place at each frame."""
    return _expect(chain, log_b)[1]


def collect(
    chain: TranscriptChain,
    log_b: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, "n k"],
    tally: Tally,
) -> float:
    """Add posteriors of emission states to `weights` and moves to `tally`, both in place; gives the log-likelihood."""
    total, posterior, uses = _expect(chain, log_b)
    np.add.at(weights.T, chain.emits, posterior.T)
    origin = chain.emits[chain.sources]
    k = len(tally.stayed)
    moved = chain.kinds != STAY
    tally.stayed[:] += np.bincount(origin[~moved], weights=uses[~moved], minlength=k)
    tally.left[:] += np.bincount(origin[moved], weights=uses[moved], minlength=k)
    tally.pauses[0] += uses[chain.kinds == PASS].sum()
    tally.pauses[1] += uses[chain.kinds == PAUSE].sum()
    if np.isfinite(chain.first).sum() == 2:  # silence may stand at both ends
        tally.pauses[1] += posterior[0, 0]  # that at the end is an edge
        tally.pauses[0] += posterior[0, 1] + posterior[-1, -2]
    return total


def best_path(chain: TranscriptChain, log_b: Float[np.ndarray, "n k"]) -> tuple[Int[np.ndarray, " n"], float]:
    """The most probable places, and the log-probability."""
    path = np.zeros(len(log_b), dtype=np.int64)
    score = kernels.sparse_best_path(
        np.ascontiguousarray(log_b), chain.emits, chain.first, chain.heads, chain.sources, chain.weights, chain.last, path,
    )  # fmt: skip
    return path, float(score)

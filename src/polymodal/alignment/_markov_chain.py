"""A chain of hidden states, what is expected of it given frames, and the climb of expectation-maximisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from polymodal.alignment import _markov_kernels as kernels
from polymodal.alignment._markov_sequences import Sequences
from polymodal.alignment.emissions import Emission
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Chain:
    """Probabilities of the first state, of the next given the last, and whether (or how likely) a sequence may end in a state."""

    start: Float[np.ndarray, " k"]
    transitions: Float[np.ndarray, "k k"]
    end: Float[np.ndarray, " k"]

    @classmethod
    def of(cls, start: np.ndarray, transitions: np.ndarray, end: np.ndarray | None = None) -> Chain:
        """Checked: rows sum to one."""
        start, a = np.asarray(start, dtype=float), np.asarray(transitions, dtype=float)
        end = np.ones(len(start)) if end is None else np.asarray(end, dtype=float)
        k = len(start)
        if start.shape != (k,) or a.shape != (k, k) or end.shape != (k,) or k == 0:
            raise ModalityError(
                f"A chain of k states needs start (k,), transitions (k, k) and end (k,), got {start.shape}, {a.shape}, {end.shape}."
            )
        sums = np.append(a.sum(1), start.sum())
        if min(start.min(), a.min(), end.min()) < 0 or not np.allclose(sums, 1, atol=1e-8):
            raise ModalityError(
                f"Start and every row of transitions must be probabilities that sum to 1, got sums {sums[:6].round(6).tolist()}."
            )
        return cls(start, np.ascontiguousarray(a), end)

    @cached_property
    def logarithms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of start, transitions, end."""
        with np.errstate(divide="ignore"):
            return np.log(self.start), np.log(self.transitions), np.log(self.end)

    def log_likelihoods(
        self, log_b: Float[np.ndarray, "n k"], offsets: Int[np.ndarray, " m1"]
    ) -> Float[np.ndarray, " m"]:
        """Of each sequence."""
        out = np.empty(len(offsets) - 1)
        kernels.log_likelihoods(
            log_b, offsets, self.start, self.transitions, self.logarithms[1], self.end, out
        )
        return out

    def expectations(
        self, log_b: Float[np.ndarray, "n k"], offsets: Int[np.ndarray, " m1"]
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "k k"], Float[np.ndarray, " m"]]:
        """Posteriors of states, expected transitions, log-likelihood of each sequence."""
        posteriors, counts = np.empty_like(log_b), np.zeros_like(self.transitions)
        out = np.empty(len(offsets) - 1)
        turned = np.ascontiguousarray(self.transitions.T)
        kernels.expectations(
            log_b, offsets, self.start, self.transitions, turned, self.logarithms[1], self.end, posteriors, counts, out,
        )  # fmt: skip
        return posteriors, counts, out

    def best_paths(
        self, log_b: Float[np.ndarray, "n k"], offsets: Int[np.ndarray, " m1"]
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " m"]]:
        """The most probable states, and their log-probability with the frames."""
        states, out = np.zeros(len(log_b), dtype=np.int64), np.empty(len(offsets) - 1)
        kernels.best_paths(log_b, offsets, *self.logarithms, states, out)
        return states, out

    def sample(self, length: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        """States of one sequence; where it may end is not asked."""
        states = np.zeros(length, dtype=np.int64)
        cumulative = self.transitions.cumsum(1)
        row = self.start.cumsum()
        for t, draw in enumerate(rng.random(length)):
            states[t] = np.searchsorted(row, draw * row[-1], side="right")
            row = cumulative[states[t]]
        return states


@dataclass(frozen=True, eq=False)
class Expected:
    """What one pass over the data says of a chain and its emission."""

    log_likelihood: float
    start: Float[np.ndarray, " k"]
    transitions: Float[np.ndarray, "k k"]
    emission: tuple[np.ndarray, ...]


def expected(
    chain: Chain,
    emission: Emission,
    data: Sequences,
    states: Int[np.ndarray, " n"] | None = None,
) -> Expected:
    """The expectation step, some thousands of frames at a time.

    Args:
        chain: The chain.
        emission: Its emission.
        data: Checked frames.
        states: Each frame's state where that is known, -1 elsewhere.
    """
    total, k = 0.0, len(chain.start)
    start, transitions = np.zeros(k), np.zeros((k, k))
    statistics: list[np.ndarray] = []
    for which, span, part in data.blocks():
        log_b = emission.log_likelihood(part.frames)
        if states is not None:
            clamp(log_b, states[span])
        posteriors, counts, each = chain.expectations(log_b, part.offsets)
        refuse_impossible(each, which.start)
        total += float(each.sum())
        start += posteriors[part.offsets[:-1][np.diff(part.offsets) > 0]].sum(0)
        transitions += counts
        more = emission.statistics(part.frames, posteriors)
        statistics = [s + m for s, m in zip(statistics, more, strict=True)] if statistics else list(more)
    return Expected(total, start, transitions, tuple(statistics))


def clamp(log_b: Float[np.ndarray, "n k"], states: Int[np.ndarray, " n"]) -> None:
    """Forbid, in place, every state but the known one."""
    known = np.flatnonzero(states >= 0)
    kept = log_b[known, states[known]]
    log_b[known] = -np.inf
    log_b[known, states[known]] = kept


def refuse_impossible(log_likelihoods: Float[np.ndarray, " m"], first: int = 0) -> None:
    """Nothing can be learned from a sequence of probability zero."""
    bad = np.flatnonzero(np.isneginf(log_likelihoods))
    if len(bad):
        raise ModalityError(
            f"Sequence {first + int(bad[0])} has probability zero under the model ({len(bad)} sequences do): it is shorter than the "
            "topology's shortest path, or holds symbols or states the model forbids. Drop it, allow skips, or set a prior."
        )


def climb(
    state: S, step: Callable[[S], tuple[float, S]], *, frames: int, max_iter: int, tol: float
) -> tuple[S, list[float], bool]:
    """Repeat `step`, which gives the objective of a state and the next state, until a frame gains less than `tol` nats.

    Returns:
        The last state, the objective of every state before it, and whether it converged.
    """
    history: list[float] = []
    for _ in range(max_iter):
        objective, state = step(state)
        history.append(objective)
        if len(history) > 1 and history[-1] - history[-2] < tol * max(frames, 1):
            return state, history, True
    return state, history, False

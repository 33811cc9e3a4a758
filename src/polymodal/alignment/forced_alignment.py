"""Forced alignment: when, in a recording, each unit of its transcript is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from polymodal.alignment import _transcript_chain as chains
from polymodal.alignment._markov_chain import climb
from polymodal.alignment._markov_sequences import Sequences, sequences
from polymodal.alignment._transcript_chain import TranscriptChain
from polymodal.alignment.answer import Alignment
from polymodal.alignment.emissions import Emission, Gaussian
from polymodal.core.errors import ModalityError, NotFittedError, suggest
from polymodal.core.random import RandomState, generator

SILENCE = ""  # the name of the optional unit


@dataclass(frozen=True)
class Segment:
    """One unit of a transcript in time.

    Attributes:
        unit: Its name; "" for silence.
        start_seconds: Where it begins (in frames where the recording has no rate).
        end_seconds: Where it ends.
    """

    unit: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, eq=False)
class ForcedAlignment(Alignment):
    """An `Alignment` of frames with the units of a transcript.

    Attributes:
        segments: The units in order, with silences between them where the model found any.
    """

    segments: tuple[Segment, ...] = ()


class ForcedAligner(BaseEstimator):
    """Units (words, phones, characters: what the transcripts are written in), each a small left-to-right hidden Markov model.

    Learned from recordings and their transcripts alone: every recording is cut into equal parts for a start, then embedded
    Baum-Welch over the chain of the transcript's units finds the boundaries and the models together. Alignment is the best path.

    Args:
        states_per_unit: States that every unit passes through, each at least one frame long.
        emission: What a state emits; `Gaussian()` unless given.
        silence: Whether there may be silence before, between and behind units: one more state, which may always be left out.
        max_iter: Most steps of a fit.
        tol: A fit ends when a step gains less than this many nats per frame.
        random_state: Seed of the start (needed by mixtures alone).

    Attributes:
        units_: Names of the units, sorted.
        emission_: Emission of every state of every unit; the last state is silence.
        stay_: Probability of staying in each of these states.
        pause_: Probability of a silence where one may be.
        history_: Log-likelihood before each step of the fit; it never falls.
        converged_: Whether the last step gained less than `tol`.

    Complexity: A step of the fit is O(frames x states of the transcript) per recording.

    Relations:
        * units of one state that differ plainly: the boundaries are those of the change.
        * each frame is in one segment; segments follow the transcript.

    References: Rabiner 1989; Young et al. 2006 (embedded training, flat start).
    """

    units_: list[str]
    emission_: Emission
    stay_: np.ndarray
    pause_: float
    history_: list[float]
    converged_: bool

    def __init__(
        self,
        states_per_unit: int = 3,
        *,
        emission: Emission | None = None,
        silence: bool = True,
        max_iter: int = 30,
        tol: float = 1e-4,
        random_state: RandomState = None,
    ) -> None:
        self.states_per_unit = states_per_unit
        self.emission = emission
        self.silence = silence
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, recordings: Any, transcripts: Sequence[Sequence[str]]) -> ForcedAligner:
        """Learn a model of every unit.

        Args:
            recordings: Features of every recording, (frames, features): a list, or a `Ragged`. Streams as a mapping.
            transcripts: The units of every recording, in order.
        """
        if self.states_per_unit < 1 or self.max_iter < 1:
            raise ModalityError(
                f"ForcedAligner needs states_per_unit >= 1 and max_iter >= 1, got {self.states_per_unit}, {self.max_iter}."
            )
        emission = self.emission if self.emission is not None else Gaussian()
        given = sequences(recordings)
        data = Sequences(emission.checked(given.frames), given.offsets, given.rate)
        if len(transcripts) != len(data) or not len(data):
            raise ModalityError(
                f"One transcript per recording needed, at least one: got {len(data)} recordings, {len(transcripts)} transcripts."
            )
        for i, (transcript, frames) in enumerate(zip(transcripts, np.diff(data.offsets), strict=True)):
            self._check(transcript, int(frames), f"Transcript {i}")
        self.units_ = sorted({u for t in transcripts for u in t})
        n = len(self.units_) * self.states_per_unit + 1
        numbers = [self._numbers(t) for t in transcripts]
        labels = np.concatenate(
            [self._cut(u, int(f)) for u, f in zip(numbers, np.diff(data.offsets), strict=True)]
        )
        begun = emission.started(data.frames, labels, n, generator(self.random_state))
        stay = np.full(n, 0.7)
        found, self.history_, self.converged_ = climb(
            (begun, stay, 0.5),
            lambda state: self._step(state, data, numbers),
            frames=data.total,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.emission_, self.stay_, self.pause_ = found
        return self

    def _check(self, transcript: Sequence[str], frames: int, what: str) -> None:
        if isinstance(transcript, str):
            raise ModalityError(
                f"{what} must be a sequence of units, got one string. Split it: text.split() for words, list(text) for characters."
            )
        if not len(transcript) or any(not isinstance(u, str) or u == SILENCE for u in transcript):
            raise ModalityError(
                f"{what} needs at least one unit, each a string that is not empty; got {list(transcript)[:5]}. "
                "A recording of nothing but silence has no alignment: leave it out."
            )
        needed = len(transcript) * self.states_per_unit
        if frames < needed:
            raise ModalityError(
                f"{what} of {len(transcript)} units needs at least {needed} frames ({self.states_per_unit} states per unit), the "
                f"recording has {frames}. Use fewer states_per_unit or a smaller hop."
            )

    def _numbers(self, transcript: Sequence[str]) -> list[int]:
        place = {u: i for i, u in enumerate(self.units_)}
        unknown = [u for u in transcript if u not in place]
        if unknown:
            raise ModalityError(
                f"Unknown unit {unknown[0]!r}; {len(place)} units were learned.{suggest(unknown[0], place)}"
            )
        return [place[u] for u in transcript]

    def _cut(self, units: list[int], frames: int) -> np.ndarray:
        """Equal parts for every state; the first and last twentieth are taken for silence where there may be any."""
        states = np.concatenate([u * self.states_per_unit + np.arange(self.states_per_unit) for u in units])
        edge = frames // 20 if self.silence else 0
        edge = min(edge, (frames - len(states)) // 2)
        inner = states[(np.arange(frames - 2 * edge) * len(states)) // (frames - 2 * edge)]
        quiet = np.full(edge, len(self.units_) * self.states_per_unit)
        return np.concatenate([quiet, inner, quiet]).astype(np.int64)

    def _compose(self, units: list[int], stay: np.ndarray, pause: float) -> TranscriptChain:
        quiet = len(self.units_) * self.states_per_unit
        return chains.compose(units, self.states_per_unit, stay, quiet if self.silence else None, pause)

    def _step(
        self, state: tuple[Emission, np.ndarray, float], data: Sequences, numbers: list[list[int]]
    ) -> tuple[float, tuple[Emission, np.ndarray, float]]:
        emission, stay, pause = state
        total, n = emission.log_prior(), len(stay)
        tally = chains.Tally(np.zeros(n), np.zeros(n), np.zeros(2))
        statistics: list[np.ndarray] = []
        for which, _, part in data.blocks():
            log_b = emission.log_likelihood(part.frames)
            weights = np.zeros_like(log_b)
            for i, units in enumerate(numbers[which]):
                span = slice(int(part.offsets[i]), int(part.offsets[i + 1]))
                total += chains.collect(self._compose(units, stay, pause), log_b[span], weights[span], tally)
            more = emission.statistics(part.frames, weights)
            statistics = [s + m for s, m in zip(statistics, more, strict=True)] if statistics else list(more)
        fresh_stay = np.where(
            tally.left > 0, tally.stayed / np.maximum(tally.stayed + tally.left, 1e-300), stay
        )
        paused = pause
        if tally.pauses.sum() > 0:
            paused = float(np.clip(tally.pauses[1] / tally.pauses.sum(), 1e-6, 1 - 1e-6))
        return total, (emission.maximised(tuple(statistics)), np.clip(fresh_stay, 1e-6, 1 - 1e-6), paused)

    def _prepared(
        self, recording: Any, transcript: Sequence[str]
    ) -> tuple[Sequences, TranscriptChain, np.ndarray]:
        if not hasattr(self, "history_"):
            raise NotFittedError("This ForcedAligner is not fitted yet. Call fit(recordings, transcripts).")
        given = sequences(recording)
        data = Sequences(self.emission_.checked(given.frames), given.offsets, given.rate)
        if len(data) != 1:
            raise ModalityError(f"align needs one recording, got {len(data)}.")
        self._check(transcript, data.total, "The transcript")
        chain = self._compose(self._numbers(transcript), self.stay_, self.pause_)
        return data, chain, self.emission_.log_likelihood(data.frames)

    def log_likelihood(self, recording: Any, transcript: Sequence[str]) -> float:
        """Log-likelihood of a recording given its transcript, in nats: of several transcripts the highest fits best."""
        _, chain, log_b = self._prepared(recording, transcript)
        n = len(self.stay_)
        return chains.collect(
            chain, log_b, np.zeros_like(log_b), chains.Tally(np.zeros(n), np.zeros(n), np.zeros(2))
        )

    def score(self, recordings: Any, transcripts: Sequence[Sequence[str]]) -> float:
        """Log-likelihood of all recordings given their transcripts, in nats."""
        given = sequences(recordings)
        ragged = [given.ragged(given.frames)[i] for i in range(len(given))]
        return float(sum(self.log_likelihood(r, t) for r, t in zip(ragged, transcripts, strict=True)))

    def align(self, recording: Any, transcript: Sequence[str]) -> ForcedAlignment:
        """When each unit is said.

        The path matches frames with places in the transcript (frames of silence with none); the coupling holds the posteriors; the
        cost is the negative log-probability of frames and best path.

        Args:
            recording: Features, (frames, features), or a `Ragged` of one recording, whose rate then gives seconds.
            transcript: Its units.
        """
        data, chain, log_b = self._prepared(recording, transcript)
        path, score = chains.best_path(chain, log_b)
        posteriors = chains.posteriors(chain, log_b)
        unit = chain.unit[path]
        spoken = np.flatnonzero(unit >= 0)
        place = chain.unit >= 0
        coupling = np.zeros((len(log_b), len(transcript)))
        np.add.at(coupling.T, chain.unit[place], posteriors[:, place].T)
        coupling[coupling < 1e-9] = 0
        plain = Alignment.of_coupling(
            coupling,
            self,
            cost=-score,
            path=np.stack([spoken, unit[spoken]], axis=1),
            normalised_cost=-score / len(log_b),
            rates=(data.rate, 1.0),
        )
        return ForcedAlignment(
            **vars(plain), segments=_segments(unit, chain.run[path], transcript, data.rate)
        )

    def align_costs(self, costs: Any) -> Alignment:
        """Refused: costs of frames and units say nothing of the states within a unit."""
        raise ModalityError(
            "ForcedAligner aligns a recording with a transcript: call align(recording, transcript). "
            "For costs of frames against units use DTW."
        )


def _segments(
    unit: np.ndarray, run: np.ndarray, transcript: Sequence[str], rate: float
) -> tuple[Segment, ...]:
    """Runs of frames in one unit, or in one silence."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(run)) + 1, [len(run)]])
    return tuple(
        Segment(transcript[unit[a]] if unit[a] >= 0 else SILENCE, float(a / rate), float(b / rate))
        for a, b in pairwise(edges)
    )

"""What every hidden Markov model can do once it has a chain of (joint) states and an emission."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from polymodal.alignment._markov_chain import Chain
from polymodal.alignment._markov_sequences import Sequences, sequences
from polymodal.alignment.answer import Alignment
from polymodal.alignment.emissions import Emission
from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float


@dataclass(frozen=True, eq=False)
class BestPaths:
    """The most probable hidden states.

    Attributes:
        states: Of each frame of each sequence.
        log_probability: Of each sequence, together with its frames.
    """

    states: Ragged
    log_probability: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Sampled:
    """A sequence drawn from a model.

    Attributes:
        states: Hidden states, (frames,).
        frames: What they emitted: (frames, ...), or a dict of them by stream.
    """

    states: np.ndarray
    frames: Any


class MarkovModel(BaseEstimator, ABC):
    """Base of the models: everything that needs a chain and an emission, and nothing else.

    Sequences are given as one array (frames, features), a list of them, or a `Ragged`; of several streams as a mapping from name
    to one of these, or as `Modalities` whose rows are sequences. Answers per frame come as a `Ragged`, one entry per sequence.

    Attributes:
        history_: Log-likelihood plus log-priors (for a variational fit: the bound) before each step of the fit; it never falls.
        converged_: Whether the last step gained less than `tol`.
    """

    history_: list[float]
    converged_: bool

    @abstractmethod
    def _chain(self) -> Chain:
        """The chain of joint states."""

    @abstractmethod
    def _emission(self) -> Emission:
        """The emission of joint states."""

    def _check_fitted(self) -> None:
        if not hasattr(self, "history_"):
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted yet. Call fit(sequences), or build it from parameters."
            )

    def _checked(self, data: Any) -> Sequences:
        self._check_fitted()
        return checked(data, self._emission())

    def log_likelihood(self, sequences: Any) -> Float[np.ndarray, " m"]:
        """Log-likelihood of each sequence in nats; -inf where the model forbids it. O(frames * states^2)."""
        data, chain, emission = self._checked(sequences), self._chain(), self._emission()
        parts = [
            chain.log_likelihoods(emission.log_likelihood(p.frames), p.offsets) for _, _, p in data.blocks()
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def score(self, sequences: Any, y: Any = None) -> float:
        """Log-likelihood of all sequences together, in nats."""
        return float(self.log_likelihood(sequences).sum())

    def posteriors(self, sequences: Any) -> Ragged:
        """Probability of each state at each frame, given the whole sequence; zeros where the sequence is impossible."""
        data, chain, emission = self._checked(sequences), self._chain(), self._emission()
        parts = [
            chain.expectations(emission.log_likelihood(p.frames), p.offsets)[0] for _, _, p in data.blocks()
        ]
        return data.ragged(np.concatenate(parts))

    def viterbi(self, sequences: Any) -> BestPaths:
        """The most probable sequence of states of each sequence."""
        data, chain, emission = self._checked(sequences), self._chain(), self._emission()
        parts = [chain.best_paths(emission.log_likelihood(p.frames), p.offsets) for _, _, p in data.blocks()]
        states, scores = (np.concatenate(x) for x in zip(*parts, strict=True))
        return BestPaths(data.ragged(states), scores)

    def predict(self, sequences: Any) -> Ragged:
        """The states of `viterbi`."""
        return self.viterbi(sequences).states

    def sample(self, length: int, random_state: RandomState = None) -> Sampled:
        """Draw a sequence of `length` frames."""
        self._check_fitted()
        rng = generator(random_state)
        states = self._chain().sample(length, rng)
        return Sampled(states, self._emission().sample(states, rng))

    def align(self, a: Any, b: Any = None) -> Alignment:
        """The frames of one sequence matched with states: the path is the most probable one, the coupling the posteriors.

        The cost is the negative log-probability of frames and path.

        Args:
            a: The sequence.
            b: Nothing: the states are the other side.
        """
        if b is not None:
            raise ModalityError(
                f"{type(self).__name__} aligns one sequence with its own states: call align(a), without b."
            )
        data = self._checked(a)
        if len(data) != 1 or not data.total:
            raise ModalityError(
                f"align needs one sequence of at least one frame, got {len(data)} of {data.total} frames."
            )
        return self._align(self._emission().log_likelihood(data.frames), data.rate)

    def align_costs(self, costs: Any) -> Alignment:
        """The same, where `costs` (frames, states) are negative log-densities from elsewhere (a classifier of frames, say)."""
        self._check_fitted()
        log_b = -np.asarray(costs, dtype=float)
        k = len(self._chain().start)
        if log_b.ndim != 2 or log_b.shape[1] != k or not len(log_b) or np.isnan(log_b).any():
            raise ModalityError(
                f"align_costs needs one cost per frame and state, (frames, {k}), got {log_b.shape}."
            )
        return self._align(np.ascontiguousarray(log_b), 1.0)

    def _align(self, log_b: np.ndarray, rate: float) -> Alignment:
        chain, offsets = self._chain(), np.array([0, len(log_b)], dtype=np.int64)
        states, score = chain.best_paths(log_b, offsets)
        if not np.isfinite(score[0]):
            raise ModalityError(
                "The model gives this sequence probability zero: no path of its topology fits the frames. Use a longer sequence, or skips."
            )
        path = np.stack([np.arange(len(log_b)), states], axis=1)
        coupling = chain.expectations(log_b, offsets)[0]
        cost = -float(score[0])
        return Alignment.of_coupling(
            coupling, self, cost=cost, path=path, normalised_cost=cost / len(log_b), rates=(rate, 1.0)
        )


def checked(data: Any, emission: Emission) -> Sequences:
    """Sequences whose frames the emission can read."""
    given = sequences(data)
    return Sequences(emission.checked(given.frames), given.offsets, given.rate)

"""Hidden Markov models: forward-backward, Viterbi and Baum-Welch over any emission and topology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from polymodal.alignment._markov_chain import Chain, climb, expected
from polymodal.alignment._markov_model import MarkovModel, checked
from polymodal.alignment._markov_sequences import Sequences, sequences
from polymodal.alignment.emissions import Emission, Gaussian, dirichlet, first_labels, normalised
from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Int

if TYPE_CHECKING:
    from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork


@runtime_checkable
class Topology(Protocol):
    """Which transitions there are, as first probabilities; what is zero stays zero."""

    def chain(self, n_states: int) -> Chain:
        """Start, transitions and ends."""

    def labels(
        self, offsets: Int[np.ndarray, " m1"], n_states: int, rng: np.random.Generator | None
    ) -> Int[np.ndarray, " n"] | None:
        """A first guess of states from the order of frames alone (jittered if `rng` is given); None if order says nothing."""


@dataclass(frozen=True)
class Ergodic:
    """Every state may follow every other.

    Args:
        stay: First probability of staying, in (0, 1).
    """

    stay: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.stay < 1:
            raise ModalityError(f"Ergodic needs stay in (0, 1), got {self.stay}.")

    def chain(self, n_states: int) -> Chain:
        """See `Topology`."""
        k = n_states
        stay = self.stay if k > 1 else 1.0
        a = np.full((k, k), (1 - stay) / max(k - 1, 1))
        np.fill_diagonal(a, stay)
        return Chain.of(np.full(k, 1 / k), a)

    def labels(self, offsets: np.ndarray, n_states: int, rng: np.random.Generator | None) -> None:
        """Order says nothing."""


@dataclass(frozen=True)
class LeftToRight:
    """From the first state onwards, never back; a state may be skipped.

    Args:
        skip: States that one step may jump over, >= 0 (0: every state is visited, if the sequence must end in the last).
        ends_anywhere: Whether a sequence may end in any state; otherwise it must end in the last.
        circular: Whether the first state may follow the last (then a sequence may begin anywhere and end anywhere).
    """

    skip: int = 0
    ends_anywhere: bool = False
    circular: bool = False

    def __post_init__(self) -> None:
        if self.skip < 0:
            raise ModalityError(f"LeftToRight needs skip >= 0, got {self.skip}.")

    def chain(self, n_states: int) -> Chain:
        """See `Topology`."""
        k = n_states
        ahead = np.subtract.outer(np.arange(k), np.arange(k)).T
        if self.circular:
            ahead %= k
        allowed = (ahead >= 0) & (ahead <= self.skip + 1)
        start = np.full(k, 1 / k) if self.circular else np.eye(k)[0]
        end = np.ones(k) if self.circular or self.ends_anywhere else np.eye(k)[-1]
        return Chain.of(start, allowed / allowed.sum(1, keepdims=True), end)

    def labels(
        self, offsets: np.ndarray, n_states: int, rng: np.random.Generator | None
    ) -> Int[np.ndarray, " n"] | None:
        """Each sequence cut into equal parts, or into random ones."""
        if self.circular:
            return None
        parts = []
        for n in np.diff(offsets):
            cuts = np.arange(1, n_states) / n_states
            if rng is not None:
                cuts = np.sort(np.clip(cuts + rng.normal(0, 0.5 / n_states, n_states - 1), 0, 1))
            parts.append(np.searchsorted(cuts * n, np.arange(n) + 0.5))
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)


class HiddenMarkovModel(MarkovModel):
    r"""A hidden chain $p(s_1) \prod_t p(s_t \mid s_{t-1}) \prod_t p(x_t \mid s_t)$, fitted by Baum-Welch.

    Args:
        n_states: Hidden states.
        emission: What a state emits: `Gaussian`, `GaussianMixture`, `Categorical`, `Streams`, or an object with their methods.
            One with parameters starts from them.
        topology: `Ergodic()`, `LeftToRight(...)`, or an object with `chain` and `labels`.
        prior: Times that every allowed start and transition is taken to have been seen before, >= 0.
        max_iter: Most steps of a fit.
        tol: A fit ends when a step gains less than this many nats per frame.
        n_init: Fits from different starts, of which the best is kept.
        random_state: Seed of the starts.

    Attributes:
        chain_: Start, transitions and ends.
        emission_: The emission with its parameters.

    Complexity: A step of the fit is O(frames (states^2 + states features)) time and O(states features) memory beside blocks of frames.

    Relations:
        * the log-likelihood equals the sum over all paths; posteriors and best path likewise.
        * history_ never falls.
        * one state: the log-likelihood is that of independent frames.
        * as_network() has the same log-likelihood.
        * a frame of nothing but NaN: the same as summing it out.

    References: Baum et al. 1970; Rabiner 1989.

    Examples:
        >>> x = np.repeat([0.0, 5.0, 0.0], 20)[:, None] + np.random.default_rng(0).normal(size=(60, 1))
        >>> model = HiddenMarkovModel(2, random_state=0).fit(x)
        >>> [len(set(model.predict(x)[0][i : i + 20].tolist())) for i in (0, 20, 40)]
        [1, 1, 1]
    """

    chain_: Chain
    emission_: Emission

    def __init__(
        self,
        n_states: int = 2,
        *,
        emission: Emission | None = None,
        topology: Topology | None = None,
        prior: float = 0.0,
        max_iter: int = 100,
        tol: float = 1e-6,
        n_init: int = 1,
        random_state: RandomState = None,
    ) -> None:
        self.n_states = n_states
        self.emission = emission
        self.topology = topology
        self.prior = prior
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.random_state = random_state

    @classmethod
    def of(
        cls,
        start: Float[np.ndarray, " k"],
        transitions: Float[np.ndarray, "k k"],
        emission: Emission,
        *,
        end: Float[np.ndarray, " k"] | None = None,
    ) -> HiddenMarkovModel:
        """A model of known parameters.

        Args:
            start: Probability of each first state.
            transitions: Row i: probabilities of what follows state i.
            emission: With its parameters.
            end: 1 where a sequence may end, 0 where not; anywhere unless given.
        """
        chain = Chain.of(start, transitions, end)
        if emission.n_states != len(chain.start):
            raise ModalityError(
                f"The chain has {len(chain.start)} states, the emission parameters for {emission.n_states}."
            )
        model = cls(len(chain.start), emission=emission, topology=Fixed(chain))
        model.chain_, model.emission_, model.history_, model.converged_ = chain, emission, [], True
        return model

    def fit(self, sequences: Any, y: Any = None) -> HiddenMarkovModel:
        """Baum-Welch.

        Args:
            sequences: See `MarkovModel`.
            y: The state of each frame where known, -1 where not: an array for one sequence, a list or a `Ragged` for several.
                Known states are clamped; where all are known, one step gives the maximum.
        """
        self._check_parameters()
        emission = self.emission if self.emission is not None else Gaussian()
        data = checked(sequences, emission)
        if not data.total:
            raise ModalityError("HiddenMarkovModel needs at least one frame to learn from, got none.")
        states = None if y is None else self._states(y, data)
        rng = generator(self.random_state)
        best: tuple[tuple[Chain, Emission], list[float], bool] | None = None
        for trial in range(self.n_init):
            started = self._start(data, states, rng, jitter=trial > 0)
            found = climb(
                started,
                lambda model: self._step(model, data, states),
                frames=data.total,
                max_iter=self.max_iter,
                tol=self.tol,
            )
            if best is None or found[1][-1] > best[1][-1]:
                best = found
        assert best is not None
        (self.chain_, self.emission_), self.history_, self.converged_ = best
        return self

    def _check_parameters(self) -> None:
        for name, least in (("n_states", 1), ("max_iter", 1), ("n_init", 1), ("prior", 0), ("tol", 0)):
            if not getattr(self, name) >= least:
                raise ModalityError(f"HiddenMarkovModel needs {name} >= {least}, got {getattr(self, name)}.")

    def _states(self, y: Any, data: Sequences) -> Int[np.ndarray, " n"]:
        given = sequences(y)
        states = np.asarray(given.frames)
        if (
            not np.array_equal(given.offsets, data.offsets)
            or states.dtype.kind not in "iub"
            or states.ndim != 1
        ):
            raise ModalityError(
                f"y needs one whole number per frame, in sequences of lengths {np.diff(data.offsets)[:5].tolist()}; got {states.dtype} "
                f"of lengths {np.diff(given.offsets)[:5].tolist()}."
            )
        if len(states) and (states.min() < -1 or states.max() >= self.n_states):
            raise ModalityError(
                f"y needs states from 0 to {self.n_states - 1} (-1: unknown), got {states.min()} to {states.max()}."
            )
        return states.astype(np.int64)

    def _start(
        self, data: Sequences, states: np.ndarray | None, rng: np.random.Generator, *, jitter: bool
    ) -> tuple[Chain, Emission]:
        topology = self.topology if self.topology is not None else Ergodic()
        chain = topology.chain(self.n_states)
        emission = self.emission if self.emission is not None else Gaussian()
        if emission.n_states is not None:
            if emission.n_states != self.n_states:
                raise ModalityError(
                    f"The model has {self.n_states} states, its emission parameters for {emission.n_states}."
                )
            return chain, emission
        labels = topology.labels(data.offsets, self.n_states, rng if jitter else None)
        if labels is None:
            labels = first_labels(emission, data.frames, self.n_states, rng)
        if states is not None:
            labels = states if labels is None else np.where(states >= 0, states, labels)
        return chain, emission.started(data.frames, labels, self.n_states, rng)

    def _step(
        self, model: tuple[Chain, Emission], data: Sequences, states: np.ndarray | None
    ) -> tuple[float, tuple[Chain, Emission]]:
        chain, emission = model
        found = expected(chain, emission, data, states)
        objective = found.log_likelihood + emission.log_prior()
        objective += dirichlet(chain.start, self.prior) + dirichlet(chain.transitions, self.prior)
        fresh = Chain(
            normalised(found.start + self.prior, chain.start),
            normalised(found.transitions + self.prior, chain.transitions),
            chain.end,
        )
        return objective, (fresh, emission.maximised(found.emission))

    def _chain(self) -> Chain:
        return self.chain_

    def _emission(self) -> Emission:
        return self.emission_

    def as_network(self) -> DynamicBayesianNetwork:
        """The same model as a network of two slices: one hidden node, one observation (`"frames"`)."""
        from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork, Node, Observation

        self._check_fitted()
        chain = self.chain_
        node = Node("state", self.n_states, chain.transitions, previous=("state",), initial=chain.start)
        return DynamicBayesianNetwork(
            [node], [Observation("frames", ("state",), self.emission_)], end=chain.end
        )


@dataclass(frozen=True, eq=False)
class Fixed:
    """A topology given by its probabilities."""

    given: Chain

    def chain(self, n_states: int) -> Chain:
        """See `Topology`."""
        if n_states != len(self.given.start):
            raise ModalityError(
                f"The chain has {len(self.given.start)} states, the model was made for {n_states}."
            )
        return self.given

    def labels(self, offsets: np.ndarray, n_states: int, rng: np.random.Generator | None) -> None:
        """Not asked: the emission has parameters."""

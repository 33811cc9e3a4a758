"""Coupled hidden Markov models: one chain per stream, each depending on the last states of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.alignment._joint_emission import JointEmission
from polymodal.alignment._markov_chain import Chain, climb, expected
from polymodal.alignment._markov_model import MarkovModel, checked
from polymodal.alignment._markov_sequences import Sequences
from polymodal.alignment.emissions import Emission, dirichlet, first_labels, normalised
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Int

if TYPE_CHECKING:
    from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork

MOST_STATES = 2048  # joint
Tables = dict[str, np.ndarray]


class CoupledHMM(MarkovModel):
    r"""One hidden chain per stream: $p(s_t^m \mid s_{t-1}^1, \dots, s_{t-1}^M)$, and each stream emitted by its own chain.

    Exact, through the joint state of all chains. Data come as {stream: sequences}; a stream may be missing frame by frame (NaN, -1),
    and when the model is used also as a whole. `posteriors`, `viterbi` and `align` speak of joint states, the last stream (by
    name) running fastest; `by_chain` and `chain_posteriors` take them apart.

    Args:
        emissions: Name of a stream -> its emission.
        n_states: States of every chain, or {stream: states}.
        prior: Times that every start and transition is taken to have been seen before, >= 0.
        max_iter: Most steps of a fit.
        tol: A fit ends when a step gains less than this many nats per frame.
        random_state: Seed of the start.

    Attributes:
        starts_: Stream -> probability of its first state.
        tables_: Stream -> p(state | last states of all chains), (states of each chain in order of names, own states).
        emissions_: Stream -> emission with its parameters.

    Complexity: A step of the fit is O(frames J^2), J the product of all chains' states.

    Relations:
        * tables that look at the own chain alone: the sum of the log-likelihoods of separate hidden Markov models.
        * one stream: a `HiddenMarkovModel`.
        * as_network() has the same log-likelihood.

    References: Brand, Oliver & Pentland 1997.
    """

    starts_: Tables
    tables_: Tables
    emissions_: dict[str, Emission]

    def __init__(
        self,
        emissions: Mapping[str, Emission],
        *,
        n_states: int | Mapping[str, int] = 2,
        prior: float = 0.0,
        max_iter: int = 100,
        tol: float = 1e-6,
        random_state: RandomState = None,
    ) -> None:
        self.emissions = emissions
        self.n_states = n_states
        self.prior = prior
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @classmethod
    def of(
        cls,
        starts: Mapping[str, Float[np.ndarray, " k"]],
        tables: Mapping[str, Float[np.ndarray, "..."]],
        emissions: Mapping[str, Emission],
    ) -> CoupledHMM:
        """A model of known parameters; see the attributes for their shapes."""
        names = sorted(emissions)
        if sorted(starts) != names or sorted(tables) != names:
            raise ModalityError(
                f"Starts, tables and emissions must be of the same streams; got {sorted(starts)}, {sorted(tables)}, {names}."
            )
        model = cls(emissions, n_states={n: len(starts[n]) for n in names})
        sizes = tuple(len(starts[n]) for n in names)
        for n in names:
            wanted = (*sizes, len(starts[n]))
            if np.shape(tables[n]) != wanted or not np.allclose(np.sum(tables[n], axis=-1), 1):
                raise ModalityError(
                    f"The table of stream {n!r} must have shape {wanted} and sum to 1 over its last axis, got {np.shape(tables[n])}."
                )
        model.starts_ = {n: np.asarray(starts[n], dtype=float) for n in names}
        model.tables_ = {n: np.asarray(tables[n], dtype=float) for n in names}
        model.emissions_ = {n: emissions[n] for n in names}
        model.history_, model.converged_ = [], True
        return model

    @property
    def _sizes(self) -> tuple[int, ...]:
        names = sorted(self.emissions)
        counts = self.n_states
        sizes = tuple(counts if isinstance(counts, int) else counts.get(n, 0) for n in names)
        if not names or min(sizes) < 1:
            raise ModalityError(
                f"CoupledHMM needs a stream and n_states >= 1 for each of {names}, got {self.n_states}."
            )
        if np.prod(sizes) > MOST_STATES:
            raise ModalityError(
                f"CoupledHMM is exact in {int(np.prod(sizes))} joint states; up to {MOST_STATES} fit. Use fewer states or streams."
            )
        return sizes

    @property
    def joint_states(self) -> Int[np.ndarray, "j chains"]:
        """The state of every chain, in order of names, in every joint state."""
        sizes = self._sizes
        return np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)

    def fit(self, sequences: Any, y: Any = None) -> CoupledHMM:
        """Baum-Welch in the joint state. `y` is not used."""
        names, sizes = sorted(self.emissions), self._sizes
        given = Joint(dict(self.emissions), sizes)
        data = checked(sequences, given.emission)
        if sorted(data.frames) != names or not data.total:
            raise ModalityError(
                f"CoupledHMM needs frames of every stream {names} to learn from, got {data.total} of {sorted(data.frames)}."
            )
        rng = generator(self.random_state)
        begun = dict(self.emissions)
        starts, tables = {}, {}
        for i, (name, k) in enumerate(zip(names, sizes, strict=True)):
            emission, frames = self.emissions[name], data.frames[name]
            if emission.n_states is None:
                begun[name] = emission.started(frames, first_labels(emission, frames, k, rng), k, rng)
            starts[name] = np.full(k, 1 / k)
            own = np.full((k, k), 0.2 / max(k - 1, 1)) if k > 1 else np.ones((1, 1))
            if k > 1:
                np.fill_diagonal(own, 0.8)
            shape = [1] * len(sizes) + [k]
            shape[i] = k
            tables[name] = np.array(np.broadcast_to(own.reshape(shape), (*sizes, k)))
        found, self.history_, self.converged_ = climb(
            (starts, tables, begun),
            lambda state: self._step(state, data),
            frames=data.total,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.starts_, self.tables_, self.emissions_ = found
        return self

    def _step(
        self, state: tuple[Tables, Tables, dict[str, Emission]], data: Sequences
    ) -> tuple[float, tuple[Tables, Tables, dict[str, Emission]]]:
        starts, tables, emissions = state
        sizes, names = self._sizes, sorted(tables)
        joint = Joint(emissions, sizes)
        found = expected(joint.chain(starts, tables), joint.emission, data)
        objective = found.log_likelihood + joint.emission.log_prior()
        objective += sum(dirichlet(p, self.prior) for p in (*starts.values(), *tables.values()))
        first = found.start.reshape(sizes)
        pairs = found.transitions.reshape(*sizes, *sizes)
        n = len(sizes)
        new_starts, new_tables = {}, {}
        for i, name in enumerate(names):
            others = tuple(a for a in range(n) if a != i)
            new_starts[name] = normalised(first.sum(axis=others) + self.prior, starts[name])
            counts = pairs.sum(axis=tuple(n + a for a in others))
            new_tables[name] = normalised(counts + self.prior, tables[name])
        fresh = joint.emission.maximised(found.emission)
        return objective, (new_starts, new_tables, dict(fresh.parts))

    def _chain(self) -> Chain:
        return Joint(self.emissions_, self._sizes).chain(self.starts_, self.tables_)

    def _emission(self) -> JointEmission:
        return Joint(self.emissions_, self._sizes).emission

    def by_chain(self, joint: Ragged) -> dict[str, Ragged]:
        """Joint states (of `predict`, or of `viterbi(...).states`) as the states of each chain."""
        states = self.joint_states[joint.values]
        return {
            n: Ragged(states[:, i], joint.offsets, joint.rate) for i, n in enumerate(sorted(self.emissions))
        }

    def chain_posteriors(self, sequences: Any) -> dict[str, Ragged]:
        """For each chain, the probability of its states at each frame."""
        joint = self.posteriors(sequences)
        found = {}
        for i, name in enumerate(sorted(self.emissions)):
            share = np.eye(self._sizes[i])[self.joint_states[:, i]]
            found[name] = Ragged(joint.values @ share, joint.offsets, joint.rate)
        return found

    def as_network(self) -> DynamicBayesianNetwork:
        """The same model as a network of two slices; the chain of stream "x" is node "x state"."""
        from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork, Node, Observation

        self._check_fitted()
        names = sorted(self.emissions_)
        before = tuple(f"{n} state" for n in names)
        return DynamicBayesianNetwork(
            [
                Node(f"{n} state", k, self.tables_[n], previous=before, initial=self.starts_[n])
                for n, k in zip(names, self._sizes, strict=True)
            ],
            [Observation(n, (f"{n} state",), self.emissions_[n]) for n in names],
        )


class Joint:
    """The chain and the emission of the joint states of several chains."""

    def __init__(self, emissions: Mapping[str, Emission], sizes: tuple[int, ...]) -> None:
        names = sorted(emissions)
        self.sizes = sizes
        states = np.unravel_index(np.arange(int(np.prod(sizes))), sizes)
        self.emission = JointEmission(emissions, {n: states[i] for i, n in enumerate(names)}, len(names) == 1)

    def chain(self, starts: Tables, tables: Tables) -> Chain:
        """Products of every chain's probabilities."""
        joint, n = int(np.prod(self.sizes)), len(self.sizes)
        start, a = np.ones(self.sizes), np.ones((joint, *self.sizes))
        for i, name in enumerate(sorted(starts)):
            shape = [1] * n
            shape[i] = self.sizes[i]
            start = start * starts[name].reshape(shape)
            a *= tables[name].reshape(joint, *shape)
        return Chain.of(start.ravel(), a.reshape(joint, joint))

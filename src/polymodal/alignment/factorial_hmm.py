"""Factorial hidden Markov models: independent chains whose effects add up in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from polymodal.alignment import _factorial_variational as variational
from polymodal.alignment._factorial_emission import Effects, SummedMeans
from polymodal.alignment._markov_chain import Chain, climb, expected
from polymodal.alignment._markov_model import MarkovModel, checked
from polymodal.alignment._markov_sequences import Sequences
from polymodal.alignment.emissions import normalised
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float

if TYPE_CHECKING:
    from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork

EXACT = 256  # joint states up to which "auto" is exact
MOST_STATES = 4096


@dataclass(frozen=True, eq=False)
class ChainPaths:
    """States of every chain.

    Attributes:
        states: For each chain, of each frame of each sequence.
        log_probability: Of each sequence, together with its frames.
    """

    states: tuple[Ragged, ...]
    log_probability: Float[np.ndarray, " m"]


class FactorialHMM(MarkovModel):
    r"""Chains $s^1, \dots, s^M$ that move independently and emit together: $x_t \sim N(\sum_m W^m_{s_t^m}, C)$.

    Exact inference goes through the joint state of all chains; structured variational inference keeps one chain per factor and lets
    the others enter by their expectation, which needs the sum of the states instead of their product.
    `posteriors`, `viterbi`, `predict` and `align` speak of joint states (the last chain running fastest); `chain_posteriors` and
    `chain_paths` of every chain, and work for both ways of inference.

    Args:
        n_states: States of each chain, one number per chain.
        inference: "exact", "variational", or "auto": exact up to 256 joint states.
        covariance: Shape of C: "full" or "diag".
        floor: Least variance as a share of each feature's overall variance, in (0, 1].
        max_iter: Most steps of a fit.
        tol: A fit ends when a step gains less than this many nats per frame.
        n_init: Fits from different starts, of which the best is kept.
        random_state: Seed of the starts.

    Attributes:
        chains_: `Chain` of every chain.
        emission_: Effects W of every chain, and C.

    Complexity: A step of the fit is O(frames J^2) exactly, J the product of `n_states`; else
        O(sweeps frames (sum of n_states^2 + d sum of n_states)).

    Relations:
        * bound <= log-likelihood; equal for one chain.
        * one chain: a `HiddenMarkovModel` with a tied Gaussian.
        * history_ never falls (log-likelihood if exact, bound if variational).
        * as_network() has the same log-likelihood.

    References: Ghahramani & Jordan 1997.
    """

    chains_: tuple[Chain, ...]
    emission_: SummedMeans

    def __init__(
        self,
        n_states: Sequence[int] = (2, 2),
        *,
        inference: Literal["auto", "exact", "variational"] = "auto",
        covariance: Literal["full", "diag"] = "full",
        floor: float = 1e-3,
        max_iter: int = 100,
        tol: float = 1e-6,
        n_init: int = 1,
        random_state: RandomState = None,
    ) -> None:
        self.n_states = n_states
        self.inference = inference
        self.covariance = covariance
        self.floor = floor
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.random_state = random_state

    @classmethod
    def of(
        cls,
        chains: Sequence[tuple[Float[np.ndarray, " _"], Float[np.ndarray, "_ _"]]],
        effects: Sequence[Float[np.ndarray, "_ d"]],
        covariance: Float[np.ndarray, "d d"],
        *,
        inference: Literal["auto", "exact", "variational"] = "auto",
    ) -> FactorialHMM:
        """A model of known parameters.

        Args:
            chains: Start and transitions of every chain.
            effects: W of every chain: what each of its states adds to the mean.
            covariance: C.
            inference: See the class.
        """
        made = tuple(Chain.of(start, transitions) for start, transitions in chains)
        sizes, d = [len(c.start) for c in made], len(covariance)
        if [np.shape(w) for w in effects] != [(k, d) for k in sizes] or np.shape(covariance) != (d, d):
            raise ModalityError(
                f"Chains of {sizes} states and {d} features need effects of shapes {[(k, d) for k in sizes]}, "
                f"got {[np.shape(w) for w in effects]}."
            )
        model = cls(sizes, inference=inference)
        model.chains_ = made
        model.emission_ = SummedMeans(
            tuple(np.asarray(w, dtype=float) for w in effects), np.asarray(covariance, dtype=float)
        )
        model.history_, model.converged_ = [], True
        return model

    @property
    def _exact(self) -> bool:
        joint = int(np.prod(self.n_states))
        if self.inference == "exact" and joint > MOST_STATES:
            raise ModalityError(
                f"FactorialHMM of {list(self.n_states)} has {joint} joint states, exact inference takes up to {MOST_STATES}. "
                "Use inference='variational'."
            )
        return self.inference == "exact" or (self.inference == "auto" and joint <= EXACT)

    def _check_parameters(self) -> None:
        if not len(self.n_states) or min(self.n_states) < 1 or self.max_iter < 1 or self.n_init < 1:
            raise ModalityError(
                f"FactorialHMM needs n_states >= 1 for at least one chain, max_iter >= 1 and n_init >= 1; got {list(self.n_states)}, "
                f"{self.max_iter}, {self.n_init}."
            )
        if self.inference not in ("auto", "exact", "variational") or self.covariance not in ("full", "diag"):
            raise ModalityError(
                "FactorialHMM needs inference 'auto', 'exact' or 'variational' and covariance 'full' or 'diag', got "
                f"{self.inference!r}, {self.covariance!r}."
            )

    def fit(self, sequences: Any, y: Any = None) -> FactorialHMM:
        """Expectation-maximisation, exact or variational. `y` is not used."""
        self._check_parameters()
        rng, best = generator(self.random_state), None
        blank = SummedMeans.blank(self.n_states, self.covariance, self.floor)
        data = checked(sequences, blank)
        if not data.total:
            raise ModalityError("FactorialHMM needs at least one frame to learn from, got none.")
        for _ in range(self.n_init):
            emission = blank.started(data.frames, None, blank.n_states, rng)
            chains = tuple(_first_chain(k) for k in self.n_states)
            found = self._climb(chains, emission, data)
            if best is None or found[2][-1] > best[2][-1]:
                best = found
        assert best is not None
        self.chains_, self.emission_, self.history_, self.converged_ = best
        return self

    def _climb(
        self, chains: tuple[Chain, ...], emission: SummedMeans, data: Sequences
    ) -> tuple[tuple[Chain, ...], SummedMeans, list[float], bool]:
        if self._exact:
            state, history, converged = climb(
                (chains, emission), lambda s: _exact_step(s, data), frames=data.total, max_iter=self.max_iter, tol=self.tol
            )  # fmt: skip
            return *state, history, converged
        beliefs = variational.first_beliefs(chains, data)
        full, history, converged = climb(
            (chains, emission, beliefs),
            lambda s: _variational_step(s, data),
            frames=data.total,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        return full[0], full[1], history, converged

    def _chain(self) -> Chain:
        joint = int(np.prod(self.n_states))
        if joint > MOST_STATES:
            raise ModalityError(
                f"FactorialHMM of {list(self.n_states)} has {joint} joint states, too many to list ({MOST_STATES}). Ask for bound, "
                "chain_posteriors or chain_paths, which take one chain at a time."
            )
        return _product(self.chains_)

    def _emission(self) -> SummedMeans:
        return self.emission_

    def score(self, sequences: Any, y: Any = None) -> float:
        """Log-likelihood of all sequences together, in nats; the bound on it where inference is variational."""
        self._check_fitted()
        return float((self.log_likelihood(sequences) if self._exact else self.bound(sequences)).sum())

    def bound(self, sequences: Any) -> Float[np.ndarray, " m"]:
        """The structured variational lower bound on each sequence's log-likelihood, in nats."""
        data = self._checked(sequences)
        return variational.settle(self.chains_, self.emission_, data).bounds

    def chain_posteriors(self, sequences: Any) -> tuple[Ragged, ...]:
        """For each chain, the probability of its states at each frame (if variational: that of the approximation)."""
        data = self._checked(sequences)
        if not self._exact:
            found = variational.settle(self.chains_, self.emission_, data).posteriors
            return tuple(data.ragged(p) for p in found)
        joint = self.posteriors(data).values.reshape(-1, *self.n_states)
        n = len(self.n_states)
        return tuple(data.ragged(joint.sum(axis=tuple(1 + a for a in range(n) if a != m))) for m in range(n))

    def chain_paths(self, sequences: Any) -> ChainPaths:
        """The most probable states of all chains; if variational, a path that no change of one chain alone improves."""
        data = self._checked(sequences)
        if self._exact:
            best = self.viterbi(data)
            states = np.unravel_index(best.states.values, tuple(self.n_states))
            return ChainPaths(tuple(data.ragged(s) for s in states), best.log_probability)
        paths, scores = variational.best_paths(self.chains_, self.emission_, data)
        return ChainPaths(tuple(data.ragged(s) for s in paths), scores)

    def as_network(self) -> DynamicBayesianNetwork:
        """The same model as a network of two slices: nodes "chain 0", "chain 1", ... and the observation "frames"."""
        from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork, Node, Observation

        self._check_fitted()
        names = tuple(f"chain {m}" for m in range(len(self.chains_)))
        nodes = [
            Node(n, len(c.start), c.transitions, previous=(n,), initial=c.start)
            for n, c in zip(names, self.chains_, strict=True)
        ]
        return DynamicBayesianNetwork(nodes, [Observation("frames", names, self.emission_)])


def _first_chain(k: int) -> Chain:
    a = np.full((k, k), 0.2 / max(k - 1, 1))
    np.fill_diagonal(a, 0.8 if k > 1 else 1.0)
    return Chain.of(np.full(k, 1 / k), a)


def _product(chains: Sequence[Chain]) -> Chain:
    start, a = np.ones(1), np.ones((1, 1))
    for c in chains:
        start, a = np.kron(start, c.start), np.kron(a, c.transitions)
    return Chain.of(start, a)


def _exact_step(
    state: tuple[tuple[Chain, ...], SummedMeans], data: Sequences
) -> tuple[float, tuple[tuple[Chain, ...], SummedMeans]]:
    chains, emission = state
    found = expected(_product(chains), emission, data)
    sizes, n = tuple(len(c.start) for c in chains), len(chains)
    start, pairs = found.start.reshape(sizes), found.transitions.reshape(*sizes, *sizes)
    fresh = []
    for m, c in enumerate(chains):
        others = tuple(a for a in range(n) if a != m)
        counts = pairs.sum(axis=(*others, *(n + a for a in others)))
        fresh.append(
            Chain(normalised(start.sum(axis=others), c.start), normalised(counts, c.transitions), c.end)
        )
    return found.log_likelihood, (tuple(fresh), emission.maximised(found.emission))


def _variational_step(
    state: tuple[tuple[Chain, ...], SummedMeans, Effects], data: Sequences
) -> tuple[float, tuple[tuple[Chain, ...], SummedMeans, Effects]]:
    chains, emission, beliefs = state
    q = variational.settle(chains, emission, data, beliefs)
    fresh = tuple(
        replace(c, start=normalised(s, c.start), transitions=normalised(n, c.transitions))
        for c, s, n in zip(chains, q.starts, q.counts, strict=True)
    )
    return float(q.bounds.sum()), (fresh, emission.maximised_alone(data.frames, q.posteriors), q.posteriors)

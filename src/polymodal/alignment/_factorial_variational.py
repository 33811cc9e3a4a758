"""Structured variational inference of factorial hidden Markov models: one chain at a time, the others by their expectation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polymodal.alignment._factorial_emission import Effects, SummedMeans
from polymodal.alignment._markov_chain import Chain
from polymodal.alignment._markov_sequences import Sequences
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int

SWEEPS = 50
ENOUGH = 1e-8  # nats per frame that a sweep must gain to be followed by another


@dataclass(frozen=True, eq=False)
class Beliefs:
    """The approximation q of all chains.

    Attributes:
        posteriors: Of each chain's states, (frames, states).
        starts: Expected first states of each chain.
        counts: Expected transitions of each chain.
        bounds: Lower bound on each sequence's log-likelihood.
    """

    posteriors: Effects
    starts: Effects
    counts: Effects
    bounds: Float[np.ndarray, " m"]


def first_beliefs(chains: Sequence[Chain], data: Sequences) -> Effects:
    """Nothing known."""
    return tuple(np.full((data.total, len(c.start)), 1 / len(c.start)) for c in chains)


def settle(
    chains: Sequence[Chain], emission: SummedMeans, data: Sequences, beliefs: Effects | None = None
) -> Beliefs:
    r"""Sweeps over the chains until the bound rests.

    Chain m sees, in place of densities,
    $\log h^m_t = W^m C^{-1} (x_t - \sum_{l \ne m} W^{l\top} \langle s^l_t \rangle) - \tfrac12 \Delta^m$ with
    $\Delta^m_k = W^m_k C^{-1} W^{m\top}_k$ (Ghahramani & Jordan 1997, eq. 12); each such step raises the bound.
    """
    x, seen = _frames(data)
    q = [np.array(p) for p in (first_beliefs(chains, data) if beliefs is None else beliefs)]
    effects, precision = emission.effects, emission.precision
    together = np.asarray(sum(p @ w for p, w in zip(q, effects, strict=True)))
    starts, counts = [c.start for c in chains], [c.transitions for c in chains]
    divergences = np.zeros((len(chains), len(data)))  # of each chain's q from its prior
    last = -np.inf
    firsts = data.offsets[:-1][np.diff(data.offsets) > 0]
    bounds = np.zeros(len(data))
    for _ in range(SWEEPS):
        for m, (chain, w) in enumerate(zip(chains, effects, strict=True)):
            log_h = _field(x - (together - q[m] @ w), w, precision, seen)
            posterior, pairs, log_z = chain.expectations(log_h, data.offsets)
            together += (posterior - q[m]) @ w
            q[m], counts[m], starts[m] = posterior, pairs, posterior[firsts].sum(0)
            divergences[m] = _by_sequence((posterior * log_h).sum(1), data) - log_z
        bounds = _by_sequence(_expected_density(x, together, q, emission, seen), data) - divergences.sum(0)
        if bounds.sum() - last < ENOUGH * max(data.total, 1):
            break
        last = float(bounds.sum())
    return Beliefs(tuple(q), tuple(starts), tuple(counts), bounds)


def _frames(data: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Frames with missing ones as zeros, and which are there."""
    gone = np.isnan(data.frames)
    seen = ~gone.any(1)
    if (gone.any(1) & ~gone.all(1)).any():
        raise ModalityError(
            "Variational inference takes frames that are there or wholly missing (NaN); some are missing in part. Use inference='exact'."
        )
    return np.where(gone, 0.0, data.frames), seen


def _field(
    residual: np.ndarray, w: np.ndarray, precision: np.ndarray, seen: np.ndarray
) -> Float[np.ndarray, "n k"]:
    """Log h of one chain; 0 for a missing frame."""
    log_h = residual @ (precision @ w.T) - 0.5 * ((w @ precision) * w).sum(1)
    return np.ascontiguousarray(np.where(seen[:, None], log_h, 0.0))


def _expected_density(
    x: np.ndarray, together: np.ndarray, q: Sequence[np.ndarray], emission: SummedMeans, seen: np.ndarray
) -> Float[np.ndarray, " n"]:
    """E_q log p(x_t | s_t): the density at the expected mean, less what the states' variance costs."""
    precision = emission.precision
    away = x - together
    total = ((away @ precision) * away).sum(1)
    for p, w in zip(q, emission.effects, strict=True):
        expected = p @ w
        total += p @ ((w @ precision) * w).sum(1) - ((expected @ precision) * expected).sum(1)
    constant = x.shape[1] * np.log(2 * np.pi) + np.linalg.slogdet(emission.covariance)[1]
    return np.asarray(np.where(seen, -0.5 * (total + constant), 0.0))


def _by_sequence(values: np.ndarray, data: Sequences) -> Float[np.ndarray, " m"]:
    """Sums over the frames of each sequence."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(np.diff(sums[data.offsets]))


def best_paths(
    chains: Sequence[Chain], emission: SummedMeans, data: Sequences
) -> tuple[tuple[Int[np.ndarray, " n"], ...], Float[np.ndarray, " m"]]:
    """Viterbi in one chain at a time, the others held, from the chains' own best states until no path changes."""
    x, seen = _frames(data)
    states = [p.argmax(1) for p in settle(chains, emission, data).posteriors]
    effects, precision = emission.effects, emission.precision
    for _ in range(SWEEPS):
        changed = False
        for m, (chain, w) in enumerate(zip(chains, effects, strict=True)):
            others = sum((effects[n][s] for n, s in enumerate(states) if n != m), start=np.zeros_like(x))
            fresh, _ = chain.best_paths(_field(x - others, w, precision, seen), data.offsets)
            changed |= bool((fresh != states[m]).any())
            states[m] = fresh
        if not changed:
            break
    chosen = [np.eye(len(c.start))[s] for c, s in zip(chains, states, strict=True)]
    together = np.asarray(sum(w[s] for w, s in zip(effects, states, strict=True)))
    scores = _by_sequence(_expected_density(x, together, chosen, emission, seen), data)
    for chain, s in zip(chains, states, strict=True):
        scores += _path_probability(chain, s, data)
    return tuple(states), scores


def _path_probability(chain: Chain, states: np.ndarray, data: Sequences) -> Float[np.ndarray, " m"]:
    log_start, log_a, _ = chain.logarithms
    steps = np.concatenate([[0.0], log_a[states[:-1], states[1:]]]) if len(states) else np.zeros(0)
    firsts = data.offsets[:-1][np.diff(data.offsets) > 0]
    steps[firsts] = log_start[states[firsts]]
    return _by_sequence(steps, data)

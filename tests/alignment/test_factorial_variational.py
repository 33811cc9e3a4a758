"""The bound is the bound: it equals E_q[log p - log q] written out over all joint paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.alignment import _factorial_variational as variational
from polymodal.alignment._factorial_emission import SummedMeans
from polymodal.alignment._markov_chain import Chain
from polymodal.alignment._markov_sequences import sequences
from polymodal.core.errors import ModalityError


@pytest.fixture
def parts(rng):
    chains = tuple(Chain.of(rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(2), size=2)) for _ in range(2))
    return chains, SummedMeans((rng.normal(size=(2, 1)), rng.normal(size=(2, 1))), np.array([[0.5]]))


def test_bound_written_out(rng, parts):
    chains, emission = parts
    x = rng.normal(size=(3, 1))
    data = sequences(x)
    found = variational.settle(chains, emission, data)
    # q of each chain is a chain: rebuild it from the fields at the fixed point
    w, inverse = emission.effects, emission.precision
    total = 0.0
    weights = []
    for m in range(2):
        others = found.posteriors[1 - m] @ w[1 - m]
        field = (x - others) @ (inverse @ w[m].T) - 0.5 * ((w[m] @ inverse) * w[m]).sum(1)
        q = {}
        for path in itertools.product(range(2), repeat=3):
            p = chains[m].start[path[0]] * np.prod(
                [chains[m].transitions[i, j] for i, j in itertools.pairwise(path)]
            )
            q[path] = p * np.exp(sum(field[t, s] for t, s in enumerate(path)))
        z = sum(q.values())
        weights.append({k: v / z for k, v in q.items()})
    log_b = emission.log_likelihood(x)
    for one, two in itertools.product(*weights):
        q = weights[0][one] * weights[1][two]
        log_p = sum(log_b[t, 2 * i + j] for t, (i, j) in enumerate(zip(one, two, strict=True)))
        for chain, path in zip(chains, (one, two), strict=True):
            log_p += np.log(chain.start[path[0]]) + sum(
                np.log(chain.transitions[i, j]) for i, j in itertools.pairwise(path)
            )
        total += q * (log_p - np.log(q))
    assert found.bounds[0] == pytest.approx(total, abs=1e-6)


def test_a_missing_frame_has_no_say_and_a_partly_missing_one_is_refused(rng, parts):
    chains, emission = parts
    x = rng.normal(size=(4, 1))
    x[2] = np.nan
    found = variational.settle(
        chains[:1], SummedMeans(emission.effects[:1], emission.covariance), sequences(x)
    )
    log_b = SummedMeans(emission.effects[:1], emission.covariance).log_likelihood(x)
    assert found.bounds[0] == pytest.approx(chains[0].log_likelihoods(log_b, np.array([0, 4]))[0])
    wide = SummedMeans((np.zeros((2, 2)),), np.eye(2))
    with pytest.raises(ModalityError, match="missing in part"):
        variational.settle(chains[:1], wide, sequences(np.array([[0.0, np.nan]])))


def test_more_sweeps_never_lower_the_bound(rng, parts, monkeypatch):
    chains, emission = parts
    data = sequences(rng.normal(size=(30, 1)))
    bounds = []
    for sweeps in (1, 2, 4, 8):
        monkeypatch.setattr(variational, "SWEEPS", sweeps)
        bounds.append(variational.settle(chains, emission, data).bounds[0])
    assert np.diff(bounds).min() >= -1e-9

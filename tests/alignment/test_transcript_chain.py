"""The sparse chain of a transcript against the dense one."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import _transcript_chain as chains
from polymodal.alignment._markov_chain import Chain


def dense(chain):
    n = len(chain.emits)
    a = np.zeros((n, n))
    for p in range(n):
        for q in range(chain.heads[p], chain.heads[p + 1]):
            a[chain.sources[q], p] += np.exp(chain.weights[q])
    return a


@pytest.mark.parametrize("silence", [None, 4])
def test_equal_to_the_dense_chain(rng, silence):
    stay = rng.uniform(0.3, 0.8, 5)
    chain = chains.compose([0, 1, 0], 2, stay, silence, 0.3)
    log_b = rng.normal(size=(11, 5)) * 3
    a, start, end = dense(chain), np.exp(chain.first), np.exp(chain.last)
    full = Chain(start, a, end)
    wide = np.ascontiguousarray(log_b[:, chain.emits])
    offsets = np.array([0, 11])
    posteriors, _, total = full.expectations(wide, offsets)
    tally = chains.Tally(np.zeros(5), np.zeros(5), np.zeros(2))
    weights = np.zeros((11, 5))
    assert chains.collect(chain, log_b, weights, tally) == pytest.approx(total[0])
    np.testing.assert_allclose(chains.posteriors(chain, log_b), posteriors, atol=1e-10)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert tally.stayed.sum() + tally.left.sum() == pytest.approx(10)
    path, score = chains.best_path(chain, log_b)
    states, scores = full.best_paths(wide, offsets)
    np.testing.assert_array_equal(path, states)
    assert score == pytest.approx(scores[0])
    if silence is not None:
        assert tally.pauses.sum() == pytest.approx(4)  # before, twice between, behind


def test_places_follow_the_transcript():
    chain = chains.compose([3, 1], 2, np.full(10, 0.5), 9, 0.5)
    assert chain.emits.tolist() == [9, 6, 7, 9, 2, 3, 9]
    assert chain.unit.tolist() == [-1, 0, 0, -1, 1, 1, -1]
    assert np.isfinite(chain.first).tolist() == [True, True] + [False] * 5
    assert np.isfinite(chain.last).tolist() == [False] * 5 + [True, True]
    np.testing.assert_allclose(dense(chain)[:-1].sum(1)[[0, 1, 2, 3, 4]], 1)

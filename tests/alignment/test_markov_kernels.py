"""The compiled recursions against every path written out, and where plain numbers would under- or overflow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.alignment._markov_chain import Chain
from polymodal.alignment.emissions import Gaussian
from polymodal.alignment.hidden_markov import HiddenMarkovModel

ONE = np.array([0, 5])


@pytest.mark.parametrize("forbidden", [0.0, 0.5])
@pytest.mark.parametrize("scale", [1.0, 60.0, 250.0])
def test_equal_to_every_path(rng, every_state_path, forbidden, scale):
    for _ in range(10):
        a = rng.dirichlet(np.ones(3), size=3) * (rng.random((3, 3)) >= forbidden) + np.eye(3) * 0.01
        a /= a.sum(1, keepdims=True)
        start, end, log_b = (
            rng.dirichlet(np.ones(3)),
            np.array([1.0, 0.0, 1.0]),
            rng.normal(size=(5, 3)) * scale,
        )
        chain = Chain.of(start, a, end)
        total, posteriors, pairs, best, score = every_state_path(start, a, log_b, end)
        found, counts, each = chain.expectations(log_b, ONE)
        np.testing.assert_allclose(chain.log_likelihoods(log_b, ONE), total, rtol=1e-12)
        np.testing.assert_allclose(each, total, rtol=1e-12)
        np.testing.assert_allclose(found, posteriors, atol=1e-10)
        np.testing.assert_allclose(counts, pairs, atol=1e-10)
        states, scores = chain.best_paths(log_b, ONE)
        assert tuple(states) == best
        np.testing.assert_allclose(scores, score, rtol=1e-12)


def test_states_thousands_of_nats_apart(rng):
    """The only allowed path is the unlikely one at every frame but the last."""
    k, n = 4, 12
    a = np.triu(np.tril(np.ones((k, k)), 1))
    a /= a.sum(1, keepdims=True)
    log_b = np.full((n, k), -3000.0)
    log_b[:, 0] = 0.0  # the first state looks far best, but the sequence must end in the last
    chain = Chain.of(np.eye(k)[0], a, np.eye(k)[-1])
    posteriors, counts, total = chain.expectations(log_b, np.array([0, n]))
    path = [0] * (n - 3) + [1, 2, 3]
    truth = sum(np.log(a[i, j]) for i, j in itertools.pairwise(path)) - 9000.0
    assert total[0] == pytest.approx(truth, rel=1e-12)
    np.testing.assert_array_equal(posteriors.argmax(1), path)
    np.testing.assert_allclose(posteriors.sum(1), 1)
    assert counts.sum() == pytest.approx(n - 1)


def test_a_hundred_thousand_frames(rng):
    a = np.array([[0.9, 0.1], [0.2, 0.8]])
    model = HiddenMarkovModel.of(
        np.array([0.5, 0.5]), a, Gaussian(means=np.array([[0.0], [3.0]]), covariances=np.ones((2, 1)))
    )
    x = np.tile(np.array([[0.0], [3.0], [300.0]]), (33_334, 1))[:100_000]
    whole = model.log_likelihood(x)[0]
    assert np.isfinite(whole)
    one = model.log_likelihood(x[:3])[0]
    assert whole == pytest.approx(one * 33_333, rel=1e-2)
    posteriors = model.posteriors(x).values
    np.testing.assert_allclose(posteriors.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(posteriors[49_998], posteriors[3_000], rtol=1e-9)  # periodic far from the ends


def test_an_impossible_sequence_is_minus_infinity(rng):
    chain = Chain.of(np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0.0, 1.0]))
    offsets = np.array([0, 1, 3, 3])
    found, counts, total = chain.expectations(np.zeros((3, 2)), offsets)
    assert np.isneginf(total[0])
    assert total[1] == pytest.approx(np.log(0.5))
    assert total[2] == 0
    assert (found[0] == 0).all()
    assert counts.sum() == pytest.approx(1)
    np.testing.assert_array_equal(chain.log_likelihoods(np.zeros((3, 2)), offsets), total)
    np.testing.assert_array_equal(chain.best_paths(np.zeros((3, 2)), offsets)[1], total)

"""Chains are checked; a climb stops when it rests."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment._markov_chain import Chain, clamp, climb, refuse_impossible
from polymodal.core.errors import ModalityError


def test_rows_must_sum_to_one():
    with pytest.raises(ModalityError, match="sum to 1"):
        Chain.of(np.array([1.0, 0.0]), np.array([[0.5, 0.4], [0.0, 1.0]]))
    with pytest.raises(ModalityError, match=r"transitions \(k, k\)"):
        Chain.of(np.array([1.0, 0.0]), np.eye(3))


def test_samples_follow_the_transitions(rng):
    a = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    states = Chain.of(np.array([0.0, 0.0, 1.0]), a).sample(20_000, rng)
    assert states[0] == 2
    counts = np.zeros((3, 3))
    np.add.at(counts, (states[:-1], states[1:]), 1)
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), a, atol=0.02)
    assert counts[0, 2] == counts[1, 0] == 0


def test_known_states_forbid_the_others():
    log_b = np.zeros((2, 3))
    clamp(log_b, np.array([-1, 1]))
    assert log_b.tolist() == [[0, 0, 0], [-np.inf, 0, -np.inf]]


def test_a_climb_stops_when_a_frame_gains_too_little():
    _state, history, converged = climb(1.0, lambda x: (-x, x / 2), frames=10, max_iter=50, tol=0.01)
    assert converged
    assert history[-1] - history[-2] < 0.1 <= history[-2] - history[-3]
    assert climb(1.0, lambda x: (-x, x / 2), frames=1, max_iter=3, tol=0)[2] is False


def test_impossible_sequences_are_named():
    with pytest.raises(ModalityError, match="Sequence 7 has probability zero"):
        refuse_impossible(np.array([0.0, -np.inf]), 6)

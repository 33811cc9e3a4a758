"""The answer and what can be done with it."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Aligner, Alignment, align
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError


def test_warp_brings_b_onto_the_time_of_a():
    found = align([0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0])
    assert found.warp(np.array([1.0, 3.0, 5.0, 7.0])).tolist() == [2.0, 5.0, 7.0]
    assert found.inverse().warp(np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 1.0, 2.0, 3.0]
    assert found.warp(np.ones((4, 2, 3))).shape == (3, 2, 3)
    same = align(np.arange(5.0), np.arange(5.0))
    np.testing.assert_array_equal(same.warp(np.arange(5.0) ** 2), np.arange(5.0) ** 2)
    with pytest.raises(ModalityError, match="one value per frame of b, 4, got 3"):
        found.warp(np.ones(3))


def test_a_frame_without_a_match_takes_the_last_one():
    part = align(np.arange(2.0, 5.0), np.arange(8.0), DTW(open_begin=True, open_end=True)).inverse()
    assert part.warp(np.array([20.0, 30.0, 40.0])).tolist() == [
        20.0,
        20.0,
        20.0,
        30.0,
        40.0,
        40.0,
        40.0,
        40.0,
    ]


def test_times_are_seconds_where_there_are_rates():
    a, b = Ragged.of([[0.0, 1.0, 2.0]], rate=10.0), Ragged.of([[0.0, 1.0, 2.0]], rate=50.0)
    found = align(a, b)
    np.testing.assert_allclose(found.times(), [[0, 0], [0.1, 0.02], [0.2, 0.04]])
    assert (found.inverse().rate_a, found.inverse().rate_b) == (50.0, 10.0)
    assert align([0.0], [0.0]).times().tolist() == [[0.0, 0.0]]


def test_matrix_and_inverse_say_the_same(rng):
    found = align(rng.normal(size=9), rng.normal(size=7))
    assert found.matrix().sum() == len(found)
    np.testing.assert_array_equal(found.inverse().matrix(), found.matrix().T)
    assert "Alignment" in repr(found)
    assert f"{len(found)} pairs of 9 and 7 frames" in repr(found)


def test_any_object_with_the_two_methods_is_a_method():
    class First:
        def align(self, a, b):
            return Alignment(np.array([[0, 0]]), 0.0, 0.0, len(a), len(b), 1.0, 1.0, self)

        def align_costs(self, costs):
            return self.align(*costs.shape)

    assert isinstance(First(), Aligner)
    assert isinstance(DTW(), Aligner)
    assert align([1.0], [2.0], First()).path.tolist() == [[0, 0]]

"""The answer and what can be done with it."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Aligner, Alignment, align
from polymodal.alignment.answer import ALIGNERS, aligner
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
            return Alignment.of_path(np.array([[0, 0]]), (len(a), len(b)), self, cost=0.0)

        def align_costs(self, costs):
            return self.align(costs[:, 0], costs[0])

    assert isinstance(First(), Aligner)
    assert isinstance(DTW(), Aligner)
    assert align([1.0], [2.0], First()).path.tolist() == [[0, 0]]


def test_every_answer_has_a_coupling(rng):
    found = align(rng.normal(size=9), rng.normal(size=7))
    np.testing.assert_array_equal(found.coupling.toarray(), found.matrix())
    np.testing.assert_array_equal(found.inverse().coupling.toarray(), found.matrix().T)


def test_a_soft_answer_has_a_hard_reading():
    weights = np.array([[0.2, 0.8, 0.0], [0.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    found = Alignment.of_coupling(weights, DTW(), cost=3.0)
    assert found.path.tolist() == [[0, 1], [2, 0]]
    assert found.normalised_cost == 1.5
    np.testing.assert_array_equal(found.coupling.toarray(), weights)
    assert (found.length_a, found.length_b) == (3, 3)
    hard = Alignment.of_coupling(np.eye(3), DTW(), cost=3.0)
    same = Alignment.of_path(hard.path, (3, 3), DTW(), cost=3.0)
    np.testing.assert_array_equal(hard.matrix(), same.matrix())
    assert hard.normalised_cost == same.normalised_cost == 1.0
    assert Alignment.of_coupling(np.zeros((2, 2)), DTW(), cost=0.0).path.shape == (0, 2)


def test_methods_by_name():
    assert align([0.0, 1.0], [0.0, 1.0], "dtw").path.tolist() == [[0, 0], [1, 1]]
    for name in ALIGNERS:
        assert isinstance(aligner(name), Aligner)
    with pytest.raises(ModalityError, match="got 'dwt'.*dtw"):
        align([0.0], [0.0], "dwt")
    with pytest.raises(ModalityError, match=r"a method object such as DTW\(\)"):
        align([0.0], [0.0], DTW)


def test_a_matrix_that_no_machine_holds_is_refused():
    path = np.stack([np.arange(3), np.arange(3)], axis=1)
    huge = Alignment.of_path(path, (10**6, 10**6), DTW(), cost=0.0)
    with pytest.raises(ModalityError, match="1000000 x 1000000 elements would take 931 GiB.*Use path"):
        huge.matrix()
    assert huge.coupling.nnz == 3

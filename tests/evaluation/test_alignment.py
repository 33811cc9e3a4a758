"""How near an alignment is to the true one."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.evaluation.alignment import (
    Coverage,
    alignment_error_rate,
    coverage,
    cycle_error,
    match_scores,
    path_error,
)

DIAGONAL = np.repeat(np.arange(10)[:, None], 2, axis=1)


def test_path_error_by_hand():
    path = np.array([[0, 0], [1, 1], [1, 2], [2, 3]])  # frame 1 meets b at 1.5
    error = path_error(path, np.array([[0, 0], [1, 1], [2, 1]]), tolerance=0.5)
    assert (error.mean, error.median, error.worst) == pytest.approx(((0 + 0.5 + 2) / 3, 0.5, 2.0))
    assert error.within == pytest.approx(2 / 3)


def test_path_error_of_itself_and_of_a_shift():
    same = path_error(DIAGONAL, DIAGONAL)
    assert (same.mean, same.median, same.worst, same.within) == (0, 0, 0, 1)
    moved = path_error(DIAGONAL + np.array([0, 3]), DIAGONAL, rate_b=10.0)
    assert (moved.mean, moved.median, moved.worst) == pytest.approx((0.3, 0.3, 0.3))
    gaps = path_error(DIAGONAL[::3], DIAGONAL)  # frames in between lie on the line
    assert gaps.worst == 0.0


def test_match_scores_by_hand():
    path, truth = np.array([[0, 0], [1, 1], [2, 2], [3, 4]]), np.array([[0, 0], [1, 1], [2, 3]])
    exact = match_scores(path, truth)
    assert (exact.precision, exact.recall, exact.f1) == pytest.approx((2 / 4, 2 / 3, 4 / 7))
    near = match_scores(path, truth, tolerance=1)
    assert (near.precision, near.recall) == (1.0, 1.0)
    other = match_scores(truth, path)
    assert (other.precision, other.recall) == (exact.recall, exact.precision)
    assert match_scores(path, truth[:0]).f1 == 0.0
    assert match_scores(path[:0], truth[:0]).f1 == 1.0


def test_alignment_error_rate_by_hand(rng):
    found, sure, possible = np.array([[0, 0], [1, 1], [2, 3]]), np.array([[0, 0], [1, 2]]), np.array([[1, 1]])
    assert alignment_error_rate(found, sure, possible) == pytest.approx(1 - (1 + 2) / (3 + 2))
    a, b = np.unique(rng.integers(0, 6, (12, 2)), axis=0), np.unique(rng.integers(0, 6, (12, 2)), axis=0)
    assert alignment_error_rate(a, b, b) == pytest.approx(1 - match_scores(a, b).f1)
    assert alignment_error_rate(a, a, b) == 0.0
    assert alignment_error_rate(a[:0], a[:0], a[:0]) == 0.0


def test_no_pairs_and_negative_positions_are_refused():
    with pytest.raises(ModalityError, match="truth must hold at least 1"):
        path_error(DIAGONAL, DIAGONAL[:0])
    with pytest.raises(ModalityError, match="path must hold"):
        match_scores(-DIAGONAL, DIAGONAL)


def test_cycle_error_by_hand():
    there, back = np.array([[0, 1], [1, 0], [2, 2]]), np.array([[1, 0], [0, 2], [2, 2]])
    found = cycle_error([there, back], 4)  # 0 -> 1 -> 0, 1 -> 0 -> 2, 2 -> 2 -> 2, 3 nowhere
    assert (found.returned, found.arrived) == (0.5, 0.75)
    assert found.distance == pytest.approx(1 / 3)
    many = cycle_error(
        [np.array([[0, 0], [0, 1]]), np.array([[0, 0], [1, 2]])], 3
    )  # two ways, one of them home
    assert (many.returned, many.arrived, many.distance) == pytest.approx((1 / 3, 1 / 3, 1.0))


def test_cycle_error_of_inverses_and_of_shifts(rng):
    order = rng.permutation(9)
    path = np.stack([np.arange(9), order], axis=1)
    home = cycle_error([path, path[:, ::-1]], 9)
    assert (home.returned, home.arrived, home.distance) == (1.0, 1.0, 0.0)
    shift = np.stack([np.arange(20), np.arange(20) + 2], axis=1)
    around = cycle_error([shift[:10], shift, shift[:14]], 20)
    assert (around.returned, around.arrived, around.distance) == (0.0, 0.5, 6.0)
    nowhere = cycle_error([shift[:0], shift], 22)
    assert (nowhere.returned, nowhere.arrived) == (0.0, 0.0)
    assert np.isnan(nowhere.distance)
    with pytest.raises(ModalityError, match="a set of 5 elements"):
        cycle_error([shift], 5)
    with pytest.raises(ModalityError, match="got 0 paths"):
        cycle_error([], 5)


def test_coverage():
    assert coverage(DIAGONAL, len(DIAGONAL), len(DIAGONAL)) == Coverage(1.0, 1.0)
    assert coverage(np.array([[0, 1], [0, 2], [3, 2]]), 4, 8) == Coverage(0.5, 0.25)
    assert coverage(DIAGONAL[:0], 3, 3) == Coverage(0.0, 0.0)
    with pytest.raises(ModalityError, match="element 2 of b, which has 2"):
        coverage(np.array([[0, 2]]), 1, 2)

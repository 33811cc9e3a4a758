"""Linear memory and checkpoints: the same cost as the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Itakura, SakoeChiba, StepPattern, align_costs
from polymodal.alignment._costs import of_matrix
from polymodal.alignment._paths import Problem, linear_path, stepped_path, traced_path
from polymodal.alignment.windows import whole


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("window", [None, SakoeChiba(60), Itakura(2.0)], ids=str)
def test_linear_memory_path_costs_what_the_full_matrix_does(rng, window, d):
    a, b = rng.normal(size=(700, d)).cumsum(0), rng.normal(size=(650, d)).cumsum(0)
    for begin, end in [(False, False), (True, True)]:
        method = DTW(window=window, open_begin=begin, open_end=end)
        p = method._problem_of(a, b)
        cost, path = stepped_path(p, StepPattern.symmetric1())
        thrifty = linear_path(p)
        assert p.costs.at(*thrifty.T).sum() == pytest.approx(cost, rel=1e-12)
        assert method.distance(a, b) == pytest.approx(cost, rel=1e-12)
        steps = np.diff(thrifty, axis=0)
        assert set(map(tuple, steps.tolist())) <= {(0, 1), (1, 0), (1, 1)}
        first, last = p.first[thrifty[:, 0]], p.last[thrifty[:, 0]]
        assert ((first <= thrifty[:, 1]) & (thrifty[:, 1] <= last)).all()
        assert thrifty[[0, -1]].tolist() == path[[0, -1]].tolist()


def test_linear_memory_path_of_a_cost_matrix_and_of_thin_ones(rng):
    for n, m in [(400, 300), (3, 40_000), (40_000, 3), (1, 40_000), (40_000, 1)]:
        costs = rng.random((n, m))
        p = Problem(of_matrix(costs, squared=False), *whole(n, m), False, False)
        cost, _ = stepped_path(p, StepPattern.symmetric1())
        found = align_costs(costs)
        assert found.cost == pytest.approx(cost, rel=1e-12)
        assert found.path[0].tolist() == [0, 0]
        assert found.path[-1].tolist() == [n - 1, m - 1]


def test_checkpoints_give_the_path_of_one_block(rng, monkeypatch):
    costs = rng.random((90, 80))
    p = Problem(of_matrix(costs, squared=False), *whole(90, 80), False, False)
    for step in ("symmetric2", "symmetric_p2", "asymmetric_p05"):
        pattern = StepPattern.named(step)
        cost, path = stepped_path(p, pattern)
        monkeypatch.setattr("polymodal.alignment._paths.BLOCK", 100)
        again, same = stepped_path(p, pattern)
        monkeypatch.undo()
        assert again == cost
        np.testing.assert_array_equal(same, path)


@pytest.mark.parametrize("window", [None, SakoeChiba(70), Itakura(2.0)], ids=str)
def test_the_path_traced_from_kept_rows_costs_the_same(rng, window):
    a, b = rng.normal(size=(500, 3)).cumsum(0), rng.normal(size=(450, 3)).cumsum(0)
    for begin, end in [(False, False), (True, True)]:
        p = DTW(window=window, open_begin=begin, open_end=end)._problem_of(a, b)
        cost, path = stepped_path(p, StepPattern.symmetric1())
        for kept in (1, 3, 64):
            np.testing.assert_array_equal(traced_path(p, kept), path)
        assert p.costs.along(path) == pytest.approx(cost)


def test_a_way_back_along_a_long_row_is_found(rng):
    a, b = np.zeros((300, 2)), np.zeros((900, 2))
    a[150:], b[800:] = 1.0, 1.0  # frame 149 of a meets hundreds of b
    p = DTW()._problem_of(a, b)
    path = traced_path(p)
    assert p.costs.along(path) == 0.0
    assert set(map(tuple, np.diff(path, axis=0).tolist())) <= {(0, 1), (1, 0), (1, 1)}

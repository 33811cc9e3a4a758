"""Soft-DTW in plain torch equals the compiled loops."""

from __future__ import annotations

import pytest
import torch

from polymodal.alignment import soft_warping
from polymodal.alignment._soft_diagonals import _skewed, _straight


def test_skewing_and_back():
    costs = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    skewed = _skewed(costs)
    assert skewed.shape == (6, 2, 3)
    assert skewed[3, 1].tolist() == [costs[1, 0, 3], costs[1, 1, 2], costs[1, 2, 1]]
    assert torch.isinf(skewed[0, 0, 1:]).all()
    torch.testing.assert_close(_straight(skewed), costs)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1), (7, 5), (5, 12)])
@pytest.mark.parametrize("gamma", [0.1, 3.0])
def test_values_and_gradients_equal_those_of_the_compiled_loops(rng, n, m, gamma):
    costs = torch.from_numpy(rng.random((4, n, m)))
    rows = torch.from_numpy(rng.integers(1, n + 1, 4))
    columns = torch.from_numpy(rng.integers(1, m + 1, 4))
    rows[0], columns[0] = n, m
    for p in range(4):
        costs[p, rows[p] :] = float("nan")
        costs[p, :, columns[p] :] = float("nan")
    values, visits = soft_warping._solve_costs(costs, rows, columns, gamma, gradient=True)
    other, others = soft_warping._solve_diagonals(costs, rows, columns, gamma, gradient=True)
    torch.testing.assert_close(values, other, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(visits, others, rtol=1e-9, atol=1e-11)

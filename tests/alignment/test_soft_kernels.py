"""The compiled loops of soft-DTW, against the recursion written plainly."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import _soft_kernels as k

NONE = np.empty((0, 0))


def plain(costs: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    """Value and expected alignment, cell by cell (Cuturi & Blondel 2017, algorithms 1 and 2)."""
    n, m = costs.shape
    total = np.full((n + 2, m + 2), np.inf)
    total[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            ways = np.array([total[i - 1, j], total[i, j - 1], total[i - 1, j - 1]])
            total[i, j] = costs[i - 1, j - 1] - gamma * np.logaddexp.reduce(-ways / gamma)
    visits = np.zeros((n + 2, m + 2))
    visits[n, m] = 1.0
    for i in range(n, 0, -1):
        for j in range(m, 0, -1):
            for di, dj in ((1, 0), (0, 1), (1, 1)):
                if i + di <= n and j + dj <= m:
                    gap = total[i + di, j + dj] - total[i, j] - costs[i + di - 1, j + dj - 1]
                    visits[i, j] += visits[i + di, j + dj] * np.exp(gap / gamma)
    return total[n, m], visits[1 : n + 1, 1 : m + 1]


def test_exponential_and_logarithm_are_right_to_rounding():
    x = -np.geomspace(1e-12, 700, 300)
    np.testing.assert_allclose([k._exp(v) for v in x], np.exp(x), rtol=5e-16)
    assert k._exp(0.0) == 1.0
    assert 0 < k._exp(-np.inf) < 1e-300
    s = np.linspace(1, 3, 301)
    np.testing.assert_allclose([k._log(v) for v in s], np.log(s), atol=5e-16)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (5, 1), (4, 4), (13, 9), (9, 30)])
@pytest.mark.parametrize(("height", "kept"), [(1, 1), (3, 1), (4, 2), (64, 9)])
def test_value_and_gradients_whatever_the_strips(rng, n, m, height, kept):
    a, b = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    costs = ((a[:, None] - b) ** 2).sum(2)
    value, visits = plain(costs, 0.7)
    left, right = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T[:, ::-1])
    grad_a, grad_b, coupling = np.zeros((3, n)), np.zeros((3, m)), np.zeros((n, m))
    found = k.solve(left, right, NONE, (n, m), 0.7, height, kept, grad_a, grad_b, coupling)
    assert found == pytest.approx(value, rel=1e-12)
    assert k.solve(left, right, NONE, (n, m), 0.7, height, 0, NONE, NONE, NONE) == pytest.approx(
        value, rel=1e-12
    )
    np.testing.assert_allclose(coupling, visits, atol=1e-11)
    parts = 2 * visits[:, :, None] * (a[:, None] - b)
    np.testing.assert_allclose(grad_a.T, parts.sum(1), atol=1e-10)
    np.testing.assert_allclose(grad_b[:, ::-1].T, -parts.sum(0), atol=1e-10)
    again = np.zeros((n, m))
    of_costs = k.solve(NONE, NONE, costs, (n, m), 0.7, height, kept, NONE, NONE, again)
    assert of_costs == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(again, visits, atol=1e-11)

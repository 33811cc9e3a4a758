"""The compiled loops, against the recursion written plainly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.alignment import DTW, SakoeChiba, align_costs
from polymodal.alignment import _kernels as k
from polymodal.core.errors import ModalityError


def recursion(costs: np.ndarray) -> float:
    n, m = costs.shape
    d = np.full((n + 1, m + 1), np.inf)
    d[0, 0] = 0
    for i in range(n):
        for j in range(m):
            d[i + 1, j + 1] = costs[i, j] + min(d[i, j], d[i, j + 1], d[i + 1, j])
    return float(d[n, m])


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 25), m=st.integers(1, 25), radius=st.integers(0, 30))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_lengths_and_radius(seed, n, m, radius):
    r = np.random.default_rng(seed)
    costs, window = r.integers(0, 5, (n, m)).astype(float), SakoeChiba(radius)
    if radius < abs(n - m):
        with pytest.raises(ModalityError, match=rf"radius={abs(n - m)}, .* would do"):
            align_costs(costs, DTW(window=window))
        return
    masked = np.where(np.abs(np.subtract.outer(np.arange(n), np.arange(m))) <= radius, costs, np.inf)
    found = align_costs(costs, DTW(window=window))
    assert found.cost == recursion(masked) == costs[tuple(found.path.T)].sum()


@pytest.mark.parametrize("height", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("features", [1, 4, 8])
def test_the_height_of_the_strips_does_not_matter(rng, height, features):
    n, m = 19, 23
    a, b = rng.normal(size=(features, n)), rng.normal(size=(features, m))
    first = np.maximum(np.arange(n) - 6, 0)
    last = np.minimum(np.arange(n) + 9, m - 1)
    border = np.full(m + 1, np.inf)
    border[0] = 0.0
    reverse = np.ascontiguousarray(b[:, ::-1]).ravel()
    row = k.sweep(
        a.ravel(), 0, n, reverse, m - 1, m, features, k.SQUARES, k.ROOT, 0.0, first, last, m, border, height
    )
    costs = np.linalg.norm(a.T[:, None] - b.T[None], axis=2)
    inside = (np.arange(m) >= first[:, None]) & (np.arange(m) <= last[:, None])
    for j in range(m):
        truth = recursion(np.where(inside, costs, np.inf)[:, : j + 1])
        assert row[j + 1] == pytest.approx(truth)

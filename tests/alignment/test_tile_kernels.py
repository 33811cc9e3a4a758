"""Accumulated costs by tiles, against the recursion written plainly and against diagonals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from polymodal.alignment import DTW, SakoeChiba, align, dtw_distance, pairwise_dtw
from polymodal.alignment import _costs as costs_module
from polymodal.alignment import _kernels as k
from polymodal.alignment import _tile_kernels as tiles

METRICS = ["euclidean", "sqeuclidean", "cityblock", "cosine"]


@pytest.mark.parametrize(("kind", "metric"), [(k.SQUARES, "sqeuclidean"), (k.ABSOLUTES, "cityblock")])
def test_costs_of_a_tile(rng, kind, metric):
    a, b = rng.normal(size=(8, 11)), rng.normal(size=(8, 13))
    for rows, columns in [(1, 1), (3, 9), (4, 3), (9, 11)]:
        tile = np.empty((rows, columns))
        tiles._tile_costs(a, 2, b, 1, kind, k.PLAIN, tile)
        truth = cdist(a.T[2 : 2 + rows], b.T[1 : 1 + columns], metric)
        np.testing.assert_allclose(tile, truth, rtol=1e-13)


@pytest.mark.parametrize(("n", "m"), [(3, 2), (7, 4), (150, 30), (131, 515), (260, 1030)])
@pytest.mark.parametrize("extra", [0.0, 1.0])
@pytest.mark.parametrize("radius", [None, 9])
def test_the_last_row_equals_that_of_the_diagonals(rng, n, m, extra, radius):
    """Tiles that are cut short, one below the other and side by side, whole or within a band."""
    a, b = rng.normal(size=(4, n)), rng.normal(size=(4, m))
    first, last = np.zeros(n, dtype=np.int64), np.full(n, m - 1)
    if radius is not None:
        line = np.rint(np.linspace(0, m - 1, n)).astype(np.int64)
        first, last = np.maximum(line - radius, 0), np.minimum(line + radius, m - 1)
    border = np.full(m + 1, np.inf)
    border[0] = 0.0
    row = tiles.sweep(a, 0, b, 0, m, k.SQUARES, k.ROOT, extra, first, last, border)
    turned = np.ascontiguousarray(b[:, ::-1]).ravel()
    other = k.sweep(
        a.ravel(), 0, n, turned, m - 1, m, 4, k.SQUARES, k.ROOT, extra, first, last, m, border, 64
    )
    reached = other < tiles.OUTSIDE
    np.testing.assert_allclose(row[reached], other[reached], rtol=1e-12)
    assert (row[~reached] >= tiles.OUTSIDE).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("step", ["symmetric1", "symmetric2"])
@pytest.mark.parametrize("is_open", [False, True])
def test_distance_path_and_all_pairs_do_not_depend_on_the_way(rng, monkeypatch, metric, step, is_open):
    a, b = rng.normal(size=(300, 12)), rng.normal(size=(280, 12))
    method = DTW(metric, SakoeChiba(40), step, open_begin=is_open, open_end=is_open)
    cost, found = dtw_distance(a, b, method), align(a, b, method)
    pairs = pairwise_dtw([a, a[:270]], [b, b[:262]], method)
    assert found.cost == pytest.approx(cost, rel=1e-12)
    monkeypatch.setattr(costs_module, "FEW_CELLS", 2**62)
    assert dtw_distance(a, b, method) == pytest.approx(cost, rel=1e-12)
    np.testing.assert_array_equal(align(a, b, method).path, found.path)
    np.testing.assert_allclose(pairwise_dtw([a, a[:270]], [b, b[:262]], method), pairs, rtol=1e-12)


def test_frames_far_from_zero_and_near_each_other_lose_no_digits(rng):
    """What matrix products would lose: distances 1e-6 of frames of size 1e3."""
    a = rng.normal(size=(100, 32)).cumsum(0) + 1e3
    b = a + 1e-6 * rng.normal(size=a.shape)
    assert dtw_distance(a, a) == 0.0
    assert dtw_distance(a, b) == pytest.approx(np.linalg.norm(a - b, axis=1).sum(), rel=1e-9)

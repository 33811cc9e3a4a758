"""What is kept of sequences with missing frames."""

from __future__ import annotations

import numpy as np

from polymodal.alignment import SakoeChiba
from polymodal.alignment._missing import Remaining, free_costs, gapped


def test_frames_of_nan_alone_are_missing():
    found = gapped([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]], "a")
    assert found.present.tolist() == [True, False, True]
    assert found.rows.tolist() == [0, 2]
    assert found.values[1].tolist() == [1.0, 2.0]


def test_a_window_keeps_its_cells():
    a, b = np.array([True, False, True, True, True]), np.array([True, True, False, True, True])
    first, last = Remaining(SakoeChiba(1), a, b).bounds(4, 4)
    i, j = np.flatnonzero(a), np.flatnonzero(b)
    inside = abs(i[:, None] - j) <= 1
    np.testing.assert_array_equal((np.arange(4) >= first[:, None]) & (np.arange(4) <= last[:, None]), inside)


def test_a_missing_frame_costs_nothing(rng):
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    a[1] = b[2] = np.nan
    costs = free_costs(gapped(a, "a"), gapped(b, "b"), "cosine")
    np.testing.assert_array_equal(costs == 0, np.isnan(a[:, :1]) | np.isnan(b[:, 0]))

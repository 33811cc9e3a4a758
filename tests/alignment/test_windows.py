"""Which cells a path may visit."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Itakura, SakoeChiba, align
from polymodal.alignment.windows import checked, holds_path
from polymodal.core.errors import ModalityError


def cells(window, n, m):
    first, last = window.bounds(n, m)
    return (np.arange(m) >= first[:, None]) & (np.arange(m) <= last[:, None])


def test_the_band_is_all_cells_within_the_radius():
    i, j = np.indices((7, 9))
    np.testing.assert_array_equal(cells(SakoeChiba(2), 7, 9), abs(i - j) <= 2)
    np.testing.assert_array_equal(cells(SakoeChiba(2, slanted=True), 7, 9), abs(i * 8 / 6 - j) <= 2)
    np.testing.assert_array_equal(cells(SakoeChiba(3, slanted=True), 8, 8), cells(SakoeChiba(3), 8, 8))


def test_the_parallelogram_is_all_cells_within_the_slopes():
    i, j = np.indices((9, 11))
    u, v = 8 - i, 10 - j
    np.testing.assert_array_equal(
        cells(Itakura(2.0), 9, 11), (j <= 2 * i) & (2 * j >= i) & (v <= 2 * u) & (2 * v >= u)
    )
    np.testing.assert_array_equal(cells(Itakura(1.0), 5, 5), np.eye(5, dtype=bool))


@pytest.mark.parametrize(
    "window", [SakoeChiba(0), SakoeChiba(3), SakoeChiba(0, slanted=True), Itakura(1.0), Itakura(2.0)], ids=str
)
def test_a_window_refused_names_one_that_would_do(window):
    for n, m in [(5, 5), (5, 30), (30, 5), (4, 7), (1, 6), (2, 9)]:
        first, last = window.bounds(n, m)
        if holds_path(first, last, m, open_begin=False, open_end=False):
            assert len(align(np.arange(n), np.arange(m), DTW(window=window)))
            continue
        with pytest.raises(ModalityError, match="would do|use SakoeChiba") as caught:
            align(np.arange(n), np.arange(m), DTW(window=window))
        named = str(caught.value).rsplit(". ", 1)[1]
        if "would do" in named:
            other = eval(named.removesuffix(" would do."), {"SakoeChiba": SakoeChiba, "Itakura": Itakura})
            assert len(align(np.arange(n), np.arange(m), DTW(window=other)))


class Stairs:
    """A window of the user's own."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def bounds(self, length_a, length_b):
        return np.array(self.first), np.array(self.last)


def test_a_window_of_ones_own():
    path = align([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], DTW(window=Stairs([0, 0, 2], [0, 2, 2]))).path
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [2, 2]
    assert (path[path[:, 0] == 2][:, 1] == 2).all()
    with pytest.raises(ModalityError, match="never fall"):
        checked(Stairs([0, 1, 0], [2, 2, 2]), 3, 3)
    with pytest.raises(ModalityError, match="each of 4 frames"):
        checked(Stairs([0, 1, 1], [2, 2, 2]), 4, 3)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ModalityError, match="radius >= 0"):
        SakoeChiba(-1)
    with pytest.raises(ModalityError, match="slope >= 1"):
        Itakura(0.5)

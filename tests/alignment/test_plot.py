"""Pictures of an alignment."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import align, plot_matches, plot_path
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_the_path_is_the_line_that_is_drawn(rng, ax):
    a, b = rng.normal(size=9), rng.normal(size=7)
    found = align(a, b)
    plot_path(found, np.abs(a[:, None] - b), ax)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), found.path[:, ::-1])
    assert ax.get_xlabel() == "b (frame)"
    assert ax.images[0].get_array().shape == (9, 7)
    with pytest.raises(ModalityError, match="of 9 and 7 frames"):
        plot_path(found, np.ones((7, 9)), ax)


def test_lines_join_matched_frames(rng, ax):
    a, b = Ragged.of([rng.normal(size=9)], rate=4.0), Ragged.of([rng.normal(size=7)], rate=2.0)
    found = align(a, b)
    plot_matches(found, a[0], b[0], ax)
    np.testing.assert_allclose([line.get_xdata() for line in ax.lines[: len(found)]], found.times())
    assert ax.lines[-2].get_ydata().min() > ax.lines[-1].get_ydata().max()  # a lies above b
    assert ax.get_xlabel() == "seconds"
    plt.sca(ax)
    assert found.plot(a[0], b[0]) is ax

"""Pictures of an alignment."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Alignment, align, plot_coupling, plot_matches, plot_path, plot_words
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


def test_starts_move_what_is_drawn(rng, ax):
    a, b = Ragged.of([rng.normal(size=9)], rate=4.0), Ragged.of([rng.normal(size=7)], rate=2.0)
    found = align(a, b)
    plot_path(found, ax=ax, starts=(10.0, 20.0))
    np.testing.assert_allclose(ax.lines[0].get_xydata(), found.times()[:, ::-1] + [20.0, 10.0])
    assert ax.get_ylim() == (10 - 0.125, 10 + 8.5 / 4)


def test_a_map_of_weights_has_the_words_at_its_sides(ax):
    weights = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 1.0]])
    found = Alignment.of_coupling(weights, DTW(), cost=1.0)
    plot_coupling(found, ["das", "Haus"], ["the", "house", "x"], ax)
    np.testing.assert_array_equal(ax.images[0].get_array(), weights)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["das", "Haus"]
    assert ax.get_ylim() == (1.5, -0.5)  # the first word on top
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), found.path[:, ::-1])
    with pytest.raises(ModalityError, match="labels came with"):
        plot_coupling(found, ["das"], ["the", "house", "x"], ax)


def test_a_map_of_weights_without_words_has_times(ax):
    found = Alignment.of_coupling(np.eye(4) + 0.1, DTW(), cost=1.0, rates=(2.0, 2.0))
    plot_coupling(found, ax=ax, starts=(1.0, 0.0))
    assert ax.get_ylabel() == "a (seconds)"
    assert ax.images[0].get_extent() == [-0.25, 1.75, 0.75, 2.75]


def test_a_map_of_weights_that_is_too_large_is_refused(ax):
    path = np.zeros((1, 2), dtype=np.int64)
    with pytest.raises(ModalityError, match="A picture of all weights"):
        plot_coupling(Alignment.of_path(path, (100_000, 100_000), DTW(), cost=0.0), ax=ax)


def test_lines_between_words_are_as_strong_as_their_weights(ax):
    weights = np.array([[1.0, 0.0], [0.5, 0.001]])
    found = Alignment.of_coupling(weights, DTW(), cost=1.0)
    plot_words(found, ["das", "$Haus"], ["the", "house"], ax)
    others, path = ax.collections
    assert list(path.get_linewidths()) == pytest.approx([3.0, 1.7])
    assert len(others.get_segments()) == 0  # the third is too weak to be drawn
    assert path.get_segments()[0][:, 1].tolist() == [0.85, 0.15]
    assert [t.get_text() for t in ax.texts] == ["das", r"\$Haus", "the", "house"]
    with pytest.raises(ModalityError, match="words came with"):
        plot_words(found, ["das"], ["the", "house"], ax)

from __future__ import annotations

import numpy as np
import pytest

from polymodal.datasets.glyph_outlines import (
    CLOSE,
    CUBIC,
    LINE,
    MOVE,
    QUADRATIC,
    _flatten,
    read_contours,
    walk,
)
from polymodal.datasets.glyphs import _font_file


def polygon(points):
    return [tuple(p) for p in points], [MOVE] + [LINE] * (len(points) - 1)


def contours(*shapes):
    """Each shape is a list of (vertices, codes): one glyph."""
    vertices = [v for shape in shapes for part in shape for v in part[0]]
    codes = [c for shape in shapes for part in shape for c in part[1]]
    glyph = np.repeat(np.arange(len(shapes)), [sum(len(part[1]) for part in shape) for shape in shapes])
    return _flatten(np.array(vertices, float), np.array(codes), glyph, len(shapes))


SQUARE = polygon([(0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)])


def test_a_square_is_walked_in_equal_steps_from_its_lower_left():
    sequence = walk(contours([SQUARE]), 16)[0]
    assert sequence.shape == (16, 3)
    np.testing.assert_allclose(sequence[:, 2], [1] + [0] * 15)
    np.testing.assert_allclose(
        sequence[0, :2], [-0.25, 0], atol=1e-7
    )  # x from the middle, y from the baseline
    steps = np.diff(np.vstack([sequence, sequence[:1]])[:, :2], axis=0)
    np.testing.assert_allclose(np.hypot(*steps.T), 2.0 / 16, atol=1e-6)
    np.testing.assert_allclose(sequence[4, :2], [0.25, 0], atol=1e-6)  # anticlockwise


def test_where_a_contour_begins_and_which_way_it_turns_do_not_matter():
    points = SQUARE[0]
    reference = walk(contours([SQUARE]), 20)[0]
    for shifted in (points[2:] + points[:2], points[::-1], points[1::-1] + points[:1:-1]):
        np.testing.assert_allclose(walk(contours([polygon(shifted)]), 20)[0], reference, atol=1e-6)


def test_holes_turn_against_their_outside_and_come_after_it():
    hole = polygon([(0.2, 0.2), (0.2, 0.3), (0.3, 0.3), (0.3, 0.2)])
    sequence = walk(contours([hole, SQUARE]), 40)[0]
    start = np.flatnonzero(sequence[:, 2])
    assert start.tolist() == [0, 33]
    outer, inner = sequence[:33, :2], sequence[33:, :2]

    def area(p):
        return 0.5 * np.sum(p[:, 0] * np.roll(p[:, 1], -1) - np.roll(p[:, 0], -1) * p[:, 1])

    assert area(outer) > 0.2
    assert area(inner) < 0


def test_curves_are_flattened_to_the_circle_they_approximate():
    k = 0.5522847498  # four cubics make a circle, to 3e-4
    cubic = [
        (1, 0),
        (1, k),
        (k, 1),
        (0, 1),
        (-k, 1),
        (-1, k),
        (-1, 0),
        (-1, -k),
        (-k, -1),
        (0, -1),
        (k, -1),
        (1, -k),
        (1, 0),
    ]
    circle = contours([(cubic, [MOVE] + [CUBIC] * 12)])
    np.testing.assert_allclose(np.hypot(*circle.points.T), 1, atol=3e-4)
    np.testing.assert_allclose(circle.boxes, [[-1, -1, 1, 1]], atol=1e-12)
    parabola = contours([([(0, 0), (1, 2), (2, 0), (0, 0)], [MOVE, QUADRATIC, QUADRATIC, CLOSE])])
    x, y = parabola.points.T
    np.testing.assert_allclose(y, x * (2 - x), atol=1e-12)


def test_runs_of_curves_of_either_degree_take_turns():
    mixed = [(0, 0), (1, 0), (1, 1), (0.5, 1.5), (0, 1), (-1, 1), (-1, 0), (0, 0)]
    codes = [MOVE, QUADRATIC, QUADRATIC, QUADRATIC, QUADRATIC, CUBIC, CUBIC, CUBIC]
    points = contours([(mixed, codes)]).points
    for corner in ((0, 0), (1, 1), (0, 1)):
        assert (np.abs(points - corner).max(axis=1) < 1e-12).any()


def test_blank_glyphs_have_no_points():
    font = _font_file("DejaVuSans")
    found = read_contours(font, [ord("I"), ord(" "), ord("o")])
    assert found.inked.tolist() == [True, False, True]
    lengths = walk(found, 64).lengths
    assert lengths[1] == 0
    assert 20 < lengths[0] <= 64
    assert lengths[2] <= 64
    assert not read_contours(font, [ord(" ")]).inked.any()


def test_boxes_are_in_ems():
    (box,) = read_contours(_font_file("DejaVuSans"), [ord("I")]).boxes
    np.testing.assert_allclose(
        box, np.array([201, 0, 403, 1493]) / 2048, atol=1e-3
    )  # the stem of I, in font units


@pytest.mark.parametrize("max_points", [16, 64])
def test_lengths_stay_below_the_limit(max_points):
    outlines = walk(read_contours(_font_file("DejaVuSerif"), range(0x41, 0x5B)), max_points)
    assert outlines.lengths.max() <= max_points


def test_glyphs_walked_together_or_alone_are_the_same():
    font, codepoints = _font_file("DejaVuSerif"), list(range(0x3B1, 0x3CA))
    together = walk(read_contours(font, codepoints), 48)
    for i, codepoint in enumerate(codepoints):
        np.testing.assert_array_equal(together[i], walk(read_contours(font, [codepoint]), 48)[0])
    assert len(walk(read_contours(font, []), 48)) == 0

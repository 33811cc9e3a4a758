"""Outlines of a font's glyphs as sequences of points: flatten the curves, then walk each contour in equal steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from polymodal.core.ragged import Ragged
from polymodal.core.typing import Bool, Float, Int

MOVE, LINE, QUADRATIC, CUBIC, CLOSE = 1, 2, 3, 4, 79  # matplotlib's path codes
PIECES = 4  # straight pieces a curve is cut into: under a tenth of a pixel off at 32 pixels an em
SHORTEST_STEP = 1 / 24  # em
GRAIN = 2.0**-14  # em: coordinates do not depend on which glyphs are walked together
FEWEST_POINTS = 3  # of a contour: a dot stays a triangle


@dataclass(frozen=True, eq=False)
class Contours:
    """Closed polygons of several glyphs, in ems from the baseline's origin; each ends where it began.

    Args:
        points: All polygons, one after the other.
        starts: Where each polygon begins in `points`.
        glyph: Which glyph each polygon belongs to (rising).
        n_glyphs: Number of glyphs; a blank one has no polygon.
    """

    points: Float[np.ndarray, "p 2"]
    starts: Int[np.ndarray, " c"]
    glyph: Int[np.ndarray, " c"]
    n_glyphs: int

    @cached_property
    def inked(self) -> Bool[np.ndarray, " g"]:
        """True for the glyphs that have any contour."""
        return np.bincount(self.glyph, minlength=self.n_glyphs) > 0

    @cached_property
    def boxes(self) -> Float[np.ndarray, "g 4"]:
        """Left, bottom, right, top of each glyph in ems; zeros for a blank one."""
        boxes = np.zeros((self.n_glyphs, 4))
        if len(self.starts):
            first = np.flatnonzero(np.diff(self.glyph, prepend=-1))
            begin = self.starts[first]
            boxes[self.glyph[first], :2] = np.minimum.reduceat(self.points, begin)
            boxes[self.glyph[first], 2:] = np.maximum.reduceat(self.points, begin)
        return boxes


def read_contours(font: Path, codepoints: Sequence[int]) -> Contours:
    """Read glyphs of a font file, unhinted, as polygons.

    Complexity:
        O(points); some 25 microseconds a glyph.
    """
    from matplotlib.ft2font import FT2Font, LoadFlags

    face = FT2Font(str(font))
    vertices, codes = [], []
    for codepoint in codepoints:
        face.load_glyph(face.get_char_index(codepoint), flags=LoadFlags.NO_SCALE)
        path, code = face.get_path()
        vertices.append(path)
        codes.append(code)
    lengths = np.array([len(code) for code in codes], dtype=np.int64)
    if not lengths.sum():
        return Contours(np.empty((0, 2)), np.empty(0, np.int64), np.empty(0, np.int64), len(lengths))
    ems = np.concatenate(vertices) * (64 / face.units_per_EM)  # FT2Font divides font units by 64
    return _flatten(ems, np.concatenate(codes), np.repeat(np.arange(len(lengths)), lengths), len(lengths))


def _flatten(vertices: np.ndarray, codes: np.ndarray, glyph: np.ndarray, n_glyphs: int) -> Contours:
    keep = codes != CLOSE
    vertices, codes, glyph = vertices[keep], codes[keep], glyph[keep]
    move = codes == MOVE
    contour = np.cumsum(move) - 1
    place = np.arange(len(codes))
    run = np.maximum.accumulate(np.where(np.diff(codes, prepend=0) != 0, place, 0))
    within = place - run  # place in a run of curves of one degree: their control points take turns
    ends = (
        (codes == LINE) | ((codes == QUADRATIC) & (within % 2 == 1)) | ((codes == CUBIC) & (within % 3 == 2))
    )
    end = np.flatnonzero(ends)
    degree = codes[end] - 1
    p0, p3 = vertices[end - degree], vertices[end]
    last = vertices[end - 1]  # the control point before the end; on a line it is p0
    quadratic, line = (degree == 2)[:, None], (degree == 1)[:, None]
    c1 = np.where(
        quadratic, p0 + (last - p0) * 2 / 3, np.where(line, p0 + (p3 - p0) / 3, vertices[end - degree + 1])
    )
    c2 = np.where(quadratic, p3 + (last - p3) * 2 / 3, np.where(line, p0 + (p3 - p0) * 2 / 3, last))
    t = (np.arange(1, PIECES + 1) / PIECES)[None, :, None]
    s = 1 - t
    curve = s**3 * p0[:, None] + 3 * s**2 * t * c1[:, None] + 3 * s * t**2 * c2[:, None] + t**3 * p3[:, None]
    corners = vertices[move]
    points = np.concatenate([corners, curve.reshape(-1, 2), corners])
    owner = np.concatenate(
        [np.arange(len(corners)), np.repeat(contour[end], PIECES), np.arange(len(corners))]
    )
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    return Contours(points[order], starts, glyph[move], n_glyphs)


def walk(contours: Contours, max_points: int) -> Ragged:
    """Sequences of (x, y, start): equal steps along each contour, `start` = 1 where the pen is set down.

    What differs between fonts for no visible reason is made equal: the longest contour comes first, each begins at
    its lower left, and outer contours run anticlockwise (holes clockwise). x is measured from the middle of the
    glyph and y from the baseline, both in ems, so that case and raised letters stay visible.

    Args:
        contours: The polygons.
        max_points: Points a glyph gets at most, unless that leaves a contour fewer than 3; short outlines get
            fewer, a step being at least 1/24 em.

    Complexity:
        O(points log points).
    """
    points, starts = contours.points, contours.starts
    if not len(starts):
        return Ragged(np.empty((0, 3), np.float32), np.zeros(contours.n_glyphs + 1, np.int64))
    stops = np.append(starts[1:], len(points)) - 1
    steps = np.diff(points, axis=0, append=points[-1:])
    cross = points[:, 0] * steps[:, 1] - points[:, 1] * steps[:, 0]
    length = np.hypot(*steps.T)
    cross[stops], length[stops] = 0.0, 1.0  # from one contour to the next nothing is drawn
    travelled = np.concatenate([[0.0], np.cumsum(length)[:-1]])
    total = travelled[stops] - travelled[starts]
    inked = np.bincount(contours.glyph, weights=np.add.reduceat(cross, starts), minlength=contours.n_glyphs)
    turn = np.where(inked < 0, -1.0, 1.0)[contours.glyph]
    step = np.maximum(
        np.bincount(contours.glyph, weights=total, minlength=contours.n_glyphs) / max_points, SHORTEST_STEP
    )
    count = np.maximum(np.floor(total / step[contours.glyph] + 1e-9), FEWEST_POINTS).astype(np.int64)
    lower_left = points.sum(axis=1)
    contour = np.repeat(np.arange(len(starts)), stops - starts + 1)
    lowest = lower_left == np.minimum.reduceat(lower_left, starts)[contour]
    _, begin = np.unique(contour[lowest], return_index=True)
    phase = travelled[np.flatnonzero(lowest)[begin]] - travelled[starts]

    order = np.lexsort(
        [-np.rint(total / GRAIN), contours.glyph]
    )  # contours of one length keep the font's order
    which = np.repeat(order, count[order])
    k = np.arange(len(which)) - np.repeat(np.cumsum(count[order]) - count[order], count[order])
    share = np.where(total > 0, total, 1.0)[which]
    along = travelled[starts[which]] + np.mod(phase[which] + turn[which] * k / count[which] * share, share)
    boxes = contours.boxes[contours.glyph[which]]
    x = np.interp(along, travelled, points[:, 0]) - (boxes[:, 0] + boxes[:, 2]) / 2
    y = np.interp(along, travelled, points[:, 1])
    lengths = np.bincount(contours.glyph, weights=count, minlength=contours.n_glyphs).astype(np.int64)
    values = np.rint(np.column_stack([x, y, k == 0]) / GRAIN) * GRAIN
    return Ragged(values.astype(np.float32), np.concatenate([[0], np.cumsum(lengths)]))

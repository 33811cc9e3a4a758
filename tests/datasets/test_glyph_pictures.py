from __future__ import annotations

import numpy as np

from polymodal.datasets.glyph_outlines import read_contours
from polymodal.datasets.glyph_pictures import draw
from polymodal.datasets.glyphs import _font_file


def pictures(text: str, size: int = 32, font: str = "DejaVuSans") -> np.ndarray:
    codepoints = [ord(c) for c in text]
    return draw(_font_file(font), codepoints, read_contours(_font_file(font), codepoints).boxes, size)


def rows_inked(picture):
    return np.flatnonzero(picture.max(axis=1) > 64)


def test_ink_is_white_on_black_and_centred():
    (stem,) = pictures("I")
    assert stem.dtype == np.uint8
    assert stem.max() > 200
    assert stem[0].max() == 0
    columns = stem.sum(axis=0)
    np.testing.assert_allclose((columns * np.arange(32)).sum() / columns.sum(), 15.5, atol=0.3)


def test_size_and_height_stay_visible():
    small, capital, raised, accented = pictures("oOºÓ")
    assert len(rows_inked(small)) < 0.85 * len(rows_inked(capital))
    assert rows_inked(raised).max() < rows_inked(small).max()
    assert rows_inked(accented).min() < rows_inked(capital).min() - 2  # two pixels of accent or more
    assert rows_inked(small).max() == rows_inked(capital).max()  # one baseline


def test_ink_is_the_area_of_the_outline():
    found = read_contours(_font_file("DejaVuSans"), [ord("I")])
    left, bottom, right, top = found.boxes[0]
    (stem,) = pictures("I", 64)
    pixels_an_em = 62 / 1.15
    np.testing.assert_allclose(stem.sum() / 255 / pixels_an_em**2, (right - left) * (top - bottom), rtol=0.08)


def test_what_does_not_fit_is_moved_and_then_made_smaller():
    for size in (8, 32, 100):
        for picture in pictures("Ẫ⟹﷽ǚ", size, "DejaVuSans") if size > 8 else pictures("Ẫ", size):
            assert picture.max() > 0
            assert picture.shape == (size, size)
    (wide,) = pictures("⟹")
    assert wide[:, [0, -1]].max() < 64


def test_many_are_drawn_as_one_by_one():
    text = "".join(map(chr, range(0x391, 0x3A0)))
    together = pictures(text, 100)  # more than one sheet
    np.testing.assert_array_equal(together, np.concatenate([pictures(c, 100) for c in text]))

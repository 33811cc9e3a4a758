"""Pictures of a font's glyphs: one scale for all, so that `o`, `O` and a raised `o` stay different."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from polymodal.core.typing import Float

if TYPE_CHECKING:
    from PIL import ImageFont

EMS = 1.15  # height of a picture without its margin: accented capitals and descenders fit, accents are 4 pixels of 32
MIDDLE = 0.345  # of a picture's height, in ems above the baseline
MARGIN = 1.0  # pixels left free on each side
OVERSAMPLE = 4  # drawn so much larger, then averaged: no hinting, and grey edges
SHEET = 2**22  # pixels drawn at once


def draw(
    font: Path, codepoints: Sequence[int], boxes: Float[np.ndarray, "g 4"], size: int
) -> UInt8[np.ndarray, "g size size"]:
    """Draw glyphs in white (255) on black (0), antialiased.

    The baseline lies at the same height and the middle of the glyph at the middle of the picture. A glyph that would
    leave the picture is moved up or down, and made smaller only if that is not enough (one in twenty).

    Args:
        font: A TrueType file.
        codepoints: Characters of the font.
        boxes: Left, bottom, right, top of each glyph in ems.
        size: Height and width in pixels.

    Complexity:
        O(glyphs x size^2); some 150 microseconds a glyph at 32 pixels.
    """
    from PIL import Image, ImageDraw

    scale, x, y = _place(boxes, size)
    cell = size * OVERSAMPLE
    at_once = max(1, SHEET // cell**2)
    out = np.empty((len(codepoints), size, size), dtype=np.uint8)
    fonts: dict[float, ImageFont.FreeTypeFont] = {}
    for start in range(0, len(codepoints), at_once):
        rows = range(start, min(start + at_once, len(codepoints)))
        sheet = Image.new("L", (cell, cell * len(rows)))
        pen = ImageDraw.Draw(sheet)
        for k, i in enumerate(rows):
            face = fonts.get(scale[i]) or fonts.setdefault(
                scale[i], _open(font, float(scale[i]) * OVERSAMPLE)
            )
            place = (x[i] * OVERSAMPLE, y[i] * OVERSAMPLE + k * cell)
            pen.text(place, chr(codepoints[i]), fill=255, font=face, anchor="ls")
        fine = np.asarray(sheet).reshape(len(rows), size, OVERSAMPLE, size, OVERSAMPLE)
        out[start : start + len(rows)] = np.rint(fine.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return out


def _open(font: Path, size: float) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(
        str(font), size, layout_engine=ImageFont.Layout.BASIC
    )  # characters alone: no shaping


def _place(boxes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels an em, and the pixel where each glyph's origin lies (y downwards)."""
    room = size - 2 * MARGIN
    left, bottom, right, top = boxes.T
    extent = np.maximum(np.maximum(right - left, top - bottom), 1e-6)
    usual = room / EMS
    fine = usual / 64  # few sizes, so that few faces are opened
    scale = np.where(extent * usual > room, np.floor(room / extent / fine) * fine, usual)
    x = size / 2 - (left + right) / 2 * scale
    y = size / 2 + MIDDLE * scale
    y = np.maximum(y, MARGIN + top * scale)
    y = np.minimum(y, size - MARGIN + bottom * scale)
    return scale, x, y

"""The demo's pictures are drawn, and hold what they say."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from polymodal.commands.demo_pictures import Answer, draw_answers, draw_characters, draw_outline
from polymodal.datasets import load_glyphs


@pytest.fixture(scope="module")
def characters():
    return load_glyphs(characters="abcd$", progress=False)


def colours(png: bytes) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3).tolist()))


def test_answers_are_framed(characters) -> None:
    green = (31, 157, 85)
    names = tuple(characters.data["name"].values()[:3])
    right = Answer('"letter a" -> pictures', (), "picture", (0, 1, 2), 1, names, (0.9, 0.5, 0.1))
    wrong = Answer("an outline -> pictures", (3,), "outline", (0, 1, 2), 4, names, (0.9, 0.5, 0.1))
    assert green in colours(draw_answers(characters, [right, wrong]))
    assert green not in colours(draw_answers(characters, [wrong]))


def test_characters_are_drawn(characters) -> None:
    assert len(colours(draw_characters(characters, 3))) > 10


def test_an_outline_lifts_the_pen_between_contours() -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    steps = np.array([[0, 0, 1], [1, 0, 0], [5, 5, 1], [6, 5, 0]], dtype=float)
    draw_outline(axes, steps)
    assert [s.tolist() for s in axes.collections[0].get_segments()] == [[[0, 0], [1, 0]], [[5, 5], [6, 5]]]
    plt.close(figure)

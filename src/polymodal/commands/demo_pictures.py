"""The pictures of the demo's report: characters in their modalities, and queries with their answers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.commands.report import png_of
from polymodal.core.typing import Float
from polymodal.datasets.dataset import Dataset

QUESTION, RIGHT = "#2f5bea", "#1f9d55"


@dataclass(frozen=True)
class Answer:
    """A query in words, and the characters found, best first.

    Attributes:
        query: What was asked.
        asked: Rows of the indexed characters that were part of the query, as pictures or outlines.
        asked_as: The modality of those rows that was asked with, and is drawn: "picture" or "outline".
        found: Rows of the indexed characters.
        right: The row that should come first.
        names: Their names.
        scores: Cosine to the query.
    """

    query: str
    asked: tuple[int, ...]
    asked_as: str
    found: tuple[int, ...]
    right: int
    names: tuple[str, ...]
    scores: tuple[float, ...]


def draw_characters(characters: Dataset, count: int) -> bytes:
    """`count` characters spread over the data, one a column: picture, outline, name."""
    from matplotlib import pyplot as plt

    rows = np.linspace(0, len(characters) - 1, count + 2).astype(int)[1:-1]
    names = characters.data["name"].values()
    figure, axes = plt.subplots(2, count, figsize=(1.5 * count, 3.6), squeeze=False)
    for column, row in enumerate(rows):
        _picture(axes[0, column], characters, int(row))
        draw_outline(axes[1, column], characters.data["outline"][[row]].values()[0])
        axes[1, column].set_xlabel(_wrapped(names[row]), fontsize=7)
    return png_of(figure)


def draw_answers(characters: Dataset, answers: Sequence[Answer]) -> bytes:
    """One line a query: what was asked with, and the characters found with their names; the right one is framed in green."""
    from matplotlib import pyplot as plt

    widest = max(len(a.found) for a in answers)
    figure, axes = plt.subplots(
        len(answers), widest + 1, figsize=(1.45 * (widest + 1), 1.95 * len(answers)), squeeze=False
    )
    for line, answer in enumerate(answers):
        for cell in axes[line]:
            cell.set_axis_off()
        first = axes[line, 0]
        if not answer.asked:
            first.text(
                0.5, 0.5, _wrapped(answer.query, 16), fontsize=8.5, ha="center", va="center", color=QUESTION
            )
        else:
            first.set_title(_wrapped(answer.query, 20), fontsize=8, loc="left", color=QUESTION)
            first.set_axis_on()
            if answer.asked_as == "outline":
                draw_outline(first, characters.data["outline"][[answer.asked[0]]].values()[0])
            else:
                _picture(first, characters, answer.asked[0])
        for column, (row, name) in enumerate(zip(answer.found, answer.names, strict=True), start=1):
            axes[line, column].set_axis_on()
            _picture(axes[line, column], characters, row)
            axes[line, column].set_xlabel(_wrapped(name), fontsize=6.5)
            if row == answer.right:
                axes[line, column].spines[:].set(color=RIGHT, linewidth=2.5)
    figure.subplots_adjust(hspace=0.9, wspace=0.35)
    return png_of(figure)


def draw_outline(axes: Any, steps: Float[np.ndarray, "t 3"]) -> None:
    """Steps along the contours; a third column of 1 starts a new contour. The pen's way is shown from dark to light."""
    from matplotlib.collections import LineCollection

    segments = np.stack([steps[:-1, :2], steps[1:, :2]], axis=1)
    drawn = steps[1:, 2] < 0.5
    lines = LineCollection(list(segments[drawn]), array=np.flatnonzero(drawn), cmap="viridis", linewidths=1.4)
    axes.add_collection(lines)
    axes.plot(steps[:, 0], steps[:, 1], ".", markersize=2, color="#555555")
    axes.set_aspect("equal")
    axes.autoscale()
    _bare(axes)


def _picture(axes: Any, characters: Dataset, row: int) -> None:
    axes.imshow(255 - characters.data["picture"][[row]].values()[0], cmap="gray", vmin=0, vmax=255)
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#d9dee7")


def _wrapped(text: str, width: int = 17) -> str:
    """At most four lines; a dollar sign is a dollar sign, not mathematics."""
    return "\n".join(textwrap.wrap(text, width)[:4]).replace("$", r"\$")

"""A model whose space is known: colours as (red, green, blue), named or mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polymodal.core.estimator import Coordination
from polymodal.core.modalities import Modalities, Modality

COLOURS = ["red", "green", "blue"]


class Colours(Coordination):
    """Text: the words counted. Image: as it is, for vectors; the mean colour, for pictures."""

    def _fit(self, data: Modalities, y: Any) -> None:
        return

    def _transform(self, data: Modalities) -> Modalities:
        out = {}
        for name, column in data.items():
            values = column.observed()
            if column.kind == "text":
                vectors = np.array([[text.split().count(c) for c in COLOURS] for text in values], dtype=float)
            else:
                vectors = np.asarray(values, dtype=float).reshape(len(values), -1, 3).mean(axis=1)
            index = np.full(len(data), -1)
            index[column.present] = np.arange(len(vectors))
            out[name] = Modality(vectors.reshape(-1, 3), index)
        return Modalities(out, ids=data.ids)

    def _score(self, data: Modalities, y: Any) -> float:
        return 0.0


@pytest.fixture
def colours() -> Modalities:
    image = np.array([[1.0, 0.1, 0], [0, 1, 0.1], [0.1, 0, 1], [1, 1, 0.1]])
    return Modalities(
        {"image": image, "text": ["red", "green", "blue", "red green"]}, ids=["rose", "leaf", "sky", "sun"]
    )


@pytest.fixture
def model(colours: Modalities) -> Colours:
    return Colours().fit(colours)

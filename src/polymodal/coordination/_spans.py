"""Data with more features than rows, in coordinates of the span of the rows: nothing varies outside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.core.modalities import Modalities, Modality
from polymodal.core.typing import Float

WIDE = 1024
"""Features from which a modality of fewer rows is rotated; below, its covariance is cheap enough."""


@dataclass(frozen=True, eq=False)
class Spans:
    """Modalities in which wide ones are replaced by coordinates: x = offset + rotation @ coordinates, exactly, on these rows."""

    data: Modalities
    offsets: dict[str, np.ndarray]
    rotations: dict[str, np.ndarray]


def row_span(x: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates (n, r), orthonormal rotation (d, r) and mean (d,) with x = mean + coordinates @ rotation'; r <= n - 1.

    Complexity:
        O(n^2 d).
    """
    values = np.asarray(x, dtype=np.float64)
    mean = values.mean(axis=0)
    U, s, Vt = np.linalg.svd(values - mean, full_matrices=False)
    kept = s > s[:1] * max(values.shape) * np.finfo(float).eps
    if not kept.any():
        kept[:1] = True  # a constant modality keeps one coordinate, which is zero on all rows
    return U[:, kept] * s[kept], Vt[kept].T, mean


def spans(data: Modalities, *, wide: int = WIDE) -> Spans:
    """Rotate each vector modality of more than `wide` features, and no fewer than rows, into the span of its rows."""
    columns, offsets, rotations = {}, {}, {}
    for name, column in data.items():
        rows = np.flatnonzero(column.present)
        if column.shape[0] > wide and len(rows) <= column.shape[0]:
            coordinates, rotations[name], offsets[name] = row_span(column.observed())
            index = np.full(len(column), -1, dtype=np.int64)
            index[rows] = np.arange(len(rows))
            columns[name] = Modality(coordinates, index)
        else:
            columns[name] = column
    return Spans(Modalities(columns, ids=data.ids), offsets, rotations)

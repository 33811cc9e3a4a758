"""Rows as sequences whose modalities go step by step together: frames of all rows one after the other, for chains over steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Spec
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Float, Int, Kind

STEPWISE: frozenset[Kind] = frozenset({"vector", "sequence"})


@dataclass(frozen=True, eq=False)
class RowSequences:
    """Steps of n rows.

    Args:
        frames: Modality -> (steps of all rows, features), NaN on the steps of rows that lack it.
        offsets: n + 1 places: row i has steps offsets[i] to offsets[i + 1].
    """

    frames: dict[str, Float[np.ndarray, "t _"]]
    offsets: Int[np.ndarray, " n1"]

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Steps of each row."""
        return np.diff(self.offsets)

    def some(self, rows: np.ndarray) -> RowSequences:
        """Only these rows."""
        parts = {name: Ragged(x, self.offsets)[rows] for name, x in self.frames.items()}
        return RowSequences({n: p.values for n, p in parts.items()}, next(iter(parts.values())).offsets)


def row_sequences(data: Modalities, specs: Mapping[str, Spec]) -> RowSequences:
    """Every row's modalities as steps of one clock, in the order of the names; a vector is a sequence of one step.

    Raises:
        ModalityError: a row whose modalities differ in length.
    """
    lengths, said_by = np.zeros(len(data), dtype=np.int64), np.full(len(data), "", dtype=object)
    for name, column in data.items():
        has, own = column.present, _lengths(column)
        wrong = np.flatnonzero(has & (said_by != "") & (own != lengths))
        if len(wrong):
            i, row = int(wrong[0]), data.ids[wrong[:1]].tolist()[0]
            raise ModalityError(
                f"The modalities of a row must go step by step together, but row {row!r} has {lengths[i]} steps of {said_by[i]!r} "
                f"and {own[i]} of {name!r} ({len(wrong)} rows so). Resample one of them."
            )
        lengths, said_by = np.where(has, own, lengths), np.where(has, name, said_by)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    frames = {}
    for name in sorted(data.names):
        column = data[name]
        width = int(np.prod(specs[name].shape, dtype=np.int64))
        x = np.full((int(offsets[-1]), width), np.nan)
        if column.present.any():
            values = column.observed()
            steps = values.values if isinstance(values, Ragged) else np.asarray(values)
            x[np.repeat(column.present, lengths)] = steps.reshape(len(steps), -1)
        frames[name] = x
    return RowSequences(frames, offsets)


def _lengths(column: Modality) -> Int[np.ndarray, " n"]:
    own = np.zeros(len(column), dtype=np.int64)
    if isinstance(column.store, Ragged):
        own[column.present] = column.store.lengths[column.index[column.present]]
    else:
        own[column.present] = 1
    return own


def mean_and_scale(
    frames: Float[np.ndarray, "t d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Mean and standard deviation (1 where constant) of each feature over the steps that are not missing."""
    seen = frames[~np.isnan(frames[:, 0])]
    mean, scale = seen.mean(axis=0), seen.std(axis=0)
    return mean, np.where(scale > 1e-12 * np.maximum(1.0, np.abs(mean)), scale, 1.0)

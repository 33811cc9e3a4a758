"""What the hidden Markov models take as sequences: frames of all sequences one after the other, and where each begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Int

Frames = Any  # an array (frames, ...), or a dict of them by stream
BLOCK = 1 << 13  # frames whose densities stand in memory together: a few MiB


@dataclass(frozen=True, eq=False)
class Sequences:
    """Frames of m sequences and their m + 1 offsets; `rate` in frames per second, 1 where unknown."""

    frames: Frames
    offsets: Int[np.ndarray, " m1"]
    rate: float

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def total(self) -> int:
        """Frames of all sequences."""
        return int(self.offsets[-1])

    def ragged(self, values: np.ndarray) -> Ragged:
        """Per-frame values with these offsets."""
        return Ragged(values, self.offsets, None if self.rate == 1.0 else self.rate)

    def blocks(self) -> Iterator[tuple[slice, slice, Sequences]]:
        """Whole sequences, some thousands of frames at a time: which sequences, which frames, and the part."""
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + BLOCK, side="right")) - 1
            last = min(max(last, first + 1), len(self))
            span = slice(int(self.offsets[first]), int(self.offsets[last]))
            part = Sequences(
                take(self.frames, span), self.offsets[first : last + 1] - self.offsets[first], self.rate
            )
            yield slice(first, last), span, part
            first = last


def take(frames: Frames, rows: Any) -> Frames:
    """Some frames, of every stream."""
    return {k: v[rows] for k, v in frames.items()} if isinstance(frames, dict) else frames[rows]


def count(frames: Frames) -> int:
    """How many frames."""
    return len(next(iter(frames.values()))) if isinstance(frames, dict) else len(frames)


def sequences(data: Any) -> Sequences:
    """One array is one sequence; a list or a `Ragged` holds several; a mapping (or `Modalities`) has one of these per stream."""
    if isinstance(data, Sequences):
        return data
    if isinstance(data, Modalities):
        return _of_modalities(data)
    if isinstance(data, Mapping):
        return _of_streams({name: sequences(value) for name, value in data.items()})
    if isinstance(data, Ragged):
        return Sequences(data.values, data.offsets.astype(np.int64), data.rate or 1.0)
    if isinstance(data, np.ndarray) and data.dtype != object:
        return Sequences(data, np.array([0, len(data)], dtype=np.int64), 1.0)
    if isinstance(data, Sequence) and len(data) and np.ndim(data[0]) == 0:
        return sequences(np.asarray(data))
    if not isinstance(data, Sequence | np.ndarray) or not len(data):
        raise ModalityError(
            f"Sequences needed: an array (frames, features), a list of them, or a Ragged; got {type(data).__name__} of nothing usable."
        )
    ragged = Ragged.of(list(data))
    return Sequences(ragged.values, ragged.offsets, 1.0)


def _of_streams(parts: Mapping[str, Sequences]) -> Sequences:
    if not parts:
        raise ModalityError("Streams needed, got an empty mapping. Pass {name: sequences, ...}.")
    names = sorted(parts)
    lead = parts[names[0]]
    for name in names:
        if not np.array_equal(parts[name].offsets, lead.offsets):
            raise ModalityError(
                f"Streams are frame by frame together, but {names[0]!r} has lengths {np.diff(lead.offsets)[:5].tolist()} and "
                f"{name!r} {np.diff(parts[name].offsets)[:5].tolist()}. Resample one; a frame without a value is NaN (or -1 for symbols)."
            )
        if isinstance(parts[name].frames, dict):
            raise ModalityError(f"Stream {name!r} holds streams itself; streams do not nest.")
    rate = max(p.rate for p in parts.values())
    return Sequences({name: parts[name].frames for name in names}, lead.offsets, rate)


def _of_modalities(data: Modalities) -> Sequences:
    """Rows are sequences; a row that lacks a modality has as many missing frames as its other modalities have frames."""
    lengths = np.zeros(len(data), dtype=np.int64)
    stores: dict[str, Ragged] = {}
    for name, column in data.items():
        if not isinstance(column.store, Ragged):
            raise ModalityError(f"Modality {name!r} must hold sequences (a Ragged), got {column.kind}.")
        stores[name] = column.store
        lengths[column.present] = column.store.lengths[column.index[column.present]]
    parts = {}
    for name, column in data.items():
        store = stores[name]
        missing = np.nan if store.dtype.kind == "f" else -1
        rows = [
            store[int(i)] if i >= 0 else np.full((n, *store.step_shape), missing, dtype=store.dtype)
            for i, n in zip(column.index, lengths, strict=True)
        ]
        parts[name] = sequences(Ragged.of(rows, rate=store.rate))
    return _of_streams(parts)

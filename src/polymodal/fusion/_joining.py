"""Raw modalities of one shape made into one modality: stacked as channels, or joined as one sequence of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts


def check_channels(data: Modalities) -> None:
    """Refuse modalities that are not all pictures of one size, or all sequences.

    Raises:
        ModalityError: names, kinds and shapes.
    """
    kinds = {name: column.kind for name, column in data.items()}
    shapes = {name: column.shape for name, column in data.items()}
    if set(kinds.values()) == {"grid"}:
        sizes = {name: np.shape(column.store[:1])[1:3] for name, column in data.items()}
        if len(set(sizes.values())) > 1:
            raise ModalityError(
                f"mode='channels' needs pictures of one height and width, got {sizes}. Resize them, or take mode='features'."
            )
    elif set(kinds.values()) != {"sequence"}:
        raise ModalityError(
            f"mode='channels' stacks pictures of one size, or sequences of one length, got {kinds} of shapes {shapes}. "
            "Take mode='features'."
        )


def check_tokens(data: Modalities) -> None:
    """Refuse modalities that are not all texts, or all vectors and sequences of one width.

    Raises:
        ModalityError: names, kinds and shapes.
    """
    kinds = {name: column.kind for name, column in data.items()}
    if set(kinds.values()) == {"text"}:
        return
    widths = {name: _width(column) for name, column in data.items()}
    if not set(kinds.values()) <= {"sequence", "vector"} or len(set(widths.values())) > 1:
        shapes = {name: column.shape for name, column in data.items()}
        raise ModalityError(
            f"mode='tokens' joins texts, or vectors and sequences of one width, got {kinds} of shapes {shapes}. "
            "Bring them to one width, or take mode='features'."
        )


def _width(column: Modality) -> int:
    return int(np.prod(column.shape, dtype=np.int64))


def channel_means(data: Modalities) -> dict[str, np.ndarray]:
    """The mean picture, or the mean step, of each modality over the rows that have it."""
    means = {}
    for name, column in data.items():
        values = column.observed()
        if isinstance(values, Ragged):
            means[name] = values.values.reshape(len(values.values), -1).mean(axis=0)
        else:
            means[name] = _with_channels(values).mean(axis=0)
    return means


def stack_channels(data: Modalities, means: Mapping[str, np.ndarray]) -> Modality:
    """One picture, or one sequence, a row, whose channels are those of all modalities, in the order of `means`.

    A row that lacks a modality gets its mean from the training rows.

    Raises:
        ModalityError: sequences of different lengths on one row.
    """
    rows = np.arange(len(data))
    kinds = {column.kind for _, column in data.items() if column.present.any()}
    if kinds == {"sequence"}:
        return Modality(_stack_sequences(data, means), rows)
    stacked = []
    for name, mean in means.items():
        if name not in data or not data[name].present.any():
            stacked.append(np.broadcast_to(mean, (len(data), *mean.shape)))
            continue
        column = data[name]
        values = _with_channels(column.observed())
        usual = mean.round() if np.issubdtype(values.dtype, np.integer) else mean
        full = np.empty((len(data), *mean.shape), dtype=values.dtype)
        full[column.present], full[~column.present] = values, usual.astype(values.dtype)
        stacked.append(full)
    return Modality(np.concatenate(stacked, axis=3), rows)


def _with_channels(pictures: Any) -> np.ndarray:
    array = np.asarray(pictures)
    return array[..., None] if array.ndim == 3 else array


def _stack_sequences(data: Modalities, means: Mapping[str, np.ndarray]) -> Ragged:
    sequences = []
    for i in range(len(data)):
        steps = {name: _steps(column, i) for name, column in data.items() if column.index[i] >= 0}
        lengths = {name: len(values) for name, values in steps.items()}
        if len(set(lengths.values())) > 1:
            raise ModalityError(
                f"mode='channels' needs sequences of one length on every row, got {lengths} at id {data.ids[i]}. "
                "Bring them to one clock, or take mode='tokens' or 'features'."
            )
        length = next(iter(lengths.values()))
        parts = [steps.get(name, np.broadcast_to(mean, (length, len(mean)))) for name, mean in means.items()]
        sequences.append(np.hstack(parts))
    return Ragged.of(sequences)


def _steps(column: Modality, row: int) -> np.ndarray:
    value = np.asarray(column.store[int(column.index[row])])
    return value.reshape(1, -1) if column.kind == "vector" else value.reshape(len(value), -1)


def join_tokens(data: Modalities, names: Sequence[str]) -> Modality:
    """One text, or one sequence, a row: the modalities of `names` one after the other, each with a mark of its own.

    A text is led by its modality's name in brackets; a step ends in a 1 at its modality's place and 0 elsewhere. A modality
    that the row lacks is not there: nothing is filled.
    """
    rows = np.arange(len(data))
    if next(column.kind for _, column in data.items() if column.present.any()) == "text":
        texts = []
        for i in range(len(data)):
            parts = [
                f"[{name}] {column.store[int(column.index[i])]}"
                for name, column in ((name, data[name]) for name in names if name in data)
                if column.index[i] >= 0
            ]
            texts.append(" ".join(parts))
        return Modality(cast(Any, Texts(texts)), rows)
    sequences = []
    marks = np.eye(len(names))
    for i in range(len(data)):
        blocks = []
        for place, name in enumerate(names):
            if name in data and data[name].index[i] >= 0:
                steps = _steps(data[name], i)
                blocks.append(np.hstack([steps, np.tile(marks[place], (len(steps), 1))]))
        sequences.append(np.vstack(blocks))
    return Modality(Ragged.of(sequences), rows)

"""`Ragged`: sequences of different lengths without a padded copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Int, Num, Shaped


@dataclass(frozen=True, eq=False)
class Ragged:
    """m sequences, one after the other in `values`; sequence i is `values[offsets[i]:offsets[i + 1]]`.

    Args:
        values: All steps of all sequences, (total, ...). Trailing axes are one step's shape; none means scalars.
        offsets: m + 1 positions, from 0 to total, never falling.
        rate: Steps per second, where the sequences are signals in time; a scalar sequence with a rate is a sound.

    Examples:
        >>> r = Ragged.of([[[1, 2]], [[3, 4], [5, 6]]])
        >>> r.lengths.tolist(), r[1].tolist()
        ([1, 2], [[3, 4], [5, 6]])
    """

    values: Num[np.ndarray, "total ..."]
    offsets: Int[np.ndarray, " m1"]
    rate: float | None = None

    def __post_init__(self) -> None:
        offsets = self.offsets
        if (
            len(offsets) < 1
            or offsets[0] != 0
            or offsets[-1] != len(self.values)
            or (np.diff(offsets) < 0).any()
        ):
            raise ModalityError(
                f"Ragged needs offsets that rise from 0 to the number of values ({len(self.values)}), got "
                f"{offsets[:3].tolist()} ... {offsets[-1:].tolist()}. Ragged.of(list_of_arrays) computes them."
            )

    @classmethod
    def of(cls, sequences: Sequence[Any], *, rate: float | None = None) -> Ragged:
        """Build from a list of arrays whose trailing axes agree. O(total)."""
        arrays = [np.asarray(s) for s in sequences]
        if not arrays:
            return cls(np.empty((0, 1)), np.zeros(1, dtype=np.int64), rate)
        if any(a.ndim == 0 for a in arrays):
            raise ModalityError(
                "Ragged needs one array (steps, ...) per sequence, got a bare number. Wrap it in a list."
            )
        filled = [a for a in arrays if len(a)] or arrays[:1]
        steps = {a.shape[1:] for a in filled}
        if len(steps) > 1:
            raise ModalityError(
                f"Ragged needs steps of one shape in every sequence, got {sorted(steps)[:4]}. "
                "Only the first axis (time, points) may differ in length."
            )
        offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.int64)
        return cls(np.concatenate(filled), offsets, rate)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, rows: Any) -> Any:
        """One row number gives that sequence (a view); several give a `Ragged`."""
        if isinstance(rows, int | np.integer):
            i = range(len(self))[rows]
            return self.values[self.offsets[i] : self.offsets[i + 1]]
        chosen = np.arange(len(self))[rows]
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Ragged(self.values[positions], offsets, self.rate)

    @property
    def lengths(self) -> Int[np.ndarray, " m"]:
        """Number of steps of each sequence."""
        return np.diff(self.offsets)

    @property
    def step_shape(self) -> tuple[int, ...]:
        """Shape of one step: `()` for scalars."""
        return tuple(self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def pad(
        self, length: int | None = None, fill: float = 0
    ) -> tuple[Num[np.ndarray, "m t ..."], Bool[np.ndarray, "m t"]]:
        """Values (m, T, ...) and a mask (m, T) that is True on real steps; T is `length` or the longest.

        Longer sequences are cut at `length`.
        """
        lengths = self.lengths
        t = int(lengths.max(initial=0)) if length is None else length
        mask = np.arange(t) < np.minimum(lengths, t)[:, None]
        padded = np.full((len(self), t, *self.step_shape), fill, dtype=self.dtype)
        starts = np.broadcast_to(self.offsets[:-1, None], mask.shape)[mask]
        steps = np.broadcast_to(np.arange(t), mask.shape)[mask]
        padded[mask] = self.values[starts + steps]
        return padded, mask


def array_of_rows(rows: Sequence[Any]) -> Shaped[np.ndarray, " n"]:
    """Arrays of any lengths as the entries of one array, so that rows can be chosen as of any other: labels of steps, say."""
    out = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        out[i] = np.asarray(row)
    return out

"""`Modalities` -> tensors: each distinct stored value of a batch is collated, and later encoded, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged

Collate = Callable[[Any], Tensor | dict[str, Tensor]]
Collated = Tensor | dict[str, Tensor]

KEEP_BYTES = (
    1 << 30
)  # collated stores up to this size (all columns together) are kept in memory between epochs
_PROBE = 64  # values collated to estimate the size of the whole store


@dataclass(frozen=True, eq=False)
class Column:
    """One modality of a batch.

    Attributes:
        values: u distinct values, collated: a tensor, or a dict of tensors, with u items on the first axis.
        index: (n,) position in `values` of each row's value; -1 where the row lacks the modality.
        present: (n,) True where the row has it.
    """

    values: Collated
    index: Tensor
    present: Tensor

    def to(self, device: torch.device | str) -> Column:
        """The same column on another device."""
        values = (
            {key: value.to(device, non_blocking=True) for key, value in self.values.items()}
            if isinstance(self.values, dict)
            else self.values.to(device, non_blocking=True)
        )
        return Column(values, self.index.to(device), self.present.to(device))


@dataclass(frozen=True, eq=False)
class Batch:
    """n rows of several modalities.

    Attributes:
        columns: Name -> column.
        rows: (n,) row numbers in the data.
        target: (n, ...) target of the rows, or None.
    """

    columns: dict[str, Column]
    rows: Tensor
    target: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def present(self) -> dict[str, Tensor]:
        """Name -> (n,) True where the row has it."""
        return {name: column.present for name, column in self.columns.items()}

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        columns = {name: column.to(device) for name, column in self.columns.items()}
        return Batch(columns, self.rows.to(device), None if self.target is None else self.target.to(device))


class Batches:
    """Makes batches of the rows of `data`; small stores are collated once and kept.

    Args:
        data: The rows.
        collates: Name -> function that turns `store[rows]` into tensors. Columns without one are left out.
        target: (n, ...) tensor or array, cut along with the rows.
        keep_bytes: Collated values up to this size stay in memory, so that later epochs only index tensors.
    """

    def __init__(
        self,
        data: Modalities,
        collates: Mapping[str, Collate],
        *,
        target: Tensor | np.ndarray | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._rows = len(data)
        self._target = None if target is None else torch.as_tensor(target)
        self._columns: dict[str, _Source] = {}
        for name in data.names:
            if name in collates:
                source = _Source(data[name], collates[name], keep_bytes)
                keep_bytes -= source.bytes
                self._columns[name] = source

    @property
    def deterministic(self) -> bool:
        """Whether making the same batch again gives the same tensors."""
        return all(source.deterministic for source in self._columns.values())

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, rows: np.ndarray) -> Batch:
        """The batch of these row numbers."""
        chosen = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        columns = {name: source.column(rows) for name, source in self._columns.items()}
        return Batch(columns, chosen, None if self._target is None else self._target[chosen])

    def iterate(self, parts: Sequence[np.ndarray]) -> Iterator[Batch]:
        """One batch per array of row numbers. Where values have to be read, the next batch is read meanwhile."""
        if not self.deterministic or all(source.kept for source in self._columns.values()) or len(parts) < 2:
            yield from (self[part] for part in parts)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="polymodal-batches") as reader:
            coming: Future[Batch] = reader.submit(self.__getitem__, parts[0])
            for part in parts[1:]:
                batch, coming = coming.result(), reader.submit(self.__getitem__, part)
                yield batch
            yield coming.result()


def make_batch(
    data: Modalities,
    rows: np.ndarray,
    collates: Mapping[str, Collate],
    target: Tensor | np.ndarray | None = None,
) -> Batch:
    """One batch of some rows of `data`; `Batches` makes many of them faster."""
    chosen = np.asarray(rows, dtype=np.int64)
    batch = Batches(data[chosen], collates, keep_bytes=0)[np.arange(len(chosen))]
    numbers = torch.from_numpy(chosen)
    return Batch(batch.columns, numbers, None if target is None else torch.as_tensor(target)[numbers])


def split_rows(rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Consecutive parts of nearly equal size, at most `batch_size`: sizes differ by one at most, so none is tiny."""
    return np.array_split(rows, max(1, -(-len(rows) // batch_size))) if len(rows) else []


class _Source:
    """One column: its stored values, collated on demand or once for all."""

    def __init__(self, modality: Modality, collate: Collate, keep_bytes: int) -> None:
        self._store, self._collate = modality.store, collate
        self._used, self._index = modality.used()
        owner = getattr(collate, "__self__", collate)
        self.deterministic = bool(getattr(owner, "cache_collated", True))
        self._all: Collated | None = None
        self.bytes = 0
        if self.deterministic and len(self._used) and keep_bytes > 0 and self._expected_bytes() <= keep_bytes:
            self._all = self._read(np.arange(len(self._used)))
            self.bytes = _bytes(self._all)

    @property
    def kept(self) -> bool:
        """Whether all values lie collated in memory."""
        return self._all is not None or not len(self._used)

    def column(self, rows: np.ndarray) -> Column:
        """The distinct values of these rows."""
        index = self._index[rows]
        present = index >= 0
        needed, inverse = np.unique(index[present], return_inverse=True)
        places = np.full(len(index), -1, dtype=np.int64)
        places[present] = inverse
        values = self._read(needed) if self._all is None else _take(self._all, torch.from_numpy(needed))
        return Column(values, torch.from_numpy(places), torch.from_numpy(present))

    def _read(self, positions: np.ndarray) -> Collated:
        if not len(positions):
            return torch.zeros(0)
        return self._collate(self._store[self._used[positions]])

    def _expected_bytes(self) -> int:
        probe = np.unique(np.linspace(0, len(self._used) - 1, _PROBE).round().astype(np.int64))
        if isinstance(self._store, Ragged):  # values are padded to the longest
            probe = np.union1d(probe, [int(self._store.lengths[self._used].argmax())])
        return _bytes(self._read(probe)) * len(self._used) // len(probe)


def _take(values: Collated, rows: Tensor) -> Collated:
    return (
        {k: v.index_select(0, rows) for k, v in values.items()}
        if isinstance(values, dict)
        else values.index_select(0, rows)
    )


def _bytes(values: Collated) -> int:
    tensors = values.values() if isinstance(values, dict) else [values]
    return sum(t.numel() * t.element_size() for t in tensors)


def row_codes(data: Modalities) -> Callable[[Tensor], dict[str, Tensor]]:
    """A function from row numbers of `data` (`batch.rows`) to the identity codes of their values, by modality: -1 where absent.

    Rows of equal codes hold the same thing, and are positives of each other.
    """
    codes = {name: torch.from_numpy(column.identity) for name, column in data.items()}

    def of(rows: Tensor) -> dict[str, Tensor]:
        return {name: code.to(rows.device)[rows] for name, code in codes.items()}

    return of

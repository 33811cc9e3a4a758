"""`Modalities`: several modalities of the same rows, any of which may be missing. The whole data contract.

A column is a pair (store, index): the store holds values once, `index[i]` says which of them row i uses, and -1
says that row i lacks this modality. Paired, missing, unpaired and many-captions-per-picture data are this one idea.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, overload, runtime_checkable

import numpy as np

from polymodal.core.convert import NaNPolicy, as_column
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.files import Files
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts
from polymodal.core.typing import Bool, Int, Kind, Rows, Shaped

if TYPE_CHECKING:
    from polymodal.core.describe import Description


@runtime_checkable
class Store(Protocol):
    """Holds m values: an ndarray, memory map, `Ragged`, `Texts` or `Files`."""

    def __len__(self) -> int:
        """Number of values held."""

    def __getitem__(self, rows: Any) -> Any:
        """One value, or a batch of values for several rows."""


@dataclass(frozen=True, eq=False)
class Modality:
    """One column: `store` holds values once, `index` (n,) says which one each row uses; -1 means missing.

    Raises:
        ModalityError: an index that points outside the store.
    """

    store: Store
    index: Int[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if len(self.index) and (self.index.min() < -1 or self.index.max() >= len(self.store)):
            raise ModalityError(
                f"Modality needs an index within -1..{len(self.store) - 1} (its store holds {len(self.store)} values), "
                f"got {int(self.index.min())}..{int(self.index.max())}."
            )

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Rows) -> Modality:
        """The same store, fewer (or repeated) rows: copies integers only."""
        return Modality(self.store, np.atleast_1d(self.index[rows]))

    @property
    def present(self) -> Bool[np.ndarray, " n"]:
        """True on the rows that have this modality."""
        return self.index >= 0

    @property
    def kind(self) -> Kind:
        """Read off the store: vector (d,), grid (height, width[, channels]), sequence (T, d), sound, text."""
        if isinstance(self.store, Texts):
            return "text"
        if isinstance(self.store, Files):
            return self.store.kind
        if isinstance(self.store, Ragged):
            return "sound" if self.store.rate is not None and self.store.step_shape == () else "sequence"
        return "vector" if cast(np.ndarray, self.store).ndim == 2 else "grid"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value, without lengths that vary: (d,), (h, w, c), a sequence's step shape, () for text."""
        if isinstance(self.store, Texts):
            return ()
        if isinstance(self.store, Ragged):
            return self.store.step_shape
        if isinstance(self.store, Files):
            size = getattr(self.store.reader, "size", None)
            return (*size, 3) if size else ()
        return tuple(cast(np.ndarray, self.store).shape[1:])

    def observed(self) -> Any:
        """Values of the rows that have this modality, in row order (a value used twice stands twice)."""
        return self.store[self.index[self.present]]

    def values(self) -> Any:
        """All values in row order; raises where a row is missing."""
        if not self.present.all():
            missing = int((~self.present).sum())
            raise ModalityError(
                f"values() needs every row to be present, got {missing} missing. Use observed(), or data.complete()."
            )
        return self.store[self.index]

    def used(self) -> tuple[Int[np.ndarray, " u"], Int[np.ndarray, " n"]]:
        """Positions of the stored values that some row uses, each once; and for each row which of them it uses, -1: none.

        To do something once for each value, and let rows go on sharing what comes out: `Modality(function(store[used]), index)`.
        """
        used, inverse = np.unique(self.index[self.present], return_inverse=True)
        index = np.full(len(self), -1, dtype=np.int64)
        index[self.present] = inverse
        return used, index

    def compact(self) -> Modality:
        """Only the values that some row uses: what to keep when a large store has been cut down."""
        used, index = self.used()
        store = self.store
        kept: Store = (
            Files([store.paths[i] for i in used], store.reader) if isinstance(store, Files) else store[used]
        )
        return Modality(Texts(kept) if isinstance(kept, list) else kept, index)

    @cached_property
    def identity(self) -> Int[np.ndarray, " n"]:
        """One number a row, equal exactly where the values are equal; -1 where missing.

        What decides which pairs are positives: rows that hold the same thing are never each other's negatives.
        Files count as equal when their paths are. Costs one pass over the stored values.
        """
        used, index = self.used()
        codes: dict[Hashable, int] = {}
        numbers = np.fromiter(
            (codes.setdefault(_fingerprint(self.store, int(i)), len(codes)) for i in used),
            np.int64,
            len(used),
        )
        shared: np.ndarray = np.append(numbers, -1)[index]  # -1 reads the appended one
        return shared


def _fingerprint(store: Store, i: int) -> Hashable:
    if isinstance(store, Files):
        return str(store.paths[i])
    value = store[i]
    if isinstance(value, str):
        return value
    array = np.ascontiguousarray(value)
    return (array.shape, hashlib.blake2b(array.tobytes(), digest_size=16).digest())


class Modalities:
    """A frame with one row axis and named columns, each of which may be missing on any row.

    Args:
        columns: Name -> array, list (with `None` where a row lacks the modality), `Ragged`, `Texts`, `Files`,
            pandas or Arrow column, or `Modality`. All of one length.
        ids: One key per row, kept through slicing and reported by searches; 0..n-1 by default.
        nan: What a NaN in an array means: an error (default), or that the row lacks this modality.

    Raises:
        ModalityError: no columns, unequal lengths, NaN or infinity, an empty value, ids of another length.

    Relations:
        * `data[rows][more] == data[rows[more]]`: slicing composes.
        * `data.select(*data.names)` is `data`; `data.complete()` has every modality on every row.

    Examples:
        >>> data = Modalities({"image": np.eye(3), "text": ["a cat", None, "a dog"]})
        >>> len(data), data.names, data["text"].present.tolist()
        (3, ('image', 'text'), [True, False, True])
        >>> data.complete().ids.tolist()
        [0, 2]
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        *,
        ids: Sequence[Any] | np.ndarray | None = None,
        nan: NaNPolicy = "raise",
    ) -> None:
        if not columns:
            raise ModalityError(
                'Modalities needs at least one named column, got none. Try Modalities({"image": X, "text": texts}).'
            )
        built: dict[str, Modality] = {}
        for name, values in columns.items():
            if not isinstance(name, str) or not name:
                raise ModalityError(f"Modality names must be non-empty strings, got {name!r}.")
            built[name] = values if isinstance(values, Modality) else Modality(*as_column(name, values, nan))
        lengths = {name: len(column) for name, column in built.items()}
        if len(set(lengths.values())) > 1:
            raise ModalityError(
                f"Modalities must have one row axis, got lengths {lengths}. "
                "If rows are not paired, use Modalities.join({...}, on={name: ids})."
            )
        n = next(iter(lengths.values()))
        keys = np.arange(n) if ids is None else np.asarray(ids)
        if keys.shape != (n,):
            raise ModalityError(f"ids needs one key per row ({n}), got shape {keys.shape}.")
        self._columns = built
        self._ids = keys

    @classmethod
    def of(cls, data: Any) -> Modalities:
        """Convert once, at the border: a `Modalities` passes through, a mapping is built."""
        if isinstance(data, cls):
            return data
        if isinstance(data, Mapping):
            return cls(data)
        raise ModalityError(
            f'Expected named modalities, a dict such as {{"image": X, "text": texts}} or a Modalities; got {type(data).__name__}. '
            "A list of arrays has no names: say which modality each one is."
        )

    @classmethod
    def join(
        cls,
        columns: Mapping[str, Any],
        *,
        on: Mapping[str, Any],
        how: Literal["outer", "inner"] = "outer",
        nan: NaNPolicy = "raise",
    ) -> Modalities:
        """Bring modalities of different rows together by key; values are never copied.

        A key that stands k times in one modality and once in another gives k rows that share the single value
        (five captions of one picture). `outer` keeps keys that only some modalities have: unpaired data.

        Args:
            columns: Name -> values, as for `Modalities`.
            on: Name -> one key per value of that modality.
            how: Keep all keys, or only those that every modality has.
            nan: As for `Modalities`.

        Complexity:
            O(rows of the result x modalities).
        """
        if set(columns) != set(on):
            raise ModalityError(
                f"join needs keys for every modality: columns {sorted(columns)}, on {sorted(on)}."
            )
        built = {
            name: v if isinstance(v, Modality) else Modality(*as_column(name, v, nan))
            for name, v in columns.items()
        }
        places: dict[str, dict[Hashable, list[int]]] = {}
        order: dict[Hashable, None] = {}
        for name, column in built.items():
            keys = list(on[name])
            if len(keys) != len(column):
                raise ModalityError(
                    f"join needs one key per value of {name!r} ({len(column)}), got {len(keys)}."
                )
            where: dict[Hashable, list[int]] = {}
            for i, key in enumerate(keys):
                where.setdefault(key, []).append(i)
                order.setdefault(key)
            places[name] = where
        if how == "inner":
            order = {key: None for key in order if all(key in where for where in places.values())}
        rows: dict[str, list[int]] = {name: [] for name in built}
        ids: list[Hashable] = []
        for key in order:
            found = {name: where.get(key, [-1]) for name, where in places.items()}
            repeats = _join_length(key, found)
            ids.extend([key] * repeats)
            for name, positions in found.items():
                rows[name].extend(positions * repeats if len(positions) == 1 else positions)
        joined = {}
        for name, column in built.items():
            chosen = np.asarray(rows[name], dtype=np.int64)
            joined[name] = Modality(
                column.store, np.where(chosen < 0, -1, column.index[chosen]) if len(column) else chosen
            )
        return cls(joined, ids=_key_array(ids))

    # --- rows and columns -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def shape(self) -> tuple[int]:
        """(rows,): what scikit-learn's splitters ask for."""
        return (len(self),)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in the order they were given."""
        return tuple(self._columns)

    @property
    def ids(self) -> Shaped[np.ndarray, " n"]:
        """One key per row."""
        return self._ids

    @property
    def present(self) -> dict[str, Bool[np.ndarray, " n"]]:
        """Name -> True on the rows that have it."""
        return {name: column.present for name, column in self._columns.items()}

    def keys(self) -> tuple[str, ...]:
        """The names: makes `dict(data)` work."""
        return self.names

    def items(self) -> Iterator[tuple[str, Modality]]:
        """Pairs of name and column."""
        return iter(self._columns.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    @overload
    def __getitem__(self, key: str) -> Modality: ...
    @overload
    def __getitem__(self, key: Sequence[int] | slice | np.ndarray) -> Modalities: ...
    def __getitem__(self, key: Any) -> Modality | Modalities:
        """A name gives that column; a slice, integers or a Boolean mask give those rows (integers are copied, values not)."""
        if isinstance(key, str):
            self._require([key])
            return self._columns[key]
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # scikit-learn's splitters write data[rows, ...]
        rows = key if isinstance(key, slice) else np.atleast_1d(np.asarray(key))
        if isinstance(rows, np.ndarray):
            rows = self._check_rows(rows)
        return self._with({name: column[rows] for name, column in self._columns.items()}, self._ids[rows])

    def select(self, *names: str) -> Modalities:
        """Only these modalities, in this order."""
        self._require(names)
        return self._with({name: self._columns[name] for name in names}, self._ids)

    def drop(self, *names: str) -> Modalities:
        """All modalities but these."""
        self._require(names)
        return self.select(*(name for name in self.names if name not in names))

    def assign(self, columns: Mapping[str, Any], *, nan: NaNPolicy = "raise") -> Modalities:
        """A copy with columns added or replaced."""
        return type(self)({**self._columns, **Modalities(columns, nan=nan)._columns}, ids=self._ids)

    def complete(self) -> Modalities:
        """Only the rows that have every modality."""
        whole: np.ndarray = np.logical_and.reduce(list(self.present.values()))
        return self[whole]

    def without(self, name: str, rows: Rows = slice(None)) -> Modalities:
        """A copy in which `rows` lack the modality `name`: how a sensor that fails is simulated."""
        column = self[name]
        index = column.index.copy()
        index[rows] = -1
        return self._with({**self._columns, name: Modality(column.store, index)}, self._ids)

    @classmethod
    def concat(cls, parts: Sequence[Modalities]) -> Modalities:
        """Rows of several frames one after the other; a modality that a frame lacks is missing on its rows.

        Frames that share a store (slices of one data set) keep sharing it.
        """
        from polymodal.core.concat import concat_columns

        return cls(concat_columns(parts), ids=np.concatenate([p.ids for p in parts]))

    def describe(self) -> Description:
        """What was understood: rows, kinds, shapes, lengths, missing pattern, duplicates, suspicious columns."""
        from polymodal.core.describe import describe

        return describe(self)

    def __repr__(self) -> str:
        parts = []
        for name, column in self._columns.items():
            missing = int((~column.present).sum())
            shape = "x".join(map(str, column.shape))
            parts.append(
                f"{name}: {column.kind}{' ' + shape if shape else ''}{f', {missing} missing' if missing else ''}"
            )
        return f"Modalities({len(self)} rows; {'; '.join(parts)})"

    # --- inside -----------------------------------------------------------------------------------------------

    def _with(self, columns: dict[str, Modality], ids: np.ndarray) -> Modalities:
        made = object.__new__(type(self))
        made._columns = columns
        made._ids = ids
        return made

    def _require(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self._columns]
        if unknown:
            raise ModalityError(
                f"Unknown modalities {unknown}; the data have {list(self.names)}.{suggest(unknown[0], self.names)}"
            )

    def _check_rows(self, rows: np.ndarray) -> np.ndarray:
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ModalityError(f"A mask of rows needs shape ({len(self)},), got {rows.shape}.")
            return rows
        if rows.size == 0:
            return rows.astype(np.int64)
        if rows.dtype.kind not in "iu":
            raise ModalityError(
                f"Rows are chosen by a slice, integers or a Boolean mask, got {rows.dtype}. A modality is chosen by its name."
            )
        if rows.min() < -len(self) or rows.max() >= len(self):
            raise IndexError(f"Row {int(rows.max())} is out of range: the data have {len(self)} rows.")
        return rows


def _join_length(key: Hashable, found: Mapping[str, list[int]]) -> int:
    many = {name: len(rows) for name, rows in found.items() if len(rows) > 1}
    if len(set(many.values())) > 1:
        raise ModalityError(
            f"join cannot pair key {key!r}: it stands {many} times. One modality may repeat a key "
            "(five captions of one picture), or all that repeat it must do so equally often."
        )
    return next(iter(many.values()), 1)


def _key_array(ids: list[Hashable]) -> np.ndarray:
    simple = all(isinstance(i, str) for i in ids) or all(isinstance(i, int | np.integer) for i in ids)
    if simple and ids:
        return np.asarray(ids)
    out = np.empty(len(ids), dtype=object)
    out[:] = ids
    return out

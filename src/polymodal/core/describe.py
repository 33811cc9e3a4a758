"""`describe`: what was understood of data, and what looks odd about them. Bounded work, however large the data are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.core.errors import PolymodalError
from polymodal.core.files import Files
from polymodal.core.oddities import about_columns, about_rows, about_values
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts
from polymodal.core.typing import Kind

if TYPE_CHECKING:
    from polymodal.core.modalities import Modalities, Modality

SAMPLED_ROWS = 20_000
SAMPLED_NUMBERS = 20_000_000
SAMPLED_FILES = 64


@dataclass(frozen=True)
class ModalityDescription:
    """One modality as it was understood. Fields that do not apply to a kind are None.

    Args:
        name: The user's name.
        kind: vector, grid, sequence, sound or text.
        shape: Of one value, without lengths that vary.
        dtype: Type of the stored numbers; None for texts and for files that could not be read.
        missing: Rows that lack it.
        values: Different stored values in use; fewer than rows where rows share them.
        lengths: Least, median and most steps of a sequence, samples of a sound, or characters of a text.
        range: Least and greatest number.
        rate: Steps per second, where known.
        example: A value in a few characters.
        on_disk: Whether values are read from files when needed.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: str | None
    missing: int
    values: int
    lengths: tuple[float, float, float] | None
    range: tuple[float, float] | None
    rate: float | None
    example: str
    on_disk: bool


@dataclass(frozen=True)
class MetadataDescription:
    """One column that is known about the rows and not learned from."""

    name: str
    dtype: str
    distinct: int
    missing: int
    most_common: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Description:
    """What was understood of a data set. `str()` is for people, `to_dict()` for programs.

    Args:
        rows: How many.
        complete: Rows that have every modality.
        pairing: paired, partly paired, unpaired, or one modality.
        modalities: One entry each.
        patterns: (modalities that are present, rows), the most frequent first.
        shared: Modality -> rows that use a value which another row uses, too (captions of one picture).
        duplicates: Rows (of those looked at) that equal an earlier row in everything.
        warnings: What looks odd, as sentences.
        metadata: One entry per column of labels and keys.
        notes: How columns were understood, where a reader said so.
        sampled: How many rows were looked at, or None where it was all of them.
    """

    rows: int
    complete: int
    pairing: str
    modalities: tuple[ModalityDescription, ...]
    patterns: tuple[tuple[tuple[str, ...], int], ...]
    shared: dict[str, int]
    duplicates: int
    warnings: tuple[str, ...]
    metadata: tuple[MetadataDescription, ...] = ()
    notes: tuple[str, ...] = ()
    sampled: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        plain = asdict(self)
        plain["patterns"] = [{"present": list(names), "rows": rows} for names, rows in self.patterns]
        return plain

    def __str__(self) -> str:
        lines = [
            f"{self.rows:,} rows, {len(self.modalities)} {_plural('modality', len(self.modalities))}, {self.pairing}"
        ]
        width = max(len(m.name) for m in self.modalities)
        lines += [f"  {m.name:<{width}}  {_line(m, self)}" for m in self.modalities]
        if len(self.patterns) > 1:
            lines.append("Rows by what they have:")
            for names, rows in self.patterns[:8]:
                lines.append(f"  {rows:>8,}  {' + '.join(names) if names else '(nothing)'}")
            if len(self.patterns) > 8:
                lines.append(f"  and {len(self.patterns) - 8} other patterns")
        if self.metadata:
            lines.append("Metadata (not learned from):")
            wide = max(len(m.name) for m in self.metadata)
            lines += [f"  {m.name:<{wide}}  {_metadata_line(m)}" for m in self.metadata]
        if self.notes:
            lines += ["How it was read:", *(f"  {note}" for note in self.notes)]
        lines.append("Worth a look:" if self.warnings else "Nothing suspicious found.")
        lines += [f"  ! {warning}" for warning in self.warnings]
        if self.sampled is not None:
            lines.append(f"Values were looked at in {self.sampled:,} of {self.rows:,} rows, evenly spaced.")
        return "\n".join(lines)


def describe(
    data: Modalities | Mapping[str, Any],
    *,
    metadata: Mapping[str, np.ndarray] | None = None,
    notes: Sequence[str] = (),
) -> Description:
    """Rows, kinds, shapes, lengths, ranges, the missing pattern, pairing, duplicates, and what looks odd.

    Args:
        data: The modalities.
        metadata: Columns that are known about the rows, as in a `Dataset`.
        notes: Sentences to carry along: how a reader understood the columns.

    Complexity:
        At most 20,000 rows, 20 million numbers and 64 files a modality are looked at; presence is counted on all rows.

    Relations:
        * `describe(data) == describe(dict(data))`: what is described does not depend on how it came.
    """
    from polymodal.core.modalities import Modalities

    frame = Modalities.of(data)
    rows = _sample(frame)
    sample = frame if len(rows) == len(frame) else frame[rows]
    warnings: list[str] = []
    described = []
    looked_at: dict[str, Any] = {}
    for name, column in frame.items():
        values, problem = _values(sample[name])
        if problem:
            warnings.append(f"{name}: {problem}")
        else:
            looked_at[name] = values
            warnings += about_values(name, column.kind, values)
        described.append(_describe_one(name, column, values))
    patterns = _patterns(frame)
    shared = {name: _shared(column) for name, column in frame.items()}
    duplicates = _duplicates(sample)
    warnings += about_columns(looked_at)
    warnings += about_rows(frame, duplicates, len(sample))
    return Description(
        rows=len(frame),
        complete=int(np.logical_and.reduce(list(frame.present.values())).sum()),
        pairing=_pairing(frame, shared),
        modalities=tuple(described),
        patterns=patterns,
        shared={name: count for name, count in shared.items() if count},
        duplicates=duplicates,
        warnings=tuple(warnings),
        metadata=tuple(_describe_metadata(k, v) for k, v in (metadata or {}).items()),
        notes=tuple(notes),
        sampled=len(rows) if len(rows) < len(frame) else None,
    )


# --- what is looked at ----------------------------------------------------------------------------------------


def _sample(data: Modalities) -> np.ndarray:
    widest = max(_width(column) for _, column in data.items())
    most = int(min(SAMPLED_ROWS, max(100, SAMPLED_NUMBERS // max(1, widest))))
    n = len(data)
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).astype(np.int64))


def _width(column: Modality) -> int:
    """Numbers in one value, about."""
    store = column.store
    if isinstance(store, Texts | Files):
        return 1
    if isinstance(store, Ragged):
        return int(
            np.prod(store.step_shape, dtype=np.int64) * max(1, len(store.values) // max(1, len(store)))
        )
    return int(np.prod(column.shape, dtype=np.int64))


def _values(column: Modality) -> tuple[Any, str]:
    """The values to look at, or why they cannot be read. Of files, a few."""
    used = column.index[column.present]
    if isinstance(column.store, Files):
        distinct = np.unique(used)
        used = (
            distinct[np.linspace(0, len(distinct) - 1, min(SAMPLED_FILES, len(distinct))).astype(int)]
            if len(distinct)
            else distinct
        )
    try:
        return (column.store[used] if len(used) else None), ""
    except PolymodalError as error:
        return None, str(error)


def _describe_one(name: str, column: Modality, values: Any) -> ModalityDescription:
    store = column.store
    numbers = (
        values.values if isinstance(values, Ragged) else values if isinstance(values, np.ndarray) else None
    )
    lengths = None
    if isinstance(values, Ragged) and len(values):
        lengths = _three(values.lengths)
    elif column.kind == "text" and values:
        lengths = _three(np.array([len(t) for t in values]))
    filled = numbers is not None and numbers.size
    return ModalityDescription(
        name=name,
        kind=column.kind,
        shape=tuple(numbers.shape[1:]) if isinstance(store, Files) and numbers is not None else column.shape,
        dtype=None if numbers is None else str(numbers.dtype),
        missing=int((~column.present).sum()),
        values=len(column.used()[0]),
        lengths=lengths,
        range=(float(numbers.min()), float(numbers.max())) if filled else None,  # type: ignore[union-attr]
        rate=values.rate if isinstance(values, Ragged) else None,
        example=_example(column),
        on_disk=isinstance(store, Files | np.memmap),
    )


def _three(lengths: np.ndarray) -> tuple[float, float, float]:
    return float(lengths.min()), float(np.median(lengths)), float(lengths.max())


def _example(column: Modality) -> str:
    used = column.index[column.present]
    if not len(used):
        return ""
    if isinstance(column.store, Files):
        return column.store.paths[int(used[0])].name
    if isinstance(column.store, Texts):
        text = " ".join(column.store[int(used[0])].split())
        return text if len(text) <= 60 else text[:57] + "..."
    return ""


def _patterns(data: Modalities) -> tuple[tuple[tuple[str, ...], int], ...]:
    table = np.column_stack(list(data.present.values()))
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    found = [
        (tuple(n for n, has in zip(data.names, row, strict=True) if has), int(c))
        for row, c in zip(kinds, counts, strict=True)
    ]
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


def _shared(column: Modality) -> int:
    used = column.index[column.present]
    if not len(used):
        return 0
    counts = np.bincount(used)
    return int(counts[counts > 1].sum())


def _pairing(data: Modalities, shared: Mapping[str, int]) -> str:
    if len(data.names) == 1:
        return "one modality"
    complete = np.logical_and.reduce(list(data.present.values()))
    if complete.all():
        many = [name for name, count in shared.items() if count]
        return "paired" + (f", several rows share one {' and one '.join(many)}" if many else "")
    several = np.sum(list(data.present.values()), axis=0) > 1
    if not several.any():
        return "unpaired (no row has two modalities)"
    return f"partly paired ({int(complete.sum()):,} rows have everything)"


def _duplicates(sample: Modalities) -> int:
    if not len(sample):
        return 0
    keys = [c.index if isinstance(c.store, Files) else c.identity for _, c in sample.items()]
    table = np.column_stack(keys)
    table = table[(table >= 0).any(axis=1)]
    return len(table) - len(np.unique(table, axis=0)) if len(table) else 0


def _describe_metadata(name: str, column: np.ndarray) -> MetadataDescription:
    values = column.tolist()
    empty = [v is None or v == "" or (isinstance(v, float) and np.isnan(v)) for v in values]
    counts = Counter(str(v) for v, gone in zip(values, empty, strict=True) if not gone)
    common = tuple((v if len(v) <= 30 else v[:27] + "...", c) for v, c in counts.most_common(3))
    dtype = "text" if column.dtype.kind in "OUS" else str(column.dtype)
    return MetadataDescription(name, dtype, len(counts), sum(empty), common)


# --- lines for people -----------------------------------------------------------------------------------------


def _line(m: ModalityDescription, whole: Description) -> str:
    parts = [m.kind if not m.shape else f"{m.kind} {' x '.join(map(str, m.shape))}"]
    if m.dtype:
        parts.append(m.dtype)
    if m.range is not None:
        parts.append(f"from {m.range[0]:.4g} to {m.range[1]:.4g}")
    if m.lengths is not None:
        unit = {"text": "characters", "sound": "samples"}.get(m.kind, "steps")
        least, middle, most = m.lengths
        span = f"{most:g} {unit}" if least == most else f"{least:g} to {most:g} {unit}, median {middle:g}"
        parts.append(span + (f" at {m.rate:g} per second" if m.rate else ""))
    if whole.shared.get(m.name):
        parts.append(f"{m.values:,} different, stored once each")
    parts.append(f"{m.missing:,} missing" if m.missing else "none missing")
    if m.on_disk:
        parts.append("read when needed")
    return ", ".join(parts) + (f', e.g. "{m.example}"' if m.example else "")


def _metadata_line(m: MetadataDescription) -> str:
    parts = [m.dtype, f"{m.distinct:,} different"]
    if m.missing:
        parts.append(f"{m.missing:,} empty")
    if m.most_common and m.most_common[0][1] > 1:
        parts.append("most often " + ", ".join(f"{v!r} ({c:,})" for v, c in m.most_common))
    return ", ".join(parts)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else "modalities"

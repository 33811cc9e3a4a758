"""Which column is what: the rules that turn a table into modalities and metadata, in one place.

A column that the caller names comes first. Then, in this order: paths of pictures or sound; lists of numbers and groups
`name_0, name_1, ...`; one text; the remaining numbers as the vector `table`. Everything else is metadata. A kind that the
caller has named (files, vectors, text) is not guessed any more.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import DataError, suggest
from polymodal.core.files import IMAGE_SUFFIXES
from polymodal.datasets.readers_values import MEDIA_SUFFIXES

Rule = Literal["files", "encoded", "text", "lists", "numbers"]
TEXT_NAMES = (
    "caption", "captions", "text", "transcript", "transcription", "sentence", "utterance", "description", "review",
    "title", "name", "question", "summary", "abstract", "comment", "keywords", "tags",
)  # fmt: skip
TEXT_ENDINGS = ("caption", "text", "transcript", "sentence", "description")
NOT_FEATURES = frozenset(
    [
        "label",
        "labels",
        "target",
        "targets",
        "y",
        "class",
        "classes",
        "category",
        "split",
        "fold",
        "group",
        "subset",
        "set",
        "rating",
        "stars",
        "id",
        "index",
        "idx",
        "row",
        "key",
        "uid",
        "row_id",
        "image_id",
        "sample_id",
        "timestamp",
        "date",
        "year",
        "speaker",
        "subject",
        "user",
        "fit",
    ]
)
NOT_FEATURE_ENDINGS = ("_id", "_index", "_idx", "_label", "_class", "_target", "_split", "_fold", "_group")
ID_NAMES = ("id", "ids", "row_id", "sample_id", "uid", "key")
FILE_WORDS = ("file_name", "filename", "file_path", "filepath", "file", "path", "name")


@dataclass
class Plan:
    """What each modality is made of, what remains as metadata, and a sentence for each decision."""

    modalities: dict[str, tuple[Rule, list[str]]] = field(default_factory=dict)
    metadata: list[str] = field(default_factory=list)
    id: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def used(self) -> set[str]:
        """Columns that some modality is made of."""
        return {column for _, columns in self.modalities.values() for column in columns}


def plan_columns(
    table: Any,
    *,
    where: str,
    modalities: Mapping[str, str | Sequence[str]] | None = None,
    target: str | None = None,
    id: str | None = None,
) -> Plan:
    """Decide what every column of an Arrow table is.

    Args:
        table: A `pyarrow.Table`.
        where: The table's name, for messages.
        modalities: Name -> column, columns, or a pattern such as `view_*`.
        target: A column that is metadata whatever it looks like.
        id: The column of row keys.

    Raises:
        DataError: a column that does not exist, or columns that do not go together.
    """
    names = list(table.column_names)
    for column in (target, id):
        if column is not None and column not in names:
            raise _unknown(column, names, where)
    plan = Plan(id=id)
    if id is None:
        plan.id = next((n for n in names if _plain(n) in ID_NAMES and _all_different(table[n])), None)
    held_back = {target, plan.id}
    for name, wanted in (modalities or {}).items():
        columns = _expand([wanted] if isinstance(wanted, str) else list(wanted), names, where)
        plan.modalities[name] = (_rule_for(name, columns, table, where), columns)
    taken = plan.used | {c for c in held_back if c is not None}
    _guess(plan, table, [n for n in names if n not in taken])
    plan.metadata = [n for n in names if n not in plan.used and n != plan.id]
    return plan


def _guess(plan: Plan, table: Any, free: list[str]) -> None:
    rules = {rule for rule, _ in plan.modalities.values()}
    if not rules & {"files", "encoded"}:
        _guess_files(plan, table, free)
    if not rules & {"lists", "numbers"}:
        _guess_vectors(plan, table, free)
    if "text" not in rules:
        _guess_text(plan, table, free)
    if not rules & {"lists", "numbers"}:
        numbers = [c for c in free if c not in plan.used and is_number(table[c]) and not _is_label(c)]
        counters = [c for c in numbers if _counts_rows(table[c])]
        if counters:
            plan.notes.append(f"{_list(counters)}: counts the rows, kept as metadata")
            numbers = [c for c in numbers if c not in counters]
        if numbers:
            name = _free_name("table", plan)
            plan.modalities[name] = ("numbers", numbers)
            plan.notes.append(f"{name}: the {len(numbers)} remaining columns of numbers, {_list(numbers)}")


def _guess_files(plan: Plan, table: Any, free: list[str]) -> None:
    found = [c for c in free if is_paths(table[c])]
    short = [_media_name(c, table[c]) for c in found]
    for column, name in zip(found, short, strict=True):
        chosen = name if short.count(name) == 1 else column
        plan.modalities[_free_name(chosen, plan)] = ("files", [column])
        plan.notes.append(f"{chosen}: files named in column {column!r}")

    for column in free:
        if is_encoded(table[column]):
            plan.modalities[_free_name(column, plan)] = ("encoded", [column])
            plan.notes.append(f"{column}: pictures held in column {column!r}")


def _guess_vectors(plan: Plan, table: Any, free: list[str]) -> None:
    for column in free:
        if is_number_list(table[column]):
            plan.modalities[_free_name(column, plan)] = ("lists", [column])
            plan.notes.append(f"{column}: lists of numbers in column {column!r}")
    for name, columns in _groups([c for c in free if is_number(table[c])]).items():
        plan.modalities[_free_name(name, plan)] = ("numbers", columns)
        plan.notes.append(f"{name}: columns {columns[0]} to {columns[-1]}")


def _guess_text(plan: Plan, table: Any, free: list[str]) -> None:
    texts = [c for c in free if c not in plan.used and is_text(table[c]) and not _empty(table[c])]
    ranked = [(rank, c) for c in texts if (rank := _text_rank(c)) is not None]
    if ranked:
        column = min(ranked)[1]
        why = "by its name"
    else:
        varied = [(v, -i, c) for i, c in enumerate(texts) if (v := _variety(table[c])) is not None]
        if not varied:
            return
        column = max(varied)[2]
        why = "as the most varied text"
    plan.modalities[_free_name(column, plan)] = ("text", [column])
    others = [
        c for c in texts if c != column and (_text_rank(c) is not None or _variety(table[c]) is not None)
    ]
    kept = f"; other texts are kept as metadata: {_list(others)}" if others else ""
    plan.notes.append(f"{column}: text of column {column!r}, chosen {why}{kept}")


# --- what a column looks like ---------------------------------------------------------------------------------


def is_number(column: Any) -> bool:
    """Integers or floating point numbers, one per row."""
    import pyarrow as pa

    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def is_number_list(column: Any) -> bool:
    """Lists of numbers, or lists of lists of numbers."""
    import pyarrow as pa

    kind = column.type
    if not _is_list(kind):
        return False
    inner = kind.value_type
    while _is_list(inner):
        inner = inner.value_type
    return bool(pa.types.is_integer(inner) or pa.types.is_floating(inner))


def is_text(column: Any) -> bool:
    """Strings, or lists of strings."""
    import pyarrow as pa

    kind = (
        column.type.value_type
        if _is_list(column.type) or pa.types.is_dictionary(column.type)
        else column.type
    )
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_paths(column: Any) -> bool:
    """Strings that all end like a picture, or all like sound."""
    if not is_text(column) or _is_list(column.type):
        return False
    suffixes = set()
    for value in column.to_pylist():
        if value:
            suffixes.add("." + value.rsplit(".", 1)[-1].lower() if "." in value else "")
            if not suffixes <= MEDIA_SUFFIXES:
                return False
    return bool(suffixes)


def is_encoded(column: Any) -> bool:
    """Pictures inside the table, as Hugging Face writes them: a struct with `bytes` (and `path`)."""
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_struct(kind) and any(field.name == "bytes" for field in kind))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _empty(column: Any) -> bool:
    return bool(column.null_count == len(column))


def _all_different(column: Any) -> bool:
    if column.null_count or not (is_number(column) or is_text(column)) or _is_list(column.type):
        return False
    return len(column.unique()) == len(column)


def _counts_rows(column: Any) -> bool:
    """Integers 0, 1, 2, ... or 1, 2, 3, ...: where a row stood in some file, not a measurement."""
    import pyarrow as pa

    if (
        column.null_count
        or not pa.types.is_integer(column.type)
        or len(column) < 3
        or column[0].as_py() not in (0, 1)
    ):
        return False
    values = column.to_numpy()
    return bool((np.diff(values) == 1).all())


def _variety(column: Any) -> float | None:
    """Number of different texts, or None where they look like categories or keys: few of them, or single words."""
    if _is_list(column.type):
        return None
    values = [v for v in column.to_pylist() if v]
    words = sum(len(v.split()) for v in values[:1000]) / max(1, len(values[:1000]))
    different = len(set(values))
    return different if values and different >= len(values) / 2 and words >= 1.5 else None


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())


def _text_rank(column: str) -> int | None:
    plain = _plain(column)
    if plain in TEXT_NAMES:
        return TEXT_NAMES.index(plain)
    ending = next((e for e in TEXT_ENDINGS if plain.endswith("_" + e)), None)
    return None if ending is None else TEXT_NAMES.index(ending)


def _is_label(column: str) -> bool:
    plain = _plain(column)
    return plain in NOT_FEATURES or plain.endswith(NOT_FEATURE_ENDINGS)


def _media_name(column: str, values: Any) -> str:
    """`photo_file_name` -> photo; a column that only says "file" -> image or audio."""
    plain = _plain(column)
    if plain in FILE_WORDS:
        first = next(v for v in values.to_pylist() if v)
        return "image" if "." + first.rsplit(".", 1)[-1].lower() in IMAGE_SUFFIXES else "audio"
    return next((plain[: -len(word) - 1] for word in FILE_WORDS if plain.endswith("_" + word)), column)


def _groups(columns: Sequence[str]) -> dict[str, list[str]]:
    """`x_0, x_1, x_2` -> x: at least two, counted from 0 or 1 without a gap."""
    numbered: dict[str, dict[int, str]] = {}
    for column in columns:
        match = re.fullmatch(r"(.+?)[_.](\d+)", column)
        if match:
            numbered.setdefault(match[1], {})[int(match[2])] = column
    groups = {}
    for name, members in numbered.items():
        start = min(members)
        if len(members) > 1 and start in (0, 1) and set(members) == set(range(start, start + len(members))):
            groups[name] = [members[i] for i in sorted(members)]
    return groups


# --- what the caller named ------------------------------------------------------------------------------------


def _expand(wanted: list[str], names: list[str], where: str) -> list[str]:
    out: list[str] = []
    for item in wanted:
        if item in names:
            out.append(item)
            continue
        matched = [n for n in names if fnmatch.fnmatchcase(n, item)] if any(c in item for c in "*?[") else []
        matched = matched or _groups(names).get(item, [])
        if not matched:
            raise _unknown(item, names, where)
        out.extend(matched)
    return list(dict.fromkeys(out))


def _rule_for(name: str, columns: list[str], table: Any, where: str) -> Rule:
    if all(is_text(table[c]) for c in columns):
        paths = [c for c in columns if is_paths(table[c])]
        if not paths:
            return "text"
        if len(columns) == 1:
            return "files"
        raise DataError(
            f"{where}: modality {name!r} needs one column of paths, got {columns}. Give each its own modality."
        )
    if len(columns) == 1 and is_number_list(table[columns[0]]):
        return "lists"
    if len(columns) == 1 and is_encoded(table[columns[0]]):
        return "encoded"
    if all(is_number(table[c]) or str(table[c].type) == "bool" for c in columns):
        return "numbers"
    types = {c: str(table[c].type) for c in columns}
    raise DataError(
        f"{where}: modality {name!r} needs columns that go together (one of paths, one of lists, texts, or numbers), got {types}."
    )


def _unknown(column: str, names: list[str], where: str) -> DataError:
    return DataError(f"{where} has no column {column!r}; it has {_list(names, 20)}.{suggest(column, names)}")


def _free_name(name: str, plan: Plan) -> str:
    while name in plan.modalities:
        name += "_2"
    return name


def _list(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(map(repr, names[:most])) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )

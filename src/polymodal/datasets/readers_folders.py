"""A folder -> one table of rows: `metadata.csv`/`.jsonl`/`.parquet` (also in nested folders), a single table, or loose files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polymodal.core.errors import DataError
from polymodal.core.files import AUDIO_SUFFIXES, IMAGE_SUFFIXES
from polymodal.datasets.readers_columns import is_paths
from polymodal.datasets.readers_tables import TABLE_SUFFIXES, read_table

METADATA_FILES = tuple(f"metadata{suffix}" for suffix in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"))
SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
          "dev": "validation", "test": "test", "testing": "test"}  # fmt: skip
MEDIA = IMAGE_SUFFIXES | AUDIO_SUFFIXES


@dataclass
class Rows:
    """A table, the folder that each row's relative paths start from, and what was decided on the way."""

    table: Any
    folders: list[Path]
    where: str
    notes: list[str] = field(default_factory=list)


def read_folder(folder: Path) -> Rows:
    """Find the rows of a folder.

    Raises:
        DataError: an empty folder, several tables of which none is `metadata.*`, or pictures that no table names.
    """
    files = list(_walk(folder))
    if not files:
        raise DataError(
            f"{folder} is an empty folder. It needs pictures or sound with a metadata.csv (file_name, text, ...), or a table, or an NPZ."
        )
    described = [f for f in files if f.name.lower() in METADATA_FILES]
    if described:
        return _join_tables(folder, described, files)
    tables = [f for f in files if f.parent == folder and f.suffix.lower() in TABLE_SUFFIXES]
    media = [f for f in files if f.suffix.lower() in MEDIA]
    if len(tables) == 1:
        return _join_tables(folder, tables, files)
    if tables:
        naming = (
            [t for t in tables if any(is_paths(column) for column in read_table(t).columns)] if media else []
        )
        if len(naming) == 1:
            return _join_tables(folder, naming, files)
        raise DataError(
            f"{folder} needs one table, got {len(tables)}: {[t.name for t in tables[:6]]}. Name the one you mean, such as "
            f"{tables[0]}, or call it metadata{tables[0].suffix}."
        )
    if media:
        return _loose(folder, files)
    suffixes = sorted({f.suffix for f in files if f.suffix})[:8]
    raise DataError(
        f"{folder} needs a table ({', '.join(TABLE_SUFFIXES)}) or pictures or sound, got {len(files)} files of {suffixes}. "
        "An .npz or .npy file is read by naming it."
    )


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))


def _join_tables(folder: Path, paths: list[Path], files: list[Path]) -> Rows:
    import pyarrow as pa

    tables, folders = [], []
    media = sum(f.suffix.lower() in MEDIA for f in files)
    for path in paths:
        table = read_table(path)
        if media and path.name.lower() in METADATA_FILES and not any(is_paths(c) for c in table.columns):
            if "file_name" in table.column_names and not any(table["file_name"].to_pylist()):
                raise DataError(
                    f"{path}: column 'file_name' is empty on all {table.num_rows} rows, and {media} files lie beside it. "
                    "Fill in their paths, or read the table without them by moving it to a folder of its own."
                )
            raise DataError(
                f"{path} needs a column 'file_name' with the paths of the files, got columns {table.column_names} and {media} files "
                "beside it. Rename or add the column; every path must end like a picture or sound (.png, .jpg, .wav, ...)."
            )
        top = path.relative_to(folder).parts[0]
        if "split" not in table.column_names and top.lower() in SPLITS and len(paths) > 1:
            table = table.append_column("split", pa.array([SPLITS[top.lower()]] * table.num_rows))
        tables.append(table)
        folders.extend([path.parent] * table.num_rows)
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"{folder}: the tables {[str(p) for p in paths]} need columns of one type each ({error})."
        ) from None
    shown = ", ".join(str(p.relative_to(folder)) for p in paths[:4]) + (" ..." if len(paths) > 4 else "")
    notes = [f"rows: {joined.num_rows} of {shown}"]
    unnamed = media - len(
        {name for column in joined.columns if is_paths(column) for name in column.to_pylist() if name}
    )
    if unnamed > 0 and len(paths) == 1:
        notes.append(f"{unnamed} of {media} picture or sound files are not named by {shown} and are left out")
    return Rows(joined, folders, str(paths[0] if len(paths) == 1 else folder), notes)


def _loose(folder: Path, files: list[Path]) -> Rows:
    """Files that share a name (`a.png`, `a.wav`, `a.txt`) are one row; the folder they lie in is their label."""
    import pyarrow as pa

    rows: dict[str, dict[str, str]] = {}
    for file in files:
        suffix = file.suffix.lower()
        column = (
            "image"
            if suffix in IMAGE_SUFFIXES
            else "audio"
            if suffix in AUDIO_SUFFIXES
            else "text"
            if suffix == ".txt"
            else None
        )
        if column is None:
            continue
        relative = file.relative_to(folder)
        row = rows.setdefault(relative.with_suffix("").as_posix(), {})
        if column in row:
            raise DataError(
                f"{folder} holds two {column} files of one name: {row[column]} and {relative}. Rename one."
            )
        row[column] = relative.as_posix()
    keys = [
        k for k, row in rows.items() if row.keys() & {"image", "audio"}
    ]  # a text of its own (a README) is no row
    columns: dict[str, list[str | None]] = {"id": list(keys)}
    for column in ("image", "audio"):
        if any(column in rows[k] for k in keys):
            columns[column] = [rows[k].get(column) for k in keys]
    if any("text" in rows[k] for k in keys):
        columns["text"] = [_text(folder / rows[k]["text"]) if "text" in rows[k] else None for k in keys]
    labels = [Path(k).parent.as_posix() for k in keys]
    if len(set(labels)) > 1:
        columns["label"] = [None if label == "." else label for label in labels]
    notes = [f"rows: {len(keys)} files found by name (no table); files that share a name are one row"]
    return Rows(pa.table(columns), [folder] * len(keys), str(folder), notes)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataError(f"{path} needs UTF-8 text and holds other bytes. Convert it with iconv.") from None

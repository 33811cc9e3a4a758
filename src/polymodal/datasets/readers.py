"""`read`: what lies on disk -> `Dataset`. A folder, a table or arrays, by rules that are few and that `describe` repeats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polymodal.core.convert import NaNPolicy
from polymodal.core.errors import DataError
from polymodal.core.modalities import Modalities, Modality
from polymodal.datasets.dataset import Dataset
from polymodal.datasets.readers_arrays import read_arrays
from polymodal.datasets.readers_columns import Plan, plan_columns
from polymodal.datasets.readers_folders import Rows, read_folder
from polymodal.datasets.readers_tables import TABLE_SUFFIXES, read_table
from polymodal.datasets.readers_values import (
    files_column,
    lists_column,
    metadata_column,
    numbers_column,
    pictures_column,
    texts_column,
)

LAYOUT_FILE = "modalities.json"
LAYOUT_KEY = b"polymodal"


@dataclass(frozen=True)
class _Options:
    modalities: Mapping[str, str | Sequence[str]] | None
    target: str | None
    id: str | None
    image_size: tuple[int, int]
    sample_rate: int
    nan: NaNPolicy


def read(
    path: str | Path,
    *,
    modalities: Mapping[str, str | Sequence[str]] | None = None,
    target: str | None = None,
    id: str | None = None,
    image_size: int | tuple[int, int] = 64,
    sample_rate: int = 16_000,
    nan: NaNPolicy = "raise",
) -> Dataset:
    """Read a data set from disk; pictures and sound stay there until they are used.

    What a column becomes, unless `modalities` names it: paths of pictures or sound -> a modality of files (`image`,
    `audio`); lists of numbers, and groups `x_0, x_1, ...` -> a vector (or sequence) each; one text (a column called
    caption, text, transcript, description, title, ... or else the most varied one) -> a text; the other numbers ->
    one vector `table`; labels, splits, keys and categories -> metadata. `describe` prints what was decided.

    Args:
        path: A folder (with `metadata.csv`, `.jsonl` or `.parquet`, or one table, or loose files that share names), a
            table (CSV, TSV, JSON lines, JSON, Parquet, Feather, Arrow), or `.npz`/`.npy` arrays.
        modalities: Name -> column, several columns (texts are joined, numbers side by side), or a pattern
            (`gene_*`). A kind that is named here (files, texts, vectors) is not guessed any more.
        target: A column that must be metadata, whatever it looks like.
        id: The column of row keys; by default `id` where its values differ, else the row number.
        image_size: Height and width in pixels that pictures are fitted to (one number: a square).
        sample_rate: Samples per second that sound is brought to.
        nan: What NaN in arrays and lists means: an error, or that the row lacks this modality.

    Raises:
        DataError: what cannot be read, with the file, row and column.

    Relations:
        * `read(write(dataset, path))` holds the same values as `dataset`.

    Complexity:
        O(rows); the headers of the first 5,000 files are looked at, the files themselves are not read.
    """
    place = Path(path).expanduser()
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    options = _Options(modalities, target, id, size, sample_rate, nan)
    if place.is_dir():
        return _build(read_folder(place), options, place.resolve().name, _sidecar(place))
    suffix = place.suffix.lower()
    if not place.exists():
        raise DataError(
            f"{place} does not exist. Pass a folder, a table ({', '.join(TABLE_SUFFIXES)}), or .npz/.npy arrays."
        )
    if suffix in (".npz", ".npy"):
        return read_arrays(place, modalities=modalities, target=target, id=id, nan=nan)
    if suffix not in TABLE_SUFFIXES:
        raise DataError(
            f"{place} is of a type that is not read ({suffix or 'no suffix'}). Use a folder, a table "
            f"({', '.join(TABLE_SUFFIXES)}), or .npz/.npy arrays."
        )
    table = read_table(place)
    rows = Rows(
        table, [place.parent] * table.num_rows, str(place), [f"rows: {table.num_rows} of {place.name}"]
    )
    return _build(rows, options, place.stem, _embedded(table))


def dataset_from_table(
    table: Any,
    *,
    folder: Path,
    name: str,
    modalities: Mapping[str, str | Sequence[str]] | None = None,
    target: str | None = None,
) -> Dataset:
    """An Arrow table in memory, by the rules of `read`; relative paths start at `folder`."""
    options = _Options(modalities, target, None, (64, 64), 16_000, "raise")
    rows = Rows(table, [folder] * table.num_rows, f"the {name}", [f"rows: {table.num_rows}"])
    return _build(rows, options, name, _embedded(table))


def _build(rows: Rows, options: _Options, name: str, layout: dict[str, Any] | None) -> Dataset:
    layout = layout or {}
    chosen = options.modalities if options.modalities is not None else layout.get("modalities")
    plan = plan_columns(
        rows.table,
        where=rows.where,
        modalities=chosen,
        target=options.target,
        id=options.id or layout.get("id"),
    )
    if chosen:
        _leave_out_absent_files(plan, rows, set(chosen))
    built = {}
    for modality, (rule, columns) in plan.modalities.items():
        shape = layout.get("shapes", {}).get(modality)
        built[modality] = _reshape(
            _column(modality, rule, columns, rows, options), shape, layout.get("rates", {}).get(modality)
        )
    if not built:
        raise DataError(
            f"{rows.where} needs at least one modality: paths of pictures or sound, lists of numbers, a text, or numbers; its columns "
            f"{rows.table.column_names} look like labels. Name one: modalities={{'text': 'column'}} (--modality text=column)."
        )
    metadata = {column: metadata_column(rows.table[column]) for column in plan.metadata}
    ids = None if plan.id is None else metadata_column(rows.table[plan.id])
    notes = rows.notes + ([f"row keys: column {plan.id!r}"] if plan.id else []) + plan.notes
    return Dataset(Modalities(built, ids=ids), metadata, name=name, description="\n".join(notes))


def _column(name: str, rule: str, columns: list[str], rows: Rows, options: _Options) -> Modality:
    table = rows.table
    where = f"{rows.where} column {columns[0]!r}"
    if rule == "files":
        return files_column(
            name,
            table[columns[0]].to_pylist(),
            rows.folders,
            where=where,
            image_size=options.image_size,
            sample_rate=options.sample_rate,
        )
    if rule == "encoded":
        return pictures_column(table[columns[0]], rows.folders, where=where, image_size=options.image_size)
    if rule == "text":
        return texts_column([table[c] for c in columns])
    if rule == "lists":
        return lists_column(name, table[columns[0]], options.nan)
    return numbers_column(name, {c: table[c] for c in columns}, where=rows.where, nan=options.nan)


def _leave_out_absent_files(plan: Plan, rows: Rows, named: set[str]) -> None:
    """A column that merely looks like paths does not stop someone who has said what the modalities are."""
    for modality, (rule, columns) in list(plan.modalities.items()):
        if rule != "files" or modality in named:
            continue
        paths = rows.table[columns[0]].to_pylist()
        if not any(
            (folder / path).is_file() for path, folder in zip(paths, rows.folders, strict=True) if path
        ):
            del plan.modalities[modality]
            plan.metadata.append(columns[0])
            plan.notes.append(
                f"{columns[0]!r} looks like paths, but none of the files exists: kept as metadata"
            )


def _reshape(column: Modality, shape: list[int] | None, rate: float | None) -> Modality:
    """Give back what a table cannot hold: the axes of a value, the rate of a signal."""
    from polymodal.core.ragged import Ragged

    store = column.store
    if isinstance(store, Ragged):
        return Modality(
            Ragged(store.values.reshape(-1, *(shape or store.step_shape)), store.offsets, rate), column.index
        )
    if shape and hasattr(store, "reshape"):
        return Modality(store.reshape(len(store), *shape), column.index)
    return column


def _sidecar(folder: Path) -> dict[str, Any] | None:
    file = folder / LAYOUT_FILE
    return _layout(file.read_bytes(), file) if file.is_file() else None


def _embedded(table: Any) -> dict[str, Any] | None:
    raw = (table.schema.metadata or {}).get(LAYOUT_KEY)
    return None if raw is None else _layout(raw, "the table's own notes")


def _layout(raw: bytes, where: object) -> dict[str, Any]:
    try:
        layout = json.loads(raw)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}). Mend or remove it.") from None
    if not isinstance(layout, dict) or not isinstance(layout.get("modalities", {}), dict):
        raise DataError(f'{where} needs an object such as {{"modalities": {{"text": "caption"}}}}.')
    return layout

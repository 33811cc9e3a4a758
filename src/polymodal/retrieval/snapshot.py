"""Snapshots: one version of a table as plain files that are mapped, not read. What makes search on disk as fast as in memory.

    <index>/cache/<version>/manifest.json    modality -> number of vectors
    <index>/cache/<version>/<i>.vectors      float32, row after row
    <index>/cache/<version>/<i>.arrow        id, part, metadata
    <index>/cache/<version>/<i>.faiss, .json approximate index and its measured recall, where one was asked for

A snapshot appears whole or not at all, holds nothing that the table does not, and may be deleted at any time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.atomic import atomic_folder
from polymodal.core.errors import StoreError
from polymodal.retrieval.lance import locked, scan
from polymodal.retrieval.layout import Layout
from polymodal.retrieval.shelf import Shelf

CACHE = "cache"


def take(folder: Path, table: Any, layout: Layout) -> tuple[dict[str, Shelf], Path | None]:
    """The shelves of the table's version, and the folder they are mapped from (None: kept in memory).

    Args:
        folder: The index.
        table: Checked out at one version.
        layout: Of the table.

    Complexity:
        The first time after a change one pass over the table; then nothing is read before it is searched.
    """
    place = folder / CACHE / str(table.version)
    found = _load(place, layout)
    if found is not None:
        return found, place
    try:
        (folder / CACHE).mkdir(exist_ok=True)
        with locked(folder / CACHE, ".lock"):
            found = _load(place, layout)  # another process may have made it meanwhile
            if found is None:
                with atomic_folder(place) as temporary:
                    _write(temporary, table, layout)
                _forget_others(place)
                found = _load(place, layout)
    except OSError:
        found = None  # a folder that cannot be written is searched all the same
    if found is not None:
        return found, place
    return _in_memory(table, layout), None


def _names(table: Any) -> list[str]:
    names: set[str] = set()
    for batch in scan(table, ["modality"]):
        names.update(batch.column("modality").unique().to_pylist())
    return sorted(names)


def _write(place: Path, table: Any, layout: Layout) -> None:
    import pyarrow as pa

    manifest = []
    for i, name in enumerate(_names(table)):
        with open(place / f"{i}.vectors", "wb") as file:
            rows, order = _read(table, name, layout, lambda block, file=file: file.write(block.tobytes()))
        if order is not None:
            vectors = _map(place / f"{i}.vectors", len(rows), layout)[order]
            (place / f"{i}.vectors").write_bytes(vectors.tobytes())
        with pa.OSFile(str(place / f"{i}.arrow"), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        manifest.append({"modality": name, "n": len(rows)})
    (place / "manifest.json").write_text(json.dumps(manifest))


def _in_memory(table: Any, layout: Layout) -> dict[str, Shelf]:
    shelves = {}
    for name in _names(table):
        blocks: list[np.ndarray] = []
        rows, order = _read(table, name, layout, blocks.append)
        vectors = np.concatenate(blocks)
        shelves[name] = Shelf(vectors if order is None else vectors[order], rows)
    return shelves


def _read(
    table: Any, name: str, layout: Layout, keep: Callable[[np.ndarray], Any]
) -> tuple[Any, np.ndarray | None]:
    """Rows of one modality in the order they were written; `order` puts vectors that came otherwise right."""
    import pyarrow as pa

    schema = layout.schema()
    batches, row_ids = [], []
    for batch in scan(table, [*schema.names, "vector"], name):
        keep(batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(len(batch), layout.dim))
        batches.append(batch.select(schema.names))
        row_ids.append(batch.column("_rowid").to_numpy())
    ids = np.concatenate(row_ids)
    rows = pa.Table.from_batches(batches).cast(schema).combine_chunks()
    if (np.diff(ids.astype(np.int64)) > 0).all():
        return rows, None
    order = np.argsort(ids, kind="stable")
    return rows.take(order), order


def _load(place: Path, layout: Layout) -> dict[str, Shelf] | None:
    import pyarrow as pa

    try:
        manifest = json.loads((place / "manifest.json").read_text())
        shelves = {}
        for i, entry in enumerate(manifest):
            rows = pa.ipc.open_file(pa.memory_map(str(place / f"{i}.arrow"))).read_all()
            vectors = _map(place / f"{i}.vectors", entry["n"], layout)
            if len(rows) != len(vectors) or rows.schema != layout.schema():
                return None
            shelves[entry["modality"]] = Shelf(vectors, rows)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid):
        return None
    return shelves


def _map(file: Path, n: int, layout: Layout) -> np.ndarray:
    if file.stat().st_size != 4 * n * layout.dim:
        raise StoreError(f"{file} is truncated.")
    return np.memmap(file, dtype=np.float32, mode="r", shape=(n, layout.dim))


def _forget_others(place: Path) -> None:
    """Older versions, and what a killed process left; those who still map them keep what they have."""
    for other in place.parent.iterdir():
        if other.is_dir() and other != place:
            shutil.rmtree(other, ignore_errors=True)

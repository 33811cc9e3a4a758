"""The embedded database under a `DiskIndex`: a lancedb table, opened, locked, read in order, and its errors told in words."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from polymodal.core.errors import PolymodalError, StoreError
from polymodal.retrieval.layout import Layout

TABLE = "entries"
META_KEY = b"polymodal-index"
LOCK_SECONDS = 60.0
"""How long a writer waits for another process."""


@contextmanager
def told(folder: Path, doing: str) -> Iterator[None]:
    """Turn what the database raises into one sentence that names the folder."""
    try:
        yield
    except (PolymodalError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise StoreError(_sentence(folder, doing, error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what its Rust side raises on damaged files
            raise
        raise StoreError(_sentence(folder, doing, error)) from None


def _sentence(folder: Path, doing: str, error: BaseException) -> str:
    text = re.sub(
        r",? ?/\S*\.rs:\d+:\d+", "", " ".join(str(error).split())
    )  # where in its sources says nothing to a user
    if any(
        word in text
        for word in ("No space left", "os error 28", "os error 122", "File too large", "Disk quota")
    ):
        why, todo = "the disk is full", "Free space and repeat; what was there before is intact."
    elif any(
        word in text
        for word in ("ermission denied", "Read-only", "os error 13", "os error 30", "os error 1)")
    ):
        why, todo = "the folder cannot be written", "Change its permissions or choose another folder."
    else:
        why, todo = (
            text[:200] or type(error).__name__,
            "If files are missing or truncated, restore a copy or build the index again.",
        )
    return f"Cannot {doing} the index {folder}: {why}. {todo}"


def connect(folder: Path) -> Any:
    """A connection that always sees the last commit of any process."""
    import lancedb

    return lancedb.connect(folder, read_consistency_interval=timedelta(0))


def create_table(folder: Path, layout: Layout) -> Any:
    """An empty table; the layout travels in its schema, so both come into being in one commit."""
    import pyarrow as pa

    with told(folder, "create"):
        folder.mkdir(parents=True, exist_ok=True)
        schema = table_schema(layout).with_metadata({META_KEY: layout.to_json().encode()})
        return connect(folder).create_table(TABLE, data=pa.Table.from_batches([], schema=schema))


def table_schema(layout: Layout) -> Any:
    """Arrow schema of the stored table: modality, vector, id, part, metadata."""
    import pyarrow as pa

    own = [pa.field("modality", pa.string()), pa.field("vector", pa.list_(pa.float32(), layout.dim))]
    return pa.schema(own + list(layout.schema()))


def open_table(folder: Path) -> tuple[Any, Layout]:
    """The table and its layout.

    Raises:
        StoreError: no such folder, a folder of something else, a damaged table.
    """
    if not folder.is_dir():
        raise StoreError(
            f"There is no index at {folder}. Make one with Retriever.build(model, data, folder) or DiskIndex.create(folder, layout)."
        )
    if not (folder / f"{TABLE}.lance").is_dir():
        held = sorted(p.name for p in folder.iterdir())[:5]
        raise StoreError(
            f"{folder} is not an index of this package: it holds {held or 'nothing'}, and no {TABLE}.lance."
        )
    with told(folder, "open"):
        table = connect(folder).open_table(TABLE)
        text = (table.schema.metadata or {}).get(META_KEY)
    if text is None:
        raise StoreError(f"{folder} holds a lance table of another program, without an index's layout.")
    try:
        return table, Layout.from_json(text.decode())
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"The layout in {folder} cannot be read ({error}). Upgrade polymodal, or build again."
        ) from None


def scan(table: Any, columns: Sequence[str], modality: str | None = None) -> Iterator[Any]:
    """Record batches of the columns and `_rowid`."""
    query = table.search()
    if modality is not None:
        query = query.where(f"modality = {literal(modality)}")
    yield from query.select(list(columns)).with_row_id(True).to_batches()


def literal(value: str | int) -> str:
    """A value as SQL writes it."""
    return str(int(value)) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def among(ids: Any, modality: str | None) -> str:
    """The condition that selects these keys (an Arrow array)."""
    keys = ", ".join(literal(v) for v in dict.fromkeys(ids.to_pylist()))
    condition = f"id IN ({keys})"
    return condition if modality is None else f"modality = {literal(modality)} AND {condition}"


@contextmanager
def locked(folder: Path, name: str, seconds: float | None = None) -> Iterator[None]:
    """Keep other processes out while this one writes; the system lets go when a process dies, however it dies.

    Raises:
        StoreError: the folder cannot be written, or the lock was not had in time.
    """
    limit = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
    with told(folder, "write to"):
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not _try_lock(handle):
            if time.monotonic() > limit:
                raise StoreError(
                    f"Another process is writing to the index {folder} and did not finish in time. Wait for it, and repeat."
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True

"""Arrow columns -> stores: files, texts, vectors, sequences, metadata."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.convert import NaNPolicy, as_column
from polymodal.core.errors import DataError
from polymodal.core.files import AUDIO_SUFFIXES, IMAGE_SUFFIXES, AudioReader, Files, ImageReader
from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts

MEDIA_SUFFIXES = IMAGE_SUFFIXES | AUDIO_SUFFIXES
CHECKED_FILES = 5_000
"""Files whose header is looked at while reading; the others are looked at when they are used."""


def files_column(
    name: str,
    paths: Sequence[str | None],
    folders: Sequence[Path],
    *,
    where: str,
    image_size: tuple[int, int],
    sample_rate: int,
) -> Modality:
    """Paths as a modality: one stored value per distinct file, so that five captions of a picture share it.

    Args:
        name: The modality.
        paths: One path per row, relative to that row's folder; None or empty where the row has none.
        folders: One folder per row.
        where: The table and column, for messages.
        image_size: Height and width in pixels that pictures are fitted to.
        sample_rate: Samples per second that sound is brought to.

    Raises:
        DataError: a file that does not exist or has no readable header, with its row.
    """
    codes: dict[Path, int] = {}
    rows: list[int] = []
    index = np.full(len(paths), -1, dtype=np.int64)
    for i, (path, folder) in enumerate(zip(paths, folders, strict=True)):
        if path and path.strip():
            if "://" in path:
                raise DataError(
                    f"{where} needs files on this machine; data row {i + 1} holds the address {path[:80]!r}. Download it first."
                )
            code = codes.setdefault(folder / path, len(codes))
            if code == len(rows):
                rows.append(i)
            index[i] = code
    found = list(codes)
    _check_exist(found, rows, where)
    store = Files(found) if found else Files([], ImageReader())
    store = Files(
        found, ImageReader(size=image_size) if store.kind == "grid" else AudioReader(sample_rate=sample_rate)
    )
    _check_headers(found[:CHECKED_FILES], rows, where, store.kind)
    return Modality(store, index)


def _check_exist(paths: Sequence[Path], rows: Sequence[int], where: str) -> None:
    lost = [(row, path) for row, path in zip(rows, paths, strict=True) if not os.path.isfile(path)]
    if not lost:
        return
    row, path = lost[0]
    if len(lost) == len(paths):
        raise DataError(
            f"{where} looks like paths, but none of its {len(paths)} files exists (first: {path}). Relative paths start at the folder "
            "of the table; if these are no files, name the modalities yourself: modalities={'text': 'column'}."
        )
    more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
    raise DataError(
        f"{where}: data row {row + 1} names {path}, which does not exist{more}. Add the file, empty the cell, or remove the row."
    )


def _check_headers(paths: Sequence[Path], rows: Sequence[int], where: str, kind: str) -> None:
    what = "picture" if kind == "grid" else "recording"
    for row, path in zip(rows, paths, strict=False):
        reason = _header_problem(path, kind)
        if reason:
            raise DataError(
                f"{where}: data row {row + 1} names the {what} {path}, which cannot be read ({reason}). Replace it, or remove the row."
            )


def _header_problem(path: Path, kind: str) -> str:
    if path.stat().st_size == 0:
        return "it is empty"
    if kind == "grid":
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path):
                return ""
        except UnidentifiedImageError:
            return "it is not a picture, or damaged"
        except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            return str(error)
    import soundfile

    try:
        soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        return str(error)
    return ""


def pictures_column(
    column: Any, folders: Sequence[Path], *, where: str, image_size: tuple[int, int]
) -> Modality:
    """Pictures held inside a table, each distinct one decoded once.

    Raises:
        DataError: bytes that are no picture, with the row.
    """
    reader = ImageReader(size=image_size)
    codes: dict[bytes, int] = {}
    pictures: list[np.ndarray] = []
    index = np.full(len(column), -1, dtype=np.int64)
    for i, value in enumerate(column.to_pylist()):
        if value is None or (value["bytes"] is None and not value.get("path")):
            continue
        raw = value["bytes"] if value["bytes"] is not None else (folders[i] / value["path"]).read_bytes()
        if raw not in codes:
            try:
                pictures.append(reader.decode(io.BytesIO(raw), f"of data row {i + 1}"))
            except DataError as error:
                raise DataError(f"{where}: {error}") from None
            codes[raw] = len(codes)
        index[i] = codes[raw]
    return Modality(np.stack(pictures) if pictures else np.empty((0, *image_size, 3), dtype=np.uint8), index)


def texts_column(columns: Sequence[Any]) -> Modality:
    """Texts of one or several Arrow columns, joined by a space; a row without any text lacks the modality."""
    parts = [[_as_text(v) for v in column.to_pylist()] for column in columns]
    rows = [" ".join(p for p in row if p) for row in zip(*parts, strict=True)]
    present = np.array([bool(r) for r in rows], dtype=bool)
    index = np.where(present, np.cumsum(present) - 1, -1).astype(np.int64)
    return Modality(Texts([r for r in rows if r]), index)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(str(v) for v in value if v is not None).strip()
    return str(value).strip()


def numbers_column(name: str, columns: dict[str, Any], *, where: str, nan: NaNPolicy = "raise") -> Modality:
    """Columns of numbers as one vector modality; a row without any of them lacks it (with nan="missing": without one).

    Raises:
        DataError: rows that have some of the numbers and not others, with the columns.
    """
    arrays = [_floats(column) for column in columns.values()]
    values = np.column_stack(arrays)
    missing: np.ndarray = np.zeros(values.shape, dtype=bool)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    absent = np.asarray(missing.any(axis=1) if nan == "missing" else missing.all(axis=1), dtype=bool)
    partly = missing & ~absent[:, None]
    if partly.any():
        counts = {c: int(k) for c, k in zip(columns, partly.sum(axis=0), strict=True) if k}
        shown = dict(list(counts.items())[:5])
        raise DataError(
            f"{where}: modality {name!r} needs all of its numbers or none of them in a row; empty or NaN cells: {shown}"
            f"{' ...' if len(counts) > 5 else ''} (first: data row {int(np.flatnonzero(partly.any(axis=1))[0]) + 1}). "
            "Fill the cells, leave those columns out (modalities={'name': [columns]}), or let those rows lack it: nan=\"missing\"."
        )
    store, inner = as_column(name, values[~absent])
    index = np.full(len(values), -1, dtype=np.int64)
    index[~absent] = inner
    return Modality(store, index)


def _floats(column: Any) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if column.null_count:
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())


def lists_column(name: str, column: Any, nan: NaNPolicy) -> Modality:
    """A column of lists of numbers: vectors where all have one length, sequences otherwise."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    inner = array.type.value_type
    if pa.types.is_nested(inner):
        values = [None if v is None else np.asarray(v, dtype=float) for v in array.to_pylist()]
        return Modality(*as_column(name, values, nan))
    present = np.asarray(array.is_valid())
    kept = array.drop_null()
    flat = np.asarray(kept.flatten().to_numpy(zero_copy_only=False))
    if flat.dtype == object:
        flat = flat.astype(float)
    lengths = (
        np.asarray(kept.value_lengths())
        if hasattr(kept, "value_lengths")
        else np.full(len(kept), array.type.list_size)
    )
    store: Any
    if len(lengths) and (lengths == lengths[0]).all() and lengths[0] > 0:
        store = flat.reshape(len(lengths), -1)
    else:
        store = Ragged(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    store, index = as_column(name, store, nan)
    out = np.full(len(present), -1, dtype=np.int64)
    out[present] = index
    return Modality(store, out)


def metadata_column(column: Any) -> np.ndarray:
    """One value per row: numbers stay numbers (NaN where empty), lists are joined by a comma, all else is text."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind) and not column.null_count:
        return np.asarray(column.to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy() if column.null_count else column.to_numpy())
    values = [
        "" if v is None else ", ".join(map(str, v)) if isinstance(v, list) else str(v)
        for v in column.to_pylist()
    ]
    if max(map(len, values), default=0) <= 64:
        return np.array(values, dtype=str)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out

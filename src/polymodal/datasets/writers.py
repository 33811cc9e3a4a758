"""`write`: a data set to NPZ, Parquet or a folder, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polymodal.core.atomic import atomic_file, atomic_folder
from polymodal.core.errors import DataError, StoreError
from polymodal.core.files import Files
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts
from polymodal.datasets.dataset import Dataset

Format = Literal["npz", "parquet", "folder"]


def write(
    data: Dataset | Modalities | Mapping[str, Any],
    path: str | Path,
    *,
    format: Format | None = None,
    overwrite: bool = False,
) -> Path:
    """Write data so that `read(path)` gives them back.

    NPZ holds everything as arrays (pictures and sound are read and stored). Parquet holds vectors and sequences as lists,
    and files by their paths. A folder holds `metadata.jsonl`, a copy of every file, and arrays that look like
    pictures as PNG: what Hugging Face's ImageFolder and AudioFolder read, too.

    Args:
        data: What to write; metadata go along where there are any.
        path: `.npz`, `.parquet`, or a folder.
        format: Only where the path does not say it.
        overwrite: Whether something that stands at `path` may be replaced.

    Raises:
        StoreError: `path` exists, or cannot be written; what stood there is intact.
        DataError: a format that cannot hold these data.

    Relations:
        * `read(write(data, path))` holds the same values, missing rows, ids and metadata.
    """
    dataset = data if isinstance(data, Dataset) else Dataset(Modalities.of(data))
    place = Path(path)
    suffix = place.suffix.lower()
    kind: Format | None = format or ({".npz": "npz", ".parquet": "parquet", "": "folder"}.get(suffix))  # type: ignore[assignment]
    if kind is None:
        raise DataError(
            f"write needs a path that ends in .npz or .parquet, or a folder; got {place}. Or say format='npz'."
        )
    if place.exists() and not overwrite:
        raise StoreError(
            f"{place} exists and is left as it is. Choose another path, or say overwrite=True (--overwrite)."
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot make the folder {place.parent}: {error.strerror}. Choose another place."
        ) from error
    if kind == "npz":
        with atomic_file(place) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **_arrays(dataset))  # type: ignore[arg-type]
    elif kind == "parquet":
        from pyarrow import parquet

        with atomic_file(place) as temporary:
            parquet.write_table(to_table(dataset, {}), temporary)
    else:
        with atomic_folder(place) as temporary:
            _fill_folder(dataset, temporary)
    return place


def _metadata(dataset: Dataset) -> dict[str, np.ndarray]:
    return {k: v.astype(str) if v.dtype == object else v for k, v in dataset.metadata.items()}


# --- NPZ ------------------------------------------------------------------------------------------------------


def _arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    ids = dataset.data.ids
    out = {"ids": ids.astype(str) if ids.dtype == object else ids}
    for name, column in dataset.data.items():
        kept = column.compact()
        store: Any = kept.store
        own: dict[str, np.ndarray] = {}
        if isinstance(store, Files):
            store = store[np.arange(len(store))]
        own[f"{name}.index"] = kept.index
        if isinstance(store, Texts):
            raw = [t.encode("utf-8") for t in store]
            own[f"{name}.utf8"] = np.frombuffer(b"".join(raw), dtype=np.uint8)
            own[f"{name}.offsets"] = np.concatenate([[0], np.cumsum([len(r) for r in raw])]).astype(np.int64)
        elif isinstance(store, Ragged):
            own[name], own[f"{name}.offsets"] = store.values, store.offsets
            if store.rate is not None:
                own[f"{name}.rate"] = np.asarray(store.rate)
        else:
            own[name] = np.asarray(store)
        if twice := [k for k in own if k in out]:
            raise DataError(_clash(twice[0]))
        out |= own
    extra = {f"metadata.{k}": v for k, v in _metadata(dataset).items()}
    if twice := [k for k in extra if k in out]:
        raise DataError(_clash(twice[0]))
    return out | extra


def _clash(key: str) -> str:
    return f"NPZ needs names that differ from the arrays written for them, got {key!r} twice. Rename that modality, or write .parquet."


# --- Parquet and the table of a folder ------------------------------------------------------------------------


def to_table(dataset: Dataset, paths: dict[str, list[str | None]]) -> Any:
    """One Arrow table; `paths` says where values lie that are written as files."""
    import pyarrow as pa

    clash = sorted(set(dataset.data.names) & set(dataset.metadata))
    if clash:
        raise DataError(
            f"A table needs different names for modalities and metadata, got {clash} in both. Rename the metadata."
        )
    id_name = next(
        n for n in ("id", "row_id", "row_key_") if n not in dataset.metadata and n not in dataset.data
    )
    ids = dataset.data.ids
    columns = {id_name: pa.array((ids.astype(str) if ids.dtype == object else ids).tolist())}
    layout: dict[str, Any] = {"modalities": {}, "shapes": {}, "rates": {}, "id": id_name}
    for name, column in dataset.data.items():
        store = column.store
        written = f"{name}_file_name" if name in paths else name
        layout["modalities"][name] = written
        if name in paths:
            columns[written] = pa.array(paths[name], type=pa.string())
        elif isinstance(store, Files):
            columns[written] = pa.array(
                [None if i < 0 else str(store.paths[i].resolve()) for i in column.index], type=pa.string()
            )
        else:
            columns[written] = _arrow(column)
            if isinstance(store, Ragged):
                layout["shapes"][name] = list(store.step_shape)
                layout["rates"][name] = store.rate
            elif not isinstance(store, Texts) and column.kind == "grid":
                layout["shapes"][name] = list(column.shape)
    for name, values in _metadata(dataset).items():
        columns[name] = pa.array(values.tolist())
    return pa.table(columns).replace_schema_metadata({b"polymodal": json.dumps(layout).encode()})


def _arrow(column: Modality) -> Any:
    import pyarrow as pa

    store: Any = column.store
    if isinstance(store, Texts):
        return pa.array([None if i < 0 else store[int(i)] for i in column.index], type=pa.string())
    if isinstance(store, Ragged):
        values = [
            None if i < 0 else store[int(i)].reshape(len(store[int(i)]), -1).tolist() for i in column.index
        ]
        if store.step_shape == ():
            values = [None if v is None else [x[0] for x in v] for v in values]
            return pa.array(values, type=pa.list_(pa.from_numpy_dtype(store.dtype)))
        return pa.array(values, type=pa.list_(pa.list_(pa.from_numpy_dtype(store.dtype))))
    width = int(np.prod(column.shape)) if len(store) else 1
    flat = np.zeros((len(column), width), dtype=store.dtype)
    flat[column.present] = store[column.index[column.present]].reshape(-1, width)
    mask = pa.array(~column.present)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), width, mask=mask)


# --- folder ---------------------------------------------------------------------------------------------------


def _fill_folder(dataset: Dataset, folder: Path) -> None:
    paths = {}
    for name, column in dataset.data.items():
        if isinstance(column.store, Files) or _is_picture(column) or column.kind == "sound":
            paths[name] = _write_files(name, column, folder)
    table = to_table(dataset, paths)
    (folder / "modalities.json").write_bytes(table.schema.metadata[b"polymodal"])
    lines = (
        json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False)
        for row in table.to_pylist()
    )
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_picture(column: Modality) -> bool:
    store = column.store
    shape = column.shape
    return (
        isinstance(store, np.ndarray)
        and store.dtype == np.uint8
        and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4)))
    )


def _write_files(name: str, column: Modality, folder: Path) -> list[str | None]:
    """Each stored value that is used becomes one file; the paths, relative to the folder, by row."""
    part = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    (folder / part).mkdir()
    kept = column.compact()
    store: Any = kept.store
    names = []
    for i in range(len(store)):
        if isinstance(store, Files):
            target = f"{part}/{i:06d}{store.paths[i].suffix.lower()}"
            try:
                shutil.copyfile(store.paths[i], folder / target)
            except FileNotFoundError:
                raise DataError(
                    f"{store.paths[i]} does not exist any more; the folder is not written."
                ) from None
        elif isinstance(store, Ragged):
            import soundfile

            target = f"{part}/{i:06d}.wav"
            soundfile.write(folder / target, store[i], int(store.rate or 16_000), subtype="FLOAT")
        else:
            from PIL import Image

            target = f"{part}/{i:06d}.png"
            Image.fromarray(store[i]).save(folder / target)
        names.append(target)
    return [None if i < 0 else names[i] for i in kept.index]

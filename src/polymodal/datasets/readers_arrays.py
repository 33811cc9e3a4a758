"""NPZ and NPY -> modalities and metadata, without pickle.

Plain arrays: two or more axes of numbers are a modality under their key; one axis (labels, names) is metadata. What `write`
adds is read back: `text.utf8` + `text.offsets` are texts, `name.offsets` makes sequences, `name.index` says which stored value
each row uses, `metadata.x` is metadata, `ids` are the row keys.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.convert import NaNPolicy, as_column
from polymodal.core.errors import DataError, ModalityError, suggest
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts
from polymodal.datasets.dataset import Dataset

PARTS = ("index", "offsets", "utf8", "rate")


def read_arrays(
    path: Path,
    *,
    modalities: Mapping[str, str | Sequence[str]] | None = None,
    target: str | None = None,
    id: str | None = None,
    nan: NaNPolicy = "raise",
) -> Dataset:
    """One `.npz` or `.npy` file as a data set.

    Raises:
        DataError: a damaged file, Python objects inside, an unknown key, or arrays of different lengths.
    """
    arrays = {
        name: a if a.ndim > 1 or path.suffix.lower() != ".npy" else a.reshape(-1, 1)
        for name, a in load_arrays(path).items()
    }
    columns, plain = _own_columns(arrays, path, nan)
    metadata = {k.removeprefix("metadata."): v for k, v in plain.items() if k.startswith("metadata.")}
    plain = {k: v for k, v in plain.items() if not k.startswith("metadata.")}
    for key in (target, id):
        if key is not None and key not in plain and key not in metadata:
            raise _unknown(key, plain, path)
    id = id or ("ids" if "ids" in plain and plain["ids"].ndim == 1 else None)
    odd = [k for k, v in plain.items() if v.ndim > 1 and v.dtype.kind not in "biufUS"]
    if odd:
        raise DataError(
            f"{path}: array {odd[0]!r} needs numbers or texts, got {plain[odd[0]].dtype}. Convert it, or leave it out."
        )
    notes = [f"skipped {k!r}: a single value, not one per row" for k, v in plain.items() if v.ndim == 0]
    plain = {k: v for k, v in plain.items() if v.ndim}
    if modalities is None:
        chosen = {
            k: [k]
            for k, v in plain.items()
            if v.ndim > 1 and v.dtype.kind in "biuf" and k not in (target, id)
        }
    else:
        chosen = {name: [keys] if isinstance(keys, str) else list(keys) for name, keys in modalities.items()}
        columns = {k: v for k, v in columns.items() if [k] in chosen.values()}
    used = {key for keys in chosen.values() for key in keys}
    metadata |= {k: v for k, v in plain.items() if k not in used and k != id}
    _one_length(path, {k: len(v) for k, v in (plain | columns | metadata).items()})
    built = dict(columns)
    for name, keys in chosen.items():
        if len(keys) == 1 and keys[0] in columns:
            built[name] = built.pop(keys[0])
            continue
        built[name] = _choose(name, keys, plain, path, nan)
        notes.append(f"{name}: array {' + '.join(map(repr, keys))}")
    if not built:
        raise DataError(
            f"{path} needs at least one array of numbers with two axes (rows, features), got "
            f"{ {k: v.shape for k, v in plain.items()} }. A one-axis array becomes a modality when you name it: modalities={{'x': 'key'}}."
        )
    flat = {k: v for k, v in metadata.items() if v.ndim == 1}
    notes += [f"skipped {k!r}: metadata needs one value per row" for k in metadata if k not in flat]
    ids = None if id is None else (plain | metadata)[id]
    return Dataset(Modalities(built, ids=ids), flat, name=path.stem, description="\n".join(notes))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of a `.npz` file, or the one array of a `.npy` file (mapped, not read) under the file's own name.

    Raises:
        DataError: no file, an empty or damaged one, or Python objects inside.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes). Save it again with numpy.savez.")
        if path.suffix.lower() == ".npy":
            return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False)}
        with path.open("rb") as file:  # np.load leaves a damaged file open
            loaded = np.load(file, allow_pickle=False)
            return (
                {path.stem: loaded}
                if isinstance(loaded, np.ndarray)
                else {k: loaded[k] for k in loaded.files}
            )
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Check the path.") from None
    except DataError:
        raise
    except (ValueError, zipfile.BadZipFile, EOFError, OSError, KeyError) as error:
        if isinstance(error, ValueError) and (
            "pickle" in str(error).lower() or "object" in str(error).lower()
        ):
            raise DataError(
                f"{path} needs plain arrays and holds Python objects (or is no NumPy file), which are never unpickled. "
                "Save numbers and fixed-length strings: array.astype(str)."
            ) from None
        raise DataError(
            f"{path} cannot be read as a NumPy file ({error}). It may be cut short: save it again."
        ) from None


def _own_columns(
    arrays: dict[str, np.ndarray], path: Path, nan: NaNPolicy
) -> tuple[dict[str, Modality], dict[str, np.ndarray]]:
    """Modalities stored in several arrays, and the arrays that stand alone."""
    columns: dict[str, Modality] = {}
    rest = dict(arrays)
    names = dict.fromkeys(k.rsplit(".", 1)[0] for k, v in arrays.items() if _is_part(k, v))
    for name in names:
        parts = {p: rest.pop(f"{name}.{p}") if _is_part(f"{name}.{p}", arrays.get(f"{name}.{p}")) else None for p in PARTS}  # fmt: skip
        values = rest.pop(name, None)
        store: Any = values
        try:
            if parts["utf8"] is not None and parts["offsets"] is not None:
                raw, offsets = parts["utf8"].tobytes(), parts["offsets"]
                store = Texts([raw[a:b].decode("utf-8") for a, b in pairwise(offsets)])
            elif parts["offsets"] is not None and values is not None:
                store = Ragged(
                    values, parts["offsets"], None if parts["rate"] is None else float(parts["rate"])
                )
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: the arrays of {name!r} do not fit together ({error}). Write the file again."
            ) from None
        if store is None:
            raise DataError(f"{path} has parts of {name!r} but not its values. Write the file again.")
        store, index = as_column(name, store, nan)
        try:
            columns[name] = Modality(
                store, index if parts["index"] is None else parts["index"].astype(np.int64)
            )
        except ModalityError as error:
            raise DataError(
                f"{path}: {name + '.index'!r} does not say which value of {name!r} each row has ({error}) Write the file again."
            ) from None
    return columns, rest


def _is_part(key: str, array: np.ndarray | None) -> bool:
    """Whether an array belongs to a modality of several arrays, rather than being one whose name has a dot in it."""
    if array is None or "." not in key or array.ndim > 1:
        return False
    kind = {"index": "iu", "offsets": "iu", "utf8": "u", "rate": "iuf"}.get(key.rsplit(".", 1)[1], "")
    return array.dtype.kind in kind


def _choose(name: str, keys: list[str], plain: dict[str, np.ndarray], path: Path, nan: NaNPolicy) -> Modality:
    for key in keys:
        if key not in plain:
            raise _unknown(key, plain, path)
    arrays = [plain[k] for k in keys]
    if len(arrays) == 1:
        values: Any = arrays[0].tolist() if arrays[0].dtype.kind in "US" else arrays[0]
        if isinstance(values, list):
            values = [v.decode() if isinstance(v, bytes) else v or None for v in values]
        return Modality(*as_column(name, values, nan))
    wide = [a[:, None] if a.ndim == 1 else a for a in arrays]
    if any(a.ndim != 2 or a.dtype.kind not in "biuf" for a in wide):
        raise DataError(
            f"{path}: modality {name!r} of several arrays needs vectors, got shapes { {k: plain[k].shape for k in keys} }."
        )
    return Modality(*as_column(name, np.hstack(wide), nan))


def _one_length(path: Path, lengths: dict[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{path} needs arrays with one row axis, got lengths {lengths}. Save one file per split, or leave out what does not "
            "hold one value per row."
        )


def _unknown(key: str, plain: Mapping[str, Any], path: Path) -> DataError:
    return DataError(f"{path} has no array {key!r}; it has {sorted(plain)}.{suggest(key, plain)}")

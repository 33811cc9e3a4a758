"""To and from what people already hold: pandas frames, Hugging Face datasets, MuData. Used only where installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.errors import DataError, MissingDependencyError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.datasets.dataset import Dataset
from polymodal.datasets.readers import dataset_from_table
from polymodal.datasets.writers import to_table

Columns = Mapping[str, str | Sequence[str]]


def from_pandas(
    frame: Any,
    *,
    modalities: Columns | None = None,
    target: str | None = None,
    folder: str | Path = ".",
) -> Dataset:
    """A pandas frame as a data set, by the rules of `read`; its index gives the row keys where it is not 0..n-1.

    Args:
        frame: A `pandas.DataFrame`; cells may hold lists of numbers, and None or NaN where something is missing.
        modalities: Name -> column or columns, as for `read`.
        target: A column that must be metadata.
        folder: Where relative paths in it start.

    Raises:
        DataError: a column that cannot be understood.

    Relations:
        * `from_pandas(to_pandas(dataset))` holds the same values, ids and metadata.
    """
    import pyarrow as pa

    if not hasattr(frame, "columns") or not hasattr(frame, "index"):
        raise DataError(f"from_pandas needs a pandas.DataFrame, got {type(frame).__name__}.")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"The frame has a column of mixed types ({error}). Make it all texts, or all numbers."
        ) from None
    table = table.replace_schema_metadata(
        {b"polymodal": frame.attrs["polymodal"].encode()} if "polymodal" in frame.attrs else None
    )
    dataset = dataset_from_table(
        table, folder=Path(folder), name="frame", modalities=modalities, target=target
    )
    keys = np.asarray(frame.index)
    plain = keys.dtype.kind in "iu" and np.array_equal(keys, np.arange(len(keys)))
    return dataset if plain else _with_ids(dataset, keys)


def to_pandas(data: Dataset | Modalities | Mapping[str, Any]) -> Any:
    """A pandas frame: texts, paths and numbers in cells, vectors and sequences as arrays in cells; ids are the index.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    _require("pandas", "pandas")
    dataset = data if isinstance(data, Dataset) else Dataset(Modalities.of(data))
    table = to_table(dataset, {})
    layout = (table.schema.metadata or {})[b"polymodal"].decode()
    frame = table.to_pandas()
    frame = frame.set_index(frame.columns[0], drop=True)
    frame.index.name = None
    frame.attrs["polymodal"] = layout.replace(f'"id": "{table.column_names[0]}"', '"id": null')
    return frame


def from_huggingface(
    dataset: Any, *, modalities: Columns | None = None, target: str | None = None, folder: str | Path = "."
) -> Dataset:
    """A Hugging Face `datasets.Dataset` as a data set, by the rules of `read`; pictures are decoded, each once.

    Args:
        dataset: A `datasets.Dataset` (not a `DatasetDict`: choose a split first).
        modalities: Name -> column or columns, as for `read`.
        target: A column that must be metadata.
        folder: Where relative paths in it start.

    Raises:
        DataError: something else, such as a `DatasetDict`, or a column that cannot be understood.
    """
    if not hasattr(dataset, "with_format") or not hasattr(dataset, "column_names"):
        raise DataError(f"from_huggingface needs a datasets.Dataset, got {type(dataset).__name__}.")
    if isinstance(dataset.column_names, dict):
        raise DataError(
            f"from_huggingface needs one split, got {sorted(dataset.column_names)}. Pass dataset['train']."
        )
    table = dataset.with_format("arrow")[:].replace_schema_metadata(None)
    built = dataset_from_table(
        table, folder=Path(folder), name="dataset", modalities=modalities, target=target
    )
    for name, feature in getattr(dataset, "features", {}).items():
        names = getattr(feature, "names", None)  # a ClassLabel: numbers that stand for names
        if names and name in built.metadata:
            built.metadata[name] = np.array([names[int(i)] if i >= 0 else "" for i in built.metadata[name]])
    return built


def to_huggingface(data: Dataset | Modalities | Mapping[str, Any]) -> Any:
    """A Hugging Face `datasets.Dataset`: texts and paths as strings, vectors and sequences as lists.

    Raises:
        MissingDependencyError: datasets is not installed.
    """
    library = _require("datasets", "datasets")
    dataset = data if isinstance(data, Dataset) else Dataset(Modalities.of(data))
    return library.Dataset(to_table(dataset, {}).replace_schema_metadata(None))


def from_mudata(mudata: Any) -> Dataset:
    """A `MuData` object: each of its `.mod` is a vector modality, joined by `obs_names`; `.obs` is metadata.

    Raises:
        ModalityError: no `.mod`, or values that are no matrix.

    Relations:
        * a row that some `.mod` lacks is missing there, and no value is made up for it.
    """
    if not hasattr(mudata, "mod") or not len(mudata.mod):
        raise ModalityError(
            f"from_mudata needs a MuData with at least one entry in .mod, got {type(mudata).__name__}."
        )
    columns, keys = {}, {}
    for name, part in mudata.mod.items():
        values = part.X.toarray() if hasattr(part.X, "toarray") else np.asarray(part.X)
        columns[name], keys[name] = values, [str(k) for k in part.obs_names]
    joined = Modalities.join(columns, on=keys)
    order = {str(k): i for i, k in enumerate(mudata.obs_names)}
    data = joined[np.argsort([order[str(k)] for k in joined.ids], kind="stable")]
    place = {str(k): i for i, k in enumerate(mudata.obs_names)}
    rows = [place[str(k)] for k in data.ids]
    metadata = {}
    for column in getattr(mudata.obs, "columns", ()):
        values = np.asarray(mudata.obs[column])[rows]
        metadata[str(column)] = values.astype(str) if values.dtype == object else values
    return Dataset(data, metadata, name="mudata", description=f"modalities of .mod: {', '.join(columns)}")


def to_mudata(data: Dataset | Modalities | Mapping[str, Any]) -> Any:
    """A `MuData` object with one `AnnData` per vector modality, holding the rows that have it.

    Raises:
        MissingDependencyError: mudata is not installed.
        ModalityError: a modality that is no vector.
    """
    dataset = data if isinstance(data, Dataset) else Dataset(Modalities.of(data))
    other = {name: column.kind for name, column in dataset.data.items() if column.kind != "vector"}
    if other:
        raise ModalityError(
            f"MuData holds vectors, got {other}. Turn them into vectors first (polymodal.encoders.Vectorize)."
        )
    mudata, anndata = _require("mudata", "mudata"), _require("anndata", "mudata")
    parts = {}
    for name, column in dataset.data.items():
        part = anndata.AnnData(X=np.asarray(column.observed()))
        part.obs_names = [str(k) for k in dataset.data.ids[column.present]]
        parts[name] = part
    built = mudata.MuData(parts)
    place = {str(k): i for i, k in enumerate(dataset.data.ids)}
    rows = [place[str(k)] for k in built.obs_names]
    for name, values in dataset.metadata.items():
        built.obs[name] = values[rows]
    return built


def _with_ids(dataset: Dataset, ids: np.ndarray) -> Dataset:
    from dataclasses import replace

    return replace(dataset, data=Modalities(dict(dataset.data.items()), ids=ids))


def _require(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(
            f"This needs the package {package!r}, which is not installed. Run: python -m pip install {package}"
        ) from None

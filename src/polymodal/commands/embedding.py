"""`embed MODEL DATA -o VECTORS`: representations of data on disk, by a saved model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.commands.models import open_model
from polymodal.commands.sources import (
    Source,
    check_output,
    empty_rows,
    read_for_model,
)
from polymodal.core.errors import ConfigError
from polymodal.core.estimator import fitted_modalities, last_step
from polymodal.core.modalities import Modalities
from polymodal.datasets.dataset import Dataset
from polymodal.datasets.writers import write

SUFFIXES = (".npz", ".parquet")


@dataclass(frozen=True)
class EmbedResult:
    """What was written.

    Args:
        vectors: The file.
        rows: How many.
        representations: Name -> shape of one value.
        missing: Name -> rows that lack it.
        notes: What was decided on the way.
    """

    vectors: str
    rows: int
    representations: dict[str, list[int]]
    missing: dict[str, int]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def embed_data(
    model: str | Path, source: Source, output: str | Path, *, overwrite: bool = False
) -> EmbedResult:
    """Write the representations that a saved model gives of data, with ids and metadata.

    Args:
        model: The model folder.
        source: The data, with any non-empty subset of the model's modalities.
        output: `.npz` or `.parquet`; what `polymodal.datasets.read` and `build_index` take.
        overwrite: Whether a file that stands there may be replaced.

    Raises:
        ConfigError: another suffix, or an output that exists.
        ModelFormatError: no model.
        DataError: data that cannot be read.
    """
    place = check_output(output, overwrite=overwrite, ours="", inputs=(source.path, model))
    if place.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"Vectors are written to {' or '.join(SUFFIXES)}, got {place}. Give the output one of these endings."
        )
    fitted = open_model(model)
    dataset, notes = read_for_model(source, model, list(fitted_modalities(fitted)))
    empty = empty_rows(dataset.data)
    if empty.any():
        notes.append(f"left out {int(empty.sum())} rows that have no modality")
        dataset = dataset[~empty]
    result = fitted.transform(dataset.data)
    if isinstance(result, np.ndarray):
        result = Modalities({"fused": result}, ids=dataset.data.ids)
    taken = set(result.names)
    metadata = {k if k not in taken else f"{k}_": v for k, v in dataset.metadata.items()}
    write(Dataset(result, metadata, name=type(last_step(fitted)).__name__), place, overwrite=overwrite)
    return EmbedResult(
        vectors=str(place),
        rows=len(result),
        representations={name: list(column.shape) for name, column in result.items()},
        missing={name: int((~column.present).sum()) for name, column in result.items()},
        notes=tuple(notes),
    )

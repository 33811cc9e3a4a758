"""`Source`: which data, read how. `Reading`: how a model's training data were read, kept beside the model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ConfigError, DataError, ModalityError, suggest
from polymodal.core.modalities import Modalities
from polymodal.datasets.dataset import Dataset
from polymodal.datasets.readers import read
from polymodal.persistence import MODEL_FILE

READING_FILE = "reading.json"


@dataclass(frozen=True)
class Source:
    """Data on disk, and what the caller says about them.

    Args:
        path: A folder, a table, or arrays: what `polymodal.datasets.read` takes.
        modalities: Name -> columns; None lets the reader decide.
        only: The modalities to keep, in this order; all by default.
        target: The metadata column that holds labels or quantities.
        id: The column of row keys.
        image_size: Height and width of pictures in pixels.
        sample_rate: Samples of sound per second.
        nan: Whether NaN is an error, or says that the row lacks the modality.
    """

    path: str | Path
    modalities: Mapping[str, str | Sequence[str]] | None = None
    only: tuple[str, ...] = ()
    target: str | None = None
    id: str | None = None
    image_size: int = 64
    sample_rate: int = 16_000
    nan: Literal["raise", "missing"] = "raise"

    def read(self) -> Dataset:
        """The data set.

        Raises:
            DataError: what cannot be read.
            ModalityError: `only` names a modality that is not there.
        """
        try:
            dataset = read(
                self.path,
                modalities=self.modalities,
                target=self.target,
                id=self.id,
                image_size=self.image_size,
                sample_rate=self.sample_rate,
                nan=self.nan,
            )
        except DataError as error:
            wrong = [
                n for n, c in (self.modalities or {}).items() if [n] == list(c) and f"{n!r};" in str(error)
            ]
            if not wrong:
                raise
            raise DataError(
                f"{error} Modalities that are understood without being named are kept with --only {','.join(self.modalities or ())}."
            ) from None
        return replace(dataset, data=dataset.data.select(*self.only)) if self.only else dataset


@dataclass(frozen=True)
class Reading:
    """What `fit` keeps beside a model: how its data were read, and which rows it has not seen.

    Args:
        source: As given to `fit`.
        held_out: Column -> values of the rows that were held out; the column `id` stands for the row keys.
        notes: How columns were understood.
    """

    source: Source
    held_out: Mapping[str, list[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `reading.json` into a model folder that is still being made."""
        plain = asdict(self)
        plain["source"]["path"] = str(Path(self.source.path).resolve())
        (folder / READING_FILE).write_text(json.dumps(plain, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def of(cls, folder: str | Path) -> Reading | None:
        """What stands beside a model; None where the model was saved without it.

        Raises:
            DataError: a file that cannot be understood.
        """
        file = Path(folder) / READING_FILE
        if not file.is_file():
            return None
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
            source = plain["source"]
            source["only"] = tuple(source["only"])
            return cls(Source(**source), plain["held_out"], tuple(plain["notes"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file} cannot be understood ({error}). Remove it, and say how to read the data yourself."
            ) from None

    def unseen(self, dataset: Dataset) -> np.ndarray | None:
        """True on rows that were held out; None where nothing was, or where these data do not tell."""
        for column, values in self.held_out.items():
            keys = dataset.data.ids if column == "id" else dataset.metadata.get(column)
            if keys is not None:
                mask = np.isin(np.asarray(keys).astype(str), [str(v) for v in values])
                return mask if mask.any() else None
        return None


def read_for_model(source: Source, folder: str | Path, known: Sequence[str]) -> tuple[Dataset, list[str]]:
    """Data for a model that was fitted earlier: read as its training data were, where the caller does not say otherwise.

    Args:
        source: The new data.
        folder: The model's folder.
        known: The model's modalities.

    Returns:
        The data with the model's modalities only, and notes on what was left out.

    Raises:
        DataError: what cannot be read.
        ModalityError: none of the model's modalities is there.
    """
    kept = Reading.of(folder)
    dataset = source.read() if kept is None else _read_as_before(source, kept.source)
    extra = [name for name in dataset.data.names if name not in known]
    found = [name for name in dataset.data.names if name in known]
    if not found:
        hint = suggest(extra[0], known) if extra else ""
        example = f"--modality {known[0]}={extra[0]}" if extra else f"--modality {known[0]}=COLUMN"
        raise ModalityError(
            f"The model has the modalities {list(known)}, {source.path} has {extra}.{hint} Say which column is which: {example}."
        )
    notes = [f"left out {extra}: the model does not have it"] if extra else []
    return replace(dataset, data=dataset.data.select(*found)), notes


def _read_as_before(source: Source, before: Source) -> Dataset:
    """Read as the training data were; columns that new data lack are modalities (or a target, or keys) that they lack."""
    nan = before.nan if source.nan == "raise" else source.nan
    source = replace(source, image_size=before.image_size, sample_rate=before.sample_rate, nan=nan)
    said = (source.modalities is not None, source.target is not None, source.id is not None)
    wanted = None if said[0] else dict(before.modalities or {}) or None
    target, key = (None if said[1] else before.target), (None if said[2] else before.id)
    while True:
        trying = replace(
            source,
            modalities=source.modalities if said[0] else wanted,
            target=source.target if said[1] else target,
            id=source.id if said[2] else key,
        )
        try:
            return trying.read()
        except DataError as error:
            match = re.search(r"has no (?:column|array) '([^']*)'", str(error))
            column = match[1] if match else None
            lacking = [n for n, c in (wanted or {}).items() if column in ([c] if isinstance(c, str) else c)]
            if column is None or not (lacking or column in (target, key)):
                raise
            wanted = {n: c for n, c in (wanted or {}).items() if n not in lacking} or None
            target, key = (None if column == target else target), (None if column == key else key)


def rows_where(dataset: Dataset, condition: str) -> np.ndarray:
    """True where a metadata column has a value, from `column=value` (several values: `column=a,b`).

    Raises:
        ConfigError: no `=`, no such column, or no row of that value.
    """
    column, found, values = condition.partition("=")
    if not found:
        raise ConfigError(f"Rows are chosen as COLUMN=VALUE, got {condition!r}.")
    mask: np.ndarray = np.isin(text_of(dataset, column), values.split(","))
    if not mask.any():
        there = sorted(set(text_of(dataset, column).tolist()))[:8]
        raise ConfigError(f"No row has {condition}; the column holds {there}.{suggest(values, there)}")
    return mask


def text_of(dataset: Dataset, column: str) -> np.ndarray:
    """A metadata column as texts.

    Raises:
        ConfigError: no such column; the nearest name is suggested.
    """
    if column not in dataset.metadata:
        raise ConfigError(
            f"The data have no metadata column {column!r}; they have {sorted(dataset.metadata)}.{suggest(column, dataset.metadata)}"
        )
    return dataset.metadata[column].astype(str)


def target_of(dataset: Dataset, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The target, and True on the rows that have one (an empty cell is none).

    Raises:
        ConfigError: no such column, or no row has a value.
    """
    text_of(dataset, column)
    values = dataset.metadata[column]
    present = np.isfinite(values) if values.dtype.kind == "f" else values.astype(str) != ""
    if not present.any():
        raise ConfigError(f"The target {column!r} is empty on every row. Choose another column.")
    return values, np.asarray(present)


def check_output(
    path: str | Path,
    *,
    overwrite: bool,
    ours: str,
    parts: frozenset[str] = frozenset(),
    inputs: Sequence[str | Path] = (),
) -> Path:
    """Refuse, before any work, an output that exists, or that would replace what it is made from.

    Args:
        path: Where something will be written.
        overwrite: Whether what stands there may be replaced.
        ours: The file by which a folder of our own kind is known; another folder is never replaced. Empty: a plain file.
        parts: All that a folder of our own kind holds; one with anything else in it is never replaced.
        inputs: The data and the model that are read.

    Raises:
        ConfigError: something stands there.
    """
    place = Path(path)
    if not str(path).strip():
        raise ConfigError("The output needs a name, got an empty one.")
    above = next((p for p in place.parents if p.exists()), None)
    if above is not None and not above.is_dir():
        raise ConfigError(f"{place} lies in {above}, which is a file. Choose another output.")
    if place.exists():
        if not overwrite:
            raise ConfigError(
                f"{place} exists and is left as it is. Choose another output, or say --overwrite."
            )
        if place.is_dir() and any(place.iterdir()) and not (ours and (place / ours).exists()):
            raise ConfigError(
                f"{place} is a folder of something else and is never overwritten. Choose another output."
            )
        if ours and place.is_file():
            raise ConfigError(f"{place} is a file, a folder is needed. Choose another output.")
        foreign = sorted({p.name for p in place.iterdir()} - parts) if parts and place.is_dir() else []
        if foreign:
            raise ConfigError(
                f"{place} holds {foreign[:3]} as well, which would be lost, and is not overwritten. Choose another output."
            )
    for given in inputs:
        if Path(given).exists() and Path(given).resolve() in (place.resolve(), *_parents_of_models(place)):
            raise ConfigError(
                f"{place} would be written into {given}, which is read at the same time. Choose another output."
            )
    return place


def _parents_of_models(place: Path) -> list[Path]:
    """Folders above an output that are copied whole while it is written."""
    return [p for p in place.resolve().parents if (p / MODEL_FILE).is_file()]


def empty_rows(data: Modalities) -> np.ndarray:
    """True on rows that have no modality at all."""
    nothing: np.ndarray = ~np.logical_or.reduce(list(data.present.values()))
    return nothing

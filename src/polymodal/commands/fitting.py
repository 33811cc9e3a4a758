"""`fit DATA --method M -o MODEL`: from data on disk to a saved model."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.commands.capabilities import find_method
from polymodal.commands.sources import Reading, Source, check_output, empty_rows, target_of, text_of
from polymodal.config import build
from polymodal.core.atomic import atomic_folder
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Estimator
from polymodal.datasets.dataset import Dataset
from polymodal.persistence import MODEL_FILE, OWN_FILES, save

TRAINING_NAMES = ("training", "train")


@dataclass(frozen=True)
class HoldOut:
    """Rows to leave for evaluation.

    Args:
        split: A metadata column; only its rows of value `train` (or `training`) are learned from.
        share: Or the share of groups to hold out, in (0, 1).
        group: With `share`: the column whose groups stay together; by default rows that share a file or array do.
        seed: Which groups.
    """

    split: str | None = None
    share: float = 0.0
    group: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class FitResult:
    """What `fit` did.

    Args:
        model: The folder.
        method: The class.
        parameters: Those that were set.
        rows: Rows learned from.
        held_out: Rows left for evaluation.
        modalities: Name -> kind.
        target: The column learned, or None.
        seconds: Time of the fit itself.
        score: The method's own score on the rows learned from.
        held_out_score: The same on the held-out rows, where there are any.
        notes: What was decided on the way.
    """

    model: str
    method: str
    parameters: dict[str, Any]
    rows: int
    held_out: int
    modalities: dict[str, str]
    target: str | None
    seconds: float
    score: float | None
    held_out_score: float | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fit_model(
    source: Source,
    output: str | Path,
    *,
    method: str,
    parameters: Mapping[str, Any] | None = None,
    hold_out: HoldOut | None = None,
    complete: bool = False,
    overwrite: bool = False,
) -> FitResult:
    """Read data, fit a method, and save it with what a later command needs to read data in the same way.

    A method that takes vectors only is given them: `Vectorize` is put before it, in a scikit-learn `Pipeline`, when the data are
    of other kinds. The model appears whole, or what was there before stays.

    Args:
        source: The data; with `target`, the labels or quantities to learn.
        output: The model folder.
        method: A method's name, as `list_methods` gives it.
        parameters: Of the method, in the form of a configuration table: `{"n_components": 64, "training": {"max_epochs": 5}}`.
        hold_out: Rows to leave for evaluation.
        complete: Whether rows that lack a modality are dropped first.
        overwrite: Whether a model that stands at `output` may be replaced.

    Raises:
        ConfigError: an unknown method, parameter or column, or an output that exists.
        DataError: data that cannot be read.
        ModalityError: data that the method cannot learn from, with every reason.
    """

    def check() -> Path:
        return check_output(
            output, overwrite=overwrite, ours=MODEL_FILE, parts=OWN_FILES, inputs=(source.path,)
        )

    place = check()
    cls = find_method(method)
    model = build({"use": cls.__name__, **(parameters or {})}, "model")
    dataset = source.read()
    notes = [line for line in dataset.description.splitlines() if line]
    if source.target is None and cls.requires.target == "required":
        raise ConfigError(
            f"{cls.__name__} learns a target. Name its column: --target COLUMN, one of {sorted(dataset.metadata)}."
        )
    target = source.target if cls.requires.target != "none" else None
    if source.target and target is None:
        notes.append(f"{cls.__name__} learns without a target: {source.target!r} is left aside")
    _enough_modalities(cls, dataset)
    dataset = _usable(dataset, target, complete, notes)
    train, test, held_out = _divide(dataset, hold_out or HoldOut())
    pipeline = _with_vectors(model, train, notes)
    begin = time.perf_counter()
    pipeline.fit(train.data, None if target is None else train.metadata[target])
    seconds = time.perf_counter() - begin
    with atomic_folder(place) as temporary:
        save(pipeline, temporary)
        Reading(source, held_out, tuple(notes)).write(temporary)
        check()  # another process may have written there meanwhile: its model stays
    return FitResult(
        model=str(place),
        method=cls.__name__,
        parameters=dict(parameters or {}),
        rows=len(train),
        held_out=0 if test is None else len(test),
        modalities={name: column.kind for name, column in train.data.items()},
        target=target,
        seconds=seconds,
        score=_score(pipeline, train, target),
        held_out_score=None if test is None else _score(pipeline, test, target),
        notes=tuple(notes),
    )


def parameter_table(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with dotted names as nested tables; those of the training may come without the prefix.

    Raises:
        ConfigError: a training option for a method that is not trained.

    Examples:
        >>> parameter_table("CLIP", {"n_components": 8, "max_epochs": 2})
        {'n_components': 8, 'training': {'max_epochs': 2}}
    """
    from polymodal.training.options import Training

    known = inspect.signature(find_method(method)).parameters
    options = inspect.signature(Training).parameters
    table: dict[str, Any] = {}
    for key, value in settings.items():
        path = key.split(".")
        if key not in known and key in options:
            if "training" not in known:
                raise ConfigError(
                    f"{find_method(method).__name__} is solved in closed form and has no {key!r}. Leave it out."
                )
            path = ["training", key]
        place = table
        for part in path[:-1]:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError(
                    f"{key!r} sets a part of {part!r}, which is set to {inner!r} as a whole. Leave one of them out."
                )
            place = inner
        place[path[-1]] = value
    return table


def _enough_modalities(cls: type[Estimator], dataset: Dataset) -> None:
    """Say what the other columns were taken for, where too few became modalities."""
    least, there = cls.requires.min_modalities, dataset.data.names
    if len(there) < least:
        others = sorted(dataset.metadata)
        raise ModalityError(
            f"{cls.__name__} needs at least {least} modalities, got {len(there)}: {list(there)}. "
            + (
                f"Read as metadata: {others}. Name what is a modality: --modality NAME=COLUMN for each."
                if others
                else "Add a column."
            )
        )


def _usable(dataset: Dataset, target: str | None, complete: bool, notes: list[str]) -> Dataset:
    if not len(dataset):
        raise ModalityError("Fitting needs rows, the data have none.")
    keep = ~empty_rows(dataset.data)
    if not keep.all():
        notes.append(f"left out {int((~keep).sum())} rows that have no modality")
    if target is not None:
        _, known = target_of(dataset, target)
        if not known.all():
            notes.append(f"left out {int((~known).sum())} rows without a {target}")
        keep &= known
    if complete:
        whole = np.logical_and.reduce(list(dataset.data.present.values()))
        notes.append(f"left out {int((keep & ~whole).sum())} rows that lack a modality")
        keep &= whole
    if not keep.any():
        raise ModalityError(f"No row is left to learn from: all {len(dataset)} lack a modality or a target.")
    return dataset if keep.all() else dataset[keep]


def _divide(dataset: Dataset, hold_out: HoldOut) -> tuple[Dataset, Dataset | None, dict[str, list[Any]]]:
    """Rows to learn from, rows held out, and how to know the latter again."""
    if hold_out.split is not None and hold_out.share:
        raise ConfigError("Hold rows out by a column (--split) or by a share (--hold-out), not both.")
    if hold_out.split is not None:
        values = text_of(dataset, hold_out.split)
        train = np.isin(np.char.lower(values.astype(str)), TRAINING_NAMES)
        there = sorted(set(values.tolist()))
        if not train.any():
            raise ConfigError(
                f"--split {hold_out.split} needs rows of value 'train', the column holds {there[:8]}."
            )
        unseen = sorted(set(values[~train].tolist()))
        return dataset[train], dataset[~train] if unseen else None, {hold_out.split: unseen} if unseen else {}
    if not hold_out.share:
        if hold_out.group is not None:
            raise ConfigError(
                f"--group {hold_out.group} says what stays together when rows are held out; say how many: --hold-out 0.2."
            )
        return dataset, None, {}
    if not 0 < hold_out.share < 1:
        raise ConfigError(f"--hold-out is a share in (0, 1), such as 0.2; got {hold_out.share:g}.")
    group: str | np.ndarray = (
        _shared_values(dataset) if hold_out.group is None else text_of(dataset, hold_out.group)
    )
    train_set, test_set = dataset.split(group=group, test_size=hold_out.share, random_state=hold_out.seed)
    if hold_out.group is None:
        return train_set, test_set, {"id": [str(i) for i in test_set.data.ids]}
    return train_set, test_set, {hold_out.group: sorted(set(text_of(test_set, hold_out.group).tolist()))}


def _shared_values(dataset: Dataset) -> np.ndarray:
    """One number per row, equal for rows that are linked by a shared stored value: they must not be parted."""
    n = len(dataset)
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for _, column in dataset.data.items():
        first: dict[int, int] = {}
        for row in np.flatnonzero(column.present):
            other = first.setdefault(int(column.index[row]), int(row))
            parent[root(int(row))] = root(other)
    return np.array([root(i) for i in range(n)])


def _with_vectors(model: Estimator, train: Dataset, notes: list[str]) -> Any:
    kinds = {name: column.kind for name, column in train.data.items()}
    other = {name: kind for name, kind in kinds.items() if kind not in model.requires.kinds}
    if not other or "vector" not in model.requires.kinds:
        return model
    from sklearn.pipeline import Pipeline

    from polymodal.encoders.vectorize import Vectorize

    notes.append(
        f"{type(model).__name__} takes vectors: {', '.join(other)} are turned into vectors by Vectorize"
    )
    return Pipeline([("vectors", Vectorize(random_state=0)), ("model", model)])


def _score(model: Any, dataset: Dataset, target: str | None) -> float | None:
    try:
        return float(model.score(dataset.data, None if target is None else dataset.metadata[target]))
    except ModalityError:  # rows on which the score is not defined: one row, no pair, a class never seen
        return None

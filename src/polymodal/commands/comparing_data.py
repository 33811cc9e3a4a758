"""What a comparison is made on: usable rows, the target in its task, and how the rows are divided."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from polymodal.commands.fitting import TRAINING_NAMES
from polymodal.commands.sources import Source, empty_rows, target_of, text_of
from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.modalities import Modalities
from polymodal.core.task import KnownTask, Task, resolve_task
from polymodal.core.typing import Int, Shaped
from polymodal.datasets.dataset import Dataset
from polymodal.evaluation.answers import Truth
from polymodal.evaluation.splits import Split, given_split, honest_splits, row_groups, thin_classes

TEST_NAMES = ("test", "testing")
SEPARATORS = re.compile(r"\s*[;,|]\s*")
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Division:
    """How rows are divided.

    Args:
        split: A metadata column: learned from where it says `train`, tested on where it says `test` (or on all else).
        groups: A metadata column whose values stay on one side.
        n: How many random divisions; or how many seeds of the methods, where a split is given.
        test_size: Share of the rows to test on, in random divisions.
        limit: At most so many rows, drawn at random.
        seed: Seed of all this.
    """

    split: str | None = None
    groups: str | None = None
    n: int = 5
    test_size: float = 0.25
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Material:
    """Data that are ready to be compared on.

    Args:
        data: The modalities of the usable rows.
        y: Their target.
        task: What it poses.
        splits: Rows to learn from and to test on.
        groups: A label per row; rows of one label stay together, and are drawn together for intervals.
        notes: What was decided on the way.
        target: What the target is called.
        stamp: What changes when the data do, such as the time of the file.
    """

    data: Modalities
    y: np.ndarray
    task: KnownTask
    splits: tuple[Split, ...]
    groups: Int[np.ndarray, " n"]
    notes: tuple[str, ...]
    target: str
    stamp: str = ""


def read_material(source: Source, division: Division, *, task: Task = "auto") -> Material:
    """Read, leave out what cannot be used, and divide.

    Raises:
        ConfigError: no target, a target that does not vary, a column that is not there, too few rows.
        DataError: what cannot be read.
    """
    dataset = _read(source, division)
    target = str(source.target)
    notes = [line for line in dataset.description.splitlines() if line]
    values, known = target_of(dataset, target)
    if task == "multilabel":
        known = np.ones(len(dataset), dtype=bool)  # an empty cell is a row without labels
    keep = known & ~empty_rows(dataset.data)
    if not known.all():
        notes.append(f"left out {int((~known).sum())} rows without a {target}")
    if (known & ~keep).any():
        notes.append(f"left out {int((known & ~keep).sum())} rows that have no modality")
    rows = np.flatnonzero(keep)
    if division.limit is not None and len(rows) > division.limit:
        chosen = np.random.default_rng(division.seed).permutation(rows)[: division.limit]
        notes.append(f"took {division.limit} of {len(rows)} rows at random")
        rows = np.sort(chosen)
    if len(rows) < FEWEST_ROWS:
        raise ConfigError(f"A comparison needs at least {FEWEST_ROWS} rows with a target, got {len(rows)}.")
    dataset = dataset[rows]
    y, known_task = _target(values[rows], target, task, whole=bool(known.all()), notes=notes)
    groups = row_groups(dataset.data, None if division.groups is None else text_of(dataset, division.groups))
    splits = _divide(dataset, y, known_task, division, groups, notes)
    stat = Path(source.path).expanduser().stat()
    stamp = f"{stat.st_mtime_ns} {stat.st_size}"
    return Material(dataset.data, y, known_task, splits, groups, tuple(notes), target, stamp)


def _read(source: Source, division: Division) -> Dataset:
    """The data; columns that say how rows are divided, or what is to be predicted, never become features."""
    if source.target is None:
        there = sorted(source.read().metadata)
        raise ConfigError(
            f"A comparison needs a target to predict. Name its column: --target COLUMN, one of {there}."
        )
    for name, columns in (source.modalities or {}).items():
        listed = [columns] if isinstance(columns, str) else list(columns)
        for held in (source.target, division.split, division.groups):
            if held in listed:
                raise ConfigError(
                    f"{held!r} says what is predicted or how rows are divided, so the modality {name!r} cannot be made of it. "
                    f"Leave it out of --modality {name}=..."
                )
    dataset = source.read()
    for option, column in (("--split", division.split), ("--groups", division.groups)):
        if column is not None and column not in dataset.metadata:
            raise ConfigError(
                f"{option} needs a metadata column, and {column!r} is none; there are {sorted(dataset.metadata)}."
                f"{suggest(column, dataset.metadata)} A column of numbers is read as a feature: name the features instead, "
                "--modality table=COLUMN,COLUMN."
            )
    return dataset


def _target(
    values: Shaped[np.ndarray, " n"], name: str, task: Task, *, whole: bool, notes: list[str]
) -> tuple[np.ndarray, KnownTask]:
    if task == "multilabel":
        y, labels = labels_of(values)
        notes.append(
            f"{len(labels)} labels in {name}: {', '.join(labels[:12])}{', ...' if len(labels) > 12 else ''}"
        )
        return y, "multilabel"
    y = values.astype(str) if values.dtype == object else values
    if not whole and y.dtype.kind == "f" and (y == np.round(y)).all():
        y = y.astype(np.int64)  # whole numbers, read as real ones because some cells are empty
    try:
        known = resolve_task(y, task)
        Truth.of(y, known)
    except ModalityError as error:
        raise ConfigError(f"The target {name!r}: {str(error).replace('task=', '--task ')}") from None
    kinds = len(np.unique(y))
    if known == "classification" and kinds > len(y) / 2:
        raise ConfigError(
            f"The target {name!r} has {kinds} different values on {len(y)} rows, so most classes have a single row. "
            "Choose a column of classes, or say --task regression if these are quantities."
        )
    told = f"{kinds} classes" if known == "classification" else "quantities"
    notes.append(f"{name}: {told} (--task says otherwise)")
    return y, known


def labels_of(values: Shaped[np.ndarray, " n"]) -> tuple[Int[np.ndarray, "n q"], list[str]]:
    """Texts such as `red; large` -> a 0/1 column for each label, and the labels in sorted order.

    Raises:
        ConfigError: fewer than two labels.
    """
    sets = [{part for part in SEPARATORS.split(str(text).strip()) if part} for text in values]
    labels = sorted(set().union(*sets))
    if len(labels) < 2:
        raise ConfigError(
            f"--task multilabel needs texts of several labels, such as 'red; large' (parted by ; or , or |); got only {labels}."
        )
    return np.array([[int(label in found) for label in labels] for found in sets]), labels


def _divide(
    dataset: Dataset,
    y: np.ndarray,
    task: KnownTask,
    division: Division,
    groups: Int[np.ndarray, " n"],
    notes: list[str],
) -> tuple[Split, ...]:
    if division.split is None:
        found = honest_splits(
            dataset.data, y, n_splits=division.n, test_size=division.test_size, groups=groups, task=task, random_state=division.seed
        )  # fmt: skip
        tied = len(groups) - int(groups.max()) - 1
        if tied:
            why = f"a value of {division.groups} or" if division.groups else "a value:"
            notes.append(
                f"rows that share {why} a stored value stay on one side ({int(groups.max()) + 1} groups)"
            )
    else:
        found = _by_column(text_of(dataset, division.split), division, notes)
    for name, number in thin_classes(y, found, task).items():
        notes.append(
            f"class {name!r} is not on both sides in {number} of {len(found)} splits: too few rows or groups"
        )
    return found


def _by_column(values: np.ndarray, division: Division, notes: list[str]) -> tuple[Split, ...]:
    lower = np.char.lower(values.astype(str))
    train, there = np.isin(lower, TRAINING_NAMES), sorted(set(values.tolist()))
    if not train.any() or train.all():
        raise ConfigError(
            f"--split {division.split} needs rows of value 'train' and others, the column holds {there[:8]}."
        )
    test = np.isin(lower, TEST_NAMES)
    if not test.any():
        test = ~train
    unused = sorted(set(values[~train & ~test].tolist()))
    if unused:
        notes.append(f"rows of {division.split} {unused} are used neither to learn nor to test")
    return tuple(
        replace(split, test=np.flatnonzero(test))
        for split in given_split(train, n_seeds=division.n, seed=division.seed)
    )

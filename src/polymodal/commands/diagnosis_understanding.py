"""What `diagnose` understood: the rows and modalities it can use, what the target is, which rows belong together, the folds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from polymodal.commands.diagnosis_words import listed
from polymodal.commands.sources import target_of
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import generator
from polymodal.core.task import resolve_task
from polymodal.core.typing import Int, Shaped
from polymodal.datasets.dataset import Dataset

N_FOLDS = 5
FEWEST_OF_A_CLASS = 5
MOST_CLASSES = 20
RICH_NUMBERS, RICH_CHARACTERS = 6, 20
LINKED_TOO_WIDELY = 0.2
"""A chain of equal values that ties more than this share of the rows together is no unit that can be held out."""
Task = Literal["auto", "classification", "regression"]


@dataclass(frozen=True)
class ModalityFacts:
    """One modality: what it is, how many of the rows with a target lack it, how many different values it has."""

    name: str
    kind: str
    shape: tuple[int, ...]
    missing: int
    distinct: int


@dataclass(frozen=True)
class Understanding:
    """What was understood, and what was left out and why.

    Args:
        target: Name of the target.
        task: classification or regression.
        rows: Rows in the data.
        used: Rows that the answers are about: with a target and every modality, after sampling.
        units: Groups of rows that are held out together; `used` where every row stands alone.
        classes: Class -> rows used; empty for quantities.
        modalities: Every modality, also those left out.
        constant: Modalities with one value on every row; left out.
        identical: Pairs of modalities that hold the same values.
        answers: Modality -> the column that equals the target.
        duplicates: Rows used that equal an earlier one in every modality.
        conflicts: Those of them whose target differs from that of the earlier row.
        notes: What was decided, as sentences.
    """

    target: str
    task: str
    rows: int
    used: int
    units: int
    classes: dict[str, int]
    modalities: tuple[ModalityFacts, ...]
    constant: tuple[str, ...]
    identical: tuple[tuple[str, str], ...]
    answers: dict[str, str]
    duplicates: int
    conflicts: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Question:
    """The rows to answer from: complete, with modalities that vary, and the fold of each row.

    Args:
        data: The modalities, in alphabetical order.
        y: One class (text) or quantity a row.
        task: classification or regression.
        groups: Rows of one number are held out together.
        folds: One number a row.
    """

    data: Modalities
    y: Shaped[np.ndarray, " n"]
    task: str
    groups: Int[np.ndarray, " n"]
    folds: Int[np.ndarray, " n"]

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return self.data.names

    @property
    def n_units(self) -> int:
        """Groups of rows."""
        return int(self.groups.max()) + 1

    def labels(self) -> Int[np.ndarray, " n"]:
        """A class a row; quantities are cut into four classes of equal size."""
        if self.task == "classification":
            return np.asarray(np.unique(self.y, return_inverse=True)[1]).reshape(-1)
        edges = np.unique(np.quantile(self.y, (0.25, 0.5, 0.75)))
        return np.unique(np.searchsorted(edges, self.y), return_inverse=True)[1].reshape(-1)

    def sample(self, most: int, seed: int) -> Int[np.ndarray, " m"]:
        """At most so many rows, drawn at random, in their order."""
        return np.sort(np.random.default_rng(seed).permutation(len(self.y))[:most])


def understand(
    dataset: Dataset,
    target: str,
    *,
    task: Task = "auto",
    group: str | None = None,
    max_rows: int = 3000,
    n_folds: int = N_FOLDS,
    random_state: int = 0,
) -> tuple[Question, Understanding]:
    """Choose rows and modalities, and fold the rows so that what belongs together stays together.

    Args:
        dataset: The data.
        target: A metadata column.
        task: What the target holds; `"auto"` by its type.
        group: A metadata column; rows of one value are held out together. Rows that share a value always are.
        max_rows: More rows are sampled, whole groups at a time.
        n_folds: Folds; fewer where a class has fewer units.
        random_state: Of the sample and the folds.

    Raises:
        ConfigError: no such column, or a target that has one value.
        ModalityError: no row has every modality, or every modality is constant.
    """
    notes: list[str] = []
    values, known = target_of(dataset, target)
    if not known.all():
        notes.append(f"{int((~known).sum()):,} rows without a target are left out.")
    part = dataset[np.flatnonzero(known)]
    values = values[known]
    found = task if task != "auto" else resolve_task(values)
    y = _target(values, found, target)
    facts = tuple(_facts(part.data, name) for name in sorted(part.data.names))
    rows = _usable(part.data, y, found, notes)
    part, y = part[rows], y[rows]
    constant = tuple(name for name in sorted(part.data.names) if _is_constant(part.data, name))
    names = [name for name in sorted(part.data.names) if name not in constant]
    if not names:
        raise ModalityError(
            f"Every modality is constant on the {len(part)} rows that can be used: {list(constant)}. Nothing can be told from them."
        )
    data = part.data.select(*names)
    groups = _groups(data, part.metadata, group, notes)
    kept = _sampled(groups, max_rows, random_state)
    if len(kept) < len(y):
        notes.append(f"{len(kept):,} of {len(y):,} usable rows are looked at, drawn at random (--limit).")
    data, y = data[kept], y[kept]
    groups = np.unique(groups[kept], return_inverse=True)[1].reshape(-1)
    question = Question(data, y, found, groups, _folds(y, groups, found, n_folds, random_state))
    if constant:
        notes.append(f"{listed(constant)} {_be(constant)} the same on every row and left out.")
    codes = {name: data[name].identity for name in names}
    repeated, conflicts = _duplicates(list(codes.values()), y)
    facts_found = Understanding(
        target=target,
        task=found,
        rows=len(dataset),
        used=len(y),
        units=question.n_units,
        classes=_counts(y) if found == "classification" else {},
        modalities=facts,
        constant=constant,
        identical=tuple((a, b) for a, b in combinations(names, 2) if _same(data, a, b)),
        answers={name: column for name in names if (column := _answer(data, name, y, found))},
        duplicates=repeated,
        conflicts=conflicts,
        notes=tuple(notes),
    )
    return question, facts_found


# --- the target -----------------------------------------------------------------------------------------------------


def _target(values: np.ndarray, task: str, name: str) -> np.ndarray:
    if task == "regression":
        if values.dtype.kind not in "biuf":
            raise ConfigError(
                f"The target {name!r} holds texts, which are no quantities. Say --task classification."
            )
        y = values.astype(float)
    else:
        y = values.astype(str)
    if len(np.unique(y)) < 2:
        raise ConfigError(
            f"The target {name!r} has one value ({values[0]!s}) on all {len(y):,} rows that have one: nothing can be told apart. "
            "Choose another column, or add rows of another class."
        )
    return y


def _usable(data: Modalities, y: np.ndarray, task: str, notes: list[str]) -> Int[np.ndarray, " k"]:
    """Complete rows of classes that have enough of them."""
    complete = np.logical_and.reduce(list(data.present.values()))
    if complete.sum() < 2:
        present = {name: int(has.sum()) for name, has in data.present.items()}
        raise ModalityError(
            f"Two rows with every modality are needed, got {int(complete.sum())} (rows that have each: {present}). "
            "Keep modalities that occur together: --only NAME,NAME."
        )
    if not complete.all():
        notes.append(
            f"{int((~complete).sum()):,} rows lack a modality and are left out: everything is compared on the same rows."
        )
    rows = np.flatnonzero(complete)
    if task == "regression":
        if np.ptp(y[rows]) == 0:
            raise ConfigError(
                "The target has one value on all rows that have every modality: nothing can be told apart."
            )
        return rows
    classes, counts = np.unique(y[rows], return_counts=True)
    fewest = FEWEST_OF_A_CLASS if (counts >= FEWEST_OF_A_CLASS).sum() >= 2 else 2
    common = classes[np.argsort(-counts, kind="stable")][:MOST_CLASSES]
    kept = np.isin(classes, common) & (counts >= fewest)
    if kept.sum() < 2:
        raise ConfigError(
            f"Two classes with two rows or more are needed among the rows that have every modality, got {_short(_counts(y[rows]))}."
        )
    if not kept.all():
        notes.append(
            f"{int((~kept).sum())} of {len(classes)} classes are left out ({int(counts[~kept].sum())} rows): the {MOST_CLASSES} commonest "
            f"with {fewest} rows or more are looked at."
        )
    return rows[np.isin(y[rows], classes[kept])]


# --- rows that belong together --------------------------------------------------------------------------------------


def _groups(
    data: Modalities, metadata: dict[str, np.ndarray], group: str | None, notes: list[str]
) -> Int[np.ndarray, " n"]:
    """Rows joined by the group column or by equal values."""
    codes = {name: column.identity if _is_rich(column) else column.index for name, column in data.items()}
    given: list[np.ndarray] = []
    if group is not None:
        if group not in metadata:
            raise ConfigError(
                f"The data have no metadata column {group!r} to group by; they have {sorted(metadata)}."
            )
        given = [np.unique(metadata[group].astype(str), return_inverse=True)[1].reshape(-1)]
    while codes:
        groups = linked_rows([*given, *codes.values()])
        if np.bincount(groups).max() <= max(2, LINKED_TOO_WIDELY * len(groups)):
            break
        fewest = min(codes, key=lambda name: len(np.unique(codes[name])))
        del codes[fewest]
    else:
        groups = linked_rows(given) if given else np.arange(len(data))
    loose = [name for name in data.names if name not in codes]
    if loose:
        notes.append(
            f"Equal values of {listed(loose)} occur on so many rows that they cannot all be held out together: such rows may stand on "
            "both sides of a split."
        )
    if groups.max() + 1 < len(groups):
        by = f"of one {group}, or " if group else ""
        notes.append(
            f"Rows {by}that share a value are held out together: {int(groups.max()) + 1:,} units among {len(groups):,} rows."
        )
    if groups.max() < 1:
        raise ConfigError(
            f"All rows belong to one group of {group!r}: nothing can be held out. Choose another column."
        )
    return groups


def _is_rich(column: Modality) -> bool:
    """Whether equal values are no coincidence: not so for a few numbers (ages) or a word (a category)."""
    if column.kind == "vector":
        return column.shape[0] >= RICH_NUMBERS
    if column.kind == "text":
        return float(np.median([len(text) for text in column.values()])) >= RICH_CHARACTERS
    return True


def _sampled(groups: np.ndarray, most: int, random_state: int) -> Int[np.ndarray, " k"]:
    """Rows of whole groups, drawn at random until there are `most`."""
    if len(groups) <= most:
        return np.arange(len(groups))
    sizes = np.bincount(groups)
    order = np.random.default_rng(random_state).permutation(len(sizes))
    chosen = order[: max(2, int(np.searchsorted(np.cumsum(sizes[order]), most, side="right")))]
    return np.flatnonzero(np.isin(groups, chosen))


def _folds(
    y: np.ndarray, groups: np.ndarray, task: str, n_folds: int, random_state: int
) -> Int[np.ndarray, " n"]:
    """A fold a row; whole groups, classes (or quarters of the quantities) dealt evenly."""
    if task == "classification":
        codes = np.unique(y, return_inverse=True)[1].reshape(-1)
    else:
        codes = np.searchsorted(np.unique(np.quantile(y, (0.25, 0.5, 0.75))), y)
    n_groups = int(groups.max()) + 1
    order = generator(random_state).permutation(n_groups)
    first = np.zeros(n_groups, dtype=int)
    first[groups[::-1]] = codes[::-1]  # the class of the group's first row
    order = order[np.argsort(first[order], kind="stable")]
    count = min(n_folds, n_groups)
    if task == "classification":
        smallest = min(len(np.unique(groups[codes == c])) for c in np.unique(codes))
        count = max(2, min(count, smallest))
    fold_of = np.empty(n_groups, dtype=int)
    fold_of[order] = np.arange(n_groups) % count
    return np.asarray(fold_of[groups])


# --- what looks odd -------------------------------------------------------------------------------------------------


def _facts(data: Modalities, name: str) -> ModalityFacts:
    column = data[name]
    return ModalityFacts(
        name,
        column.kind,
        tuple(column.shape or ()),
        int((~column.present).sum()),
        int((np.unique(column.identity) >= 0).sum()),
    )


def _is_constant(data: Modalities, name: str) -> bool:
    return len(np.unique(data[name].identity)) == 1


def _same(data: Modalities, a: str, b: str) -> bool:
    """Whether two modalities hold the same value on every row."""
    left, right = data[a], data[b]
    if left.kind != right.kind or left.shape != right.shape:
        return False
    x, y = left.values(), right.values()
    if left.kind == "text":
        return list(x) == list(y)
    if left.kind not in ("vector", "grid"):
        return False
    return bool(np.array_equal(np.asarray(x), np.asarray(y)))


def _answer(data: Modalities, name: str, y: np.ndarray, task: str) -> str | None:
    """The column of a modality that equals the target (up to names of classes, or unit and sign of quantities)."""
    column = data[name]
    if column.kind == "text":
        texts = list(column.values())
        return "the text" if task == "classification" and _one_to_one(np.array(texts), y) else None
    if column.kind != "vector":
        return None
    x = np.asarray(column.values(), dtype=float).reshape(len(y), -1)
    for place in range(x.shape[1]):
        if task == "classification":
            if np.ptp(x[:, place]) > 0 and _one_to_one(x[:, place], y):
                return f"column {place}"
        elif np.ptp(x[:, place]) > 0 and len(y) > 3 and abs(np.corrcoef(x[:, place], y)[0, 1]) > 1 - 1e-9:
            return f"column {place}"
    return None


def _one_to_one(x: np.ndarray, y: np.ndarray) -> bool:
    a = np.unique(x, return_inverse=True)[1].reshape(-1)
    b = np.unique(y, return_inverse=True)[1].reshape(-1)
    pairs = len(np.unique(a * (b.max() + 1) + b))
    return bool(a.max() == b.max() and pairs == a.max() + 1)


def _duplicates(codes: list[np.ndarray], y: np.ndarray) -> tuple[int, int]:
    """Rows equal to an earlier one in every modality, and those of them with another target."""
    _, first, inverse = np.unique(np.stack(codes), axis=1, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    return len(y) - len(first), int((y != y[first][inverse]).sum())


def _counts(y: np.ndarray) -> dict[str, int]:
    classes, counts = np.unique(y, return_counts=True)
    return {str(c): int(n) for c, n in zip(classes, counts, strict=True)}


def _short(counts: dict[str, Any]) -> str:
    return ", ".join(f"{k}: {v}" for k, v in list(counts.items())[:6]) + (", ..." if len(counts) > 6 else "")


def _be(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"

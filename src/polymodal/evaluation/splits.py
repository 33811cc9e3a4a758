"""Honest splits: what belongs together stays together, and every class is on both sides where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import check_target
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.random import seed as seed_of
from polymodal.core.task import resolve_task
from polymodal.core.typing import Bool, Int, Shaped

BINS = 5
"""Parts of equal size that quantities are dealt by, so that both sides hold small and large ones."""


@dataclass(frozen=True, eq=False)
class Split:
    """One division of the rows.

    Args:
        train: Rows to learn from.
        test: Rows to measure on.
        seed: What methods that draw numbers are seeded with.
    """

    train: Int[np.ndarray, " a"]
    test: Int[np.ndarray, " b"]
    seed: int = 0


def row_groups(data: Modalities | Mapping[str, Any], groups: Any = None) -> Int[np.ndarray, " n"]:
    """A label per row: rows that share a stored value (captions of one picture), or a value of `groups`, have one label.

    Raises:
        ModalityError: `groups` of another length.
    """
    frame = Modalities.of(data)
    codes = [column.index for _, column in frame.items()]
    if groups is not None:
        given = np.asarray(groups)
        if given.shape != (len(frame),):
            raise ModalityError(f"groups needs one label per row ({len(frame)}), got shape {given.shape}.")
        codes.append(np.unique(given.astype(str), return_inverse=True)[1].astype(np.int64))
    return linked_rows(codes)


def honest_splits(
    data: Modalities | Mapping[str, Any],
    y: Any,
    *,
    n_splits: int = 5,
    test_size: float = 0.25,
    groups: Any = None,
    task: str = "auto",
    random_state: RandomState = 0,
) -> tuple[Split, ...]:
    """Divide the rows again and again at random: whole groups, and each class (or fifth of a quantity) in its share.

    Args:
        data: The modalities; rows that share a stored value stay in one part.
        y: The target.
        n_splits: How many divisions, each drawn anew.
        test_size: Share of the rows to test on, in (0, 1); groups are whole, so it is met as nearly as they allow.
        groups: One label per row, such as the speaker; rows of one label stay in one part.
        task: What y holds: auto, classification, regression or multilabel (which is not stratified).
        random_state: Seed of the divisions, and of the methods in each.

    Raises:
        ModalityError: a size that leaves a part empty, classes that too few groups hold, rows that cannot be parted.

    Relations:
        * no group stands on both sides
        * a class that two groups or more hold stands on both sides, where groups hold one class each

    Complexity:
        O(n_splits n log n).
    """
    frame, target = Modalities.of(data), check_target(y)
    if len(target) != len(frame):
        raise ModalityError(f"A split needs one target per row: {len(frame)} rows, {len(target)} targets.")
    if not 0 < test_size < 1 or isinstance(n_splits, bool) or n_splits < 1:
        raise ModalityError(
            f"Splits need 0 < test_size < 1 and n_splits of at least 1, got {test_size} and {n_splits}."
        )
    labels, strata = row_groups(frame, groups), _strata(target, resolve_task(target, task))
    if len(labels) and labels.max() == 0:
        raise ModalityError(
            f"A split needs rows that can be parted, but all {len(frame)} rows of {list(frame.names)} are tied together by values "
            "they share. Leave out the modality that ties them, or give the split yourself."
        )
    rng = generator(random_state)
    found = []
    for _ in range(n_splits):
        test = _draw(labels, strata, test_size, rng)
        if not test.any() or test.all():
            raise ModalityError(
                f"A split of {len(frame)} rows in {labels.max() + 1} groups by test_size={test_size} leaves a part empty. "
                "Take another size."
            )
        found.append(Split(np.flatnonzero(~test), np.flatnonzero(test), seed_of(rng)))
    return tuple(found)


def given_split(train: Bool[np.ndarray, " n"], *, n_seeds: int = 3, seed: int = 0) -> tuple[Split, ...]:
    """A division that came with the data, once for each of several seeds of the methods.

    Raises:
        ModalityError: a part is empty.
    """
    if not train.any() or train.all():
        raise ModalityError(
            f"A given split needs rows on both sides, got {int(train.sum())} of {len(train)} to learn from."
        )
    return tuple(
        Split(np.flatnonzero(train), np.flatnonzero(~train), seed + number) for number in range(n_seeds)
    )


def _strata(y: Shaped[np.ndarray, "n ..."], task: str) -> Int[np.ndarray, " n"]:
    if task == "classification":
        return np.unique(y.ravel(), return_inverse=True)[1].astype(np.int64)
    if task == "regression" and y.ndim == 1:
        order = np.argsort(np.argsort(y, kind="stable"))
        return np.asarray(order * min(BINS, len(y)) // len(y), dtype=np.int64)
    return np.zeros(len(y), dtype=np.int64)


def _draw(
    groups: Int[np.ndarray, " n"], strata: Int[np.ndarray, " n"], share: float, rng: np.random.Generator
) -> Bool[np.ndarray, " n"]:
    """Deal whole groups, the commonest stratum of each deciding where it counts; a stratum of one group stays in training."""
    n_groups, n_strata = int(groups.max()) + 1, int(strata.max()) + 1
    counts = np.zeros((n_groups, n_strata), dtype=np.int64)
    np.add.at(counts, (groups, strata), 1)
    kind, size = counts.argmax(axis=1), counts.sum(axis=1)
    test = np.zeros(n_groups, dtype=bool)
    for stratum in range(n_strata):
        members = rng.permutation(np.flatnonzero(kind == stratum))
        if len(members) < 2:
            continue
        reached = np.cumsum(size[members])
        chosen = int(np.argmin(np.abs(reached - share * reached[-1]))) + 1
        test[members[: min(max(chosen, 1), len(members) - 1)]] = True
    rows: np.ndarray = test[groups]
    return rows


def thin_classes(
    y: Shaped[np.ndarray, "n ..."], splits: Sequence[Split], task: str = "auto"
) -> dict[str, int]:
    """Class -> how many splits do not test it, or do not teach it; only those that lack it somewhere."""
    if resolve_task(y, task) != "classification":
        return {}
    flat = y.ravel()
    classes = np.unique(flat)
    lacking = {
        str(c): sum(c not in flat[s.train] or c not in flat[s.test] for s in splits) for c in classes.tolist()
    }
    return {name: number for name, number in lacking.items() if number}

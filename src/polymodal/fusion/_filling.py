"""What stands where a row lacks a modality, when all modalities must make one vector. Learned from training rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from polymodal.core.typing import Bool, Float

Filling = Literal["mean", "nearest", "regression"]

NEIGHBOURS = 5
RIDGES = tuple(10.0**power for power in range(-2, 6))
"""Penalties of `regression`, on standardised columns; leave-one-out error chooses."""

Blocks = Mapping[str, Float[np.ndarray, "_ _"]]
Masks = Mapping[str, Bool[np.ndarray, " _"]]


def block_means(blocks: Blocks, present: Masks) -> dict[str, Float[np.ndarray, " _"]]:
    """Mean of each modality's columns over the rows that have it."""
    return {name: values[present[name]].mean(axis=0) for name, values in blocks.items()}


def fill(
    blocks: Blocks,
    present: Masks,
    *,
    strategy: Filling,
    means: Mapping[str, Float[np.ndarray, " _"]],
    known: Blocks,
    known_present: Masks,
    learned: dict[tuple[tuple[str, ...], str], Any],
) -> dict[str, Float[np.ndarray, "_ _"]]:
    r"""The same blocks with every absent one replaced.

    Args:
        blocks: Name -> values; those of absent rows are not read.
        present: Name -> True where the row has it.
        strategy: `"mean"` of the training rows; `"nearest"`, the mean of the 5 training rows that are nearest by the columns
            that both have; `"regression"`, $E[x_m \mid x_P]$ by ridge regression on the modalities P that the row has, learned
            from the training rows that have these and m.
        means: From `block_means` of the training rows; taken where nothing can be learned.
        known: Training values, and
        known_present: what of them is there. Not read by `"mean"`.
        learned: The regressions so far, by what is given and what is sought: new ones are added, known ones used.

    Relations:
        * a row is filled by itself: other rows of `blocks` do not matter
        * x_m linear in x_P without noise: `"regression"` finds it as the penalty goes to 0
    """
    full = {name: np.where(present[name][:, None], values, means[name]) for name, values in blocks.items()}
    if strategy == "mean" or all(present[name].all() for name in blocks):
        return full
    if strategy == "nearest":
        _from_neighbours(full, present, known, known_present)
    else:
        _from_regression(full, present, known, known_present, learned)
    return full


def _from_neighbours(
    full: dict[str, np.ndarray], present: Masks, known: Blocks, known_present: Masks
) -> None:
    from sklearn.impute import KNNImputer

    names = list(full)
    lacking = np.logical_or.reduce([~present[name] for name in names])
    imputer = KNNImputer(n_neighbors=NEIGHBOURS).fit(with_gaps(known, known_present, names))
    asked = {name: full[name][lacking] for name in names}
    filled = imputer.transform(with_gaps(asked, {name: present[name][lacking] for name in names}, names))
    start = 0
    for name in names:
        stop = start + full[name].shape[1]
        full[name][lacking] = filled[:, start:stop]
        start = stop


def _from_regression(
    full: dict[str, np.ndarray],
    present: Masks,
    known: Blocks,
    known_present: Masks,
    learned: dict[tuple[tuple[str, ...], str], Any],
) -> None:
    from sklearn.linear_model import RidgeCV

    names = list(full)
    for rows, has in patterns(present, names):
        given = np.hstack([full[name][rows] for name in has])
        for name in set(names) - set(has):
            if (has, name) not in learned:
                both = np.logical_and.reduce([known_present[m] for m in (*has, name)])
                X = np.hstack([known[h][both] for h in has])
                # fewer than three rows that have both: the mean stays
                learned[has, name] = RidgeCV(alphas=RIDGES).fit(X, known[name][both]) if len(X) > 2 else None
            model = learned[has, name]
            if model is not None:
                full[name][rows] = np.asarray(model.predict(given)).reshape(len(rows), -1)


def with_gaps(blocks: Blocks, present: Masks, names: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """All columns side by side, NaN where the row lacks the modality."""
    return np.hstack([np.where(present[name][:, None], blocks[name], np.nan) for name in names])


def patterns(present: Masks, names: Sequence[str]) -> list[tuple[np.ndarray, tuple[str, ...]]]:
    """The sets of modalities that rows have: positions of those rows, and the names."""
    stacked = np.stack([present[name] for name in names], axis=1)
    found = []
    for pattern in np.unique(stacked, axis=0):
        has = tuple(name for name, there in zip(names, pattern, strict=True) if there)
        found.append((np.flatnonzero((stacked == pattern).all(axis=1)), has))
    return found

"""How good predictions are: accuracy, R2 and the area under the ROC curve, each with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Num, Shaped
from polymodal.evaluation.intervals import Interval, bootstrap_interval

Groups = Sequence[Any] | np.ndarray | None


def accuracy(
    y: Shaped[np.ndarray, " n"],
    predicted: Shaped[np.ndarray, " m"],
    *,
    groups: Groups = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state: RandomState = 0,
) -> Interval:
    """Share of rows that are predicted right, in [0, 1].

    Args:
        y: The truth.
        predicted: The predictions.
        groups: One label per row; whole groups are resampled (rows of one speaker are not independent).
        n_resamples: Number of samples drawn with replacement.
        level: Share of the resampled values inside the interval, in (0, 1).
        random_state: Seed.

    Raises:
        ModalityError: no rows, or other lengths.

    Relations:
        * equals scikit-learn's `accuracy_score`
    """
    _check(y, predicted)
    right = (y == predicted).astype(float)
    return bootstrap_interval(
        right, groups=groups, n_resamples=n_resamples, level=level, random_state=random_state
    )


def r2(
    y: Num[np.ndarray, " n"],
    predicted: Num[np.ndarray, " m"],
    *,
    groups: Groups = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state: RandomState = 0,
) -> Interval:
    r"""Share of the variance that is predicted: $1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2$, at most 1.

    Arguments as for `accuracy`. Samples in which y is constant are left out.

    Raises:
        ModalityError: no rows, other lengths, or a constant y.

    Relations:
        * equals scikit-learn's `r2_score`; predicting the mean gives 0
    """
    _check(y, predicted)
    truth = np.asarray(y, dtype=float) - float(np.mean(y))  # centred: sums of squares lose nothing
    squares = (truth + float(np.mean(y)) - predicted) ** 2
    if not truth.any():
        raise ModalityError("r2 needs a y that varies, got a constant.")

    def value(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(axis=1)
        total = weights @ truth**2 - (weights @ truth) ** 2 / n
        return np.asarray(1 - weights @ squares / np.where(total > 0, total, np.nan))

    return _bootstrap(value, len(y), groups, n_resamples, level, random_state)


def roc_auc(
    y: Shaped[np.ndarray, " n"],
    score: Num[np.ndarray, " m"],
    *,
    groups: Groups = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state: RandomState = 0,
) -> Interval:
    """Probability that a row of the second class scores higher than one of the first; ties count half. 0.5 is chance.

    Arguments as for `accuracy`; `y` holds two classes (in sorted order), `score` is larger for the second. Samples with
    one class only are left out.

    Raises:
        ModalityError: no rows, other lengths, or not exactly two classes.

    Relations:
        * equals scikit-learn's `roc_auc_score`; roc_auc(y, -score) = 1 - roc_auc(y, score)
    """
    _check(y, score)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) != 2:
        raise ModalityError(
            f"roc_auc needs two classes, got {classes.tolist()[:5]}. Compare one class with the rest."
        )
    _, level_of = np.unique(score, return_inverse=True)
    order = np.argsort(level_of, kind="stable")
    starts = np.flatnonzero(np.diff(level_of[order], prepend=-1))

    def value(weights: np.ndarray) -> np.ndarray:
        sorted_weights = weights[:, order]
        low = np.add.reduceat(sorted_weights * (codes[order] == 0), starts, axis=1)
        high = np.add.reduceat(sorted_weights * (codes[order] == 1), starts, axis=1)
        wins = (high * (np.cumsum(low, axis=1) - low / 2)).sum(axis=1)
        pairs = low.sum(axis=1) * high.sum(axis=1)
        return np.asarray(wins / np.where(pairs > 0, pairs, np.nan))

    return _bootstrap(value, len(y), groups, n_resamples, level, random_state)


def _check(y: np.ndarray, predicted: np.ndarray) -> None:
    if len(y) == 0 or len(y) != len(predicted):
        raise ModalityError(f"One prediction per row is needed: {len(y)} rows, {len(predicted)} predictions.")


def _bootstrap(
    value: Callable[[np.ndarray], Float[np.ndarray, " b"]],
    n: int,
    groups: Groups,
    n_resamples: int,
    level: float,
    random_state: RandomState,
) -> Interval:
    """Percentile bootstrap of a statistic of weighted rows. O(n n_resamples) time, blocks of 32 MiB."""
    if not 0 < level < 1 or n_resamples < 1:
        raise ModalityError(
            f"An interval needs 0 < level < 1 and n_resamples >= 1, got {level} and {n_resamples}."
        )
    codes = (
        np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    )
    if len(codes) != n:
        raise ModalityError(f"groups needs one label per row ({n}), got {len(codes)}.")
    g, rng, found = int(codes.max()) + 1, generator(random_state), []
    step = max(1, (1 << 22) // n)
    for start in range(0, n_resamples, step):
        counts = rng.multinomial(g, np.full(g, 1 / g), size=min(step, n_resamples - start))
        found.append(value(counts[:, codes].astype(float)))
    resampled = np.concatenate(found)
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value(np.ones((1, n)))[0]), float(low), float(high), level)

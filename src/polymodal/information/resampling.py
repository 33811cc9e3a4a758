"""Intervals of any estimate by resampling rows, centred: what resampling adds in bias is taken out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float


@runtime_checkable
class Resampling(Protocol):
    """`Bootstrap` or `Subsampling`."""

    level: float

    def around(
        self, values: Any, again: Callable[[Any], Any], n: int, rng: np.random.Generator
    ) -> list[tuple[float, float]]:
        """One (low, high) for each of `values`."""


@dataclass(frozen=True)
class Bootstrap:
    """As many rows with replacement. Estimates from counts are biased upwards on resamples; deviations from the mean are used.

    Args:
        n_resamples: How many, >= 2.
        level: In (0, 1).
    """

    n_resamples: int = 200
    level: float = 0.95

    def __post_init__(self) -> None:
        _check(self.n_resamples, self.level)

    def around(
        self,
        values: Float[np.ndarray, " q"],
        again: Callable[[Any], Any],
        n: int,
        rng: np.random.Generator,
    ) -> list[tuple[float, float]]:
        """One (low, high) for each of `values`: value plus the quantiles of the resamples about their mean."""
        found = [again(rng.integers(n, size=n)) for _ in range(self.n_resamples)]
        return _about(values, found, 1.0, self.level)


@dataclass(frozen=True)
class Subsampling:
    r"""A share of the rows without replacement: valid also where repeated rows would spoil the estimate (nearest neighbours).

    Deviations of an estimate from b of n rows are shrunk by $\sqrt{b / (n - b)}$: b rows of n, without replacement, vary by
    $(1 - b/n)/b$ where n rows vary by $1/n$.

    Args:
        share: b / n, in (0, 1).
        n_resamples: How many, >= 2.
        level: In (0, 1).

    References: Politis, Romano and Wolf 1999.
    """

    share: float = 0.5
    n_resamples: int = 100
    level: float = 0.95

    def __post_init__(self) -> None:
        _check(self.n_resamples, self.level)
        if not 0 < self.share < 1:
            raise ModalityError(f"Subsampling needs a share in (0, 1), got {self.share}.")

    def around(
        self,
        values: Float[np.ndarray, " q"],
        again: Callable[[Any], Any],
        n: int,
        rng: np.random.Generator,
    ) -> list[tuple[float, float]]:
        """One (low, high) for each of `values`."""
        size = round(n * self.share)
        if not 2 <= size < n:
            raise ModalityError(
                f"Subsampling needs more rows: a share of {self.share} of {n} rows is {size}."
            )
        found = [again(rng.choice(n, size=size, replace=False)) for _ in range(self.n_resamples)]
        return _about(values, found, float(np.sqrt(size / (n - size))), self.level)


def _about(values: np.ndarray, found: list[Any], shrink: float, level: float) -> list[tuple[float, float]]:
    drawn = np.asarray(found, dtype=float).reshape(len(found), -1)
    return [_ends(float(v), column, shrink, level) for v, column in zip(values, drawn.T, strict=True)]


def _ends(value: float, drawn: np.ndarray, shrink: float, level: float) -> tuple[float, float]:
    if (
        not np.isfinite(value) or not np.isfinite(drawn).all()
    ):  # y a function of x: every resample says infinity
        return (value, value) if (drawn == value).all() else (-np.inf, np.inf)
    low, high = np.quantile(drawn - drawn.mean(), [(1 - level) / 2, (1 + level) / 2]) * shrink
    return float(value + low), float(value + high)


def _check(n_resamples: int, level: float) -> None:
    if n_resamples < 2 or not 0 < level < 1:
        raise ModalityError(
            f"An interval needs n_resamples >= 2 and 0 < level < 1, got {n_resamples} and {level}."
        )

"""Sparse CCA: directions with few non-zero weights whose components covary most, by penalised matrix decomposition."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from polymodal.coordination._linear import LinearCoordination
from polymodal.coordination._sparse_directions import SparseDirections, sparse_directions
from polymodal.core.errors import ConfigError, ConvergenceWarning, ModalityError, suggest
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import BLOCK_SIZE
from polymodal.core.random import RandomState, generator
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import pairwise_correlations


@dataclass(frozen=True, eq=False)
class PenaltyChoice:
    """Which L1 bound stands out most against rows paired at random.

    Args:
        candidates: The bounds tried, as shares of sqrt(d).
        correlations: Of the first component under each, mean over pairs of modalities.
        null_means: Mean of the same over shuffles.
        z: How many standard deviations (of Fisher's transform) the correlation lies above the shuffles.
        p_values: (1 + shuffles at least as correlated) / (1 + shuffles).
        n_features: Non-zero weights of the first component under each, all modalities together.
        best: The candidate of largest z.
    """

    candidates: Float[np.ndarray, " c"]
    correlations: Float[np.ndarray, " c"]
    null_means: Float[np.ndarray, " c"]
    z: Float[np.ndarray, " c"]
    p_values: Float[np.ndarray, " c"]
    n_features: Float[np.ndarray, " c"]
    best: float


class SparseCCA(LinearCoordination):
    r"""Linear projections of two or more modalities that use few features, and whose covariances, summed over all pairs, are largest.

    $$ \max_w \sum_{m < l} w_m'S_{ml}w_l \quad \text{subject to} \quad
       \lVert w_m \rVert_2 \le 1, \; \lVert w_m \rVert_1 \le \ell_m\sqrt{d_m} $$

    The penalised matrix decomposition: features are scaled to unit variance and their correlations within a modality are left out of
    the constraint, so nothing is inverted and any number of features per row works. Directions are found in turn, each exactly given the
    others; the objective never falls, and ends in a local optimum. Later components are of the covariances without the earlier ones, and
    their scores are not exactly uncorrelated.
    `score` is the mean, over components and pairs of modalities, of the correlation on the data given.

    Rows may lack modalities: each cross-covariance is over the rows that have both sides. An absent value never enters.

    Args:
        n_components: Components.
        l1: Bound on the L1 norm of a direction of unit length, as a share of sqrt(d), its largest possible; 1 leaves all features, and no
            bound is taken below an L1 norm of 1 (one feature). One number, or name -> number. `choose_l1` picks by permutation.
        scale: "feature" divides every feature by its standard deviation; "none" takes the units of the data.
        max_iter: Most rounds a component.
        tol: Stop when a round improves the objective by less than this share of it.
        block_size: Rows a block in `transform`.

    Attributes:
        weights_: Name -> (d, n_components), for the features as given: those of the formula over `scales_`.
        scales_: Name -> (d,), what each feature was divided by.
        means_: Name -> (d,).
        correlations_: Correlation of each component on the training rows, mean over pairs of modalities.
        covariances_: For each component the objective that was reached.
        objectives_: For each component the objective after every round.

    Raises:
        ModalityError: one modality, or more components than the fewest features of a modality, or rows less one.

    Complexity:
        O(n p) a round for p features in all.

    Relations:
        * l1 = 1, scale "none", two modalities: `PLS`.
        * the objective never falls from round to round.

    References:
        Witten, Tibshirani and Hastie 2009, "A penalized matrix decomposition". Witten and Tibshirani 2009, "Extensions of sparse canonical
        correlation analysis" (more than two, the choice by permutation).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, unpaired=True)

    n_components: int
    centres_: dict[str, np.ndarray]
    scales_: dict[str, np.ndarray]
    directions_: dict[str, np.ndarray]

    def __init__(
        self,
        n_components: int = 1,
        *,
        l1: float | Mapping[str, float] = 0.5,
        scale: Literal["feature", "none"] = "feature",
        max_iter: int = 500,
        tol: float = 1e-9,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.n_components = n_components
        self.l1 = l1
        self.scale = scale
        self.max_iter = max_iter
        self.tol = tol
        self.block_size = block_size

    @classmethod
    def _examples(cls) -> list[SparseCCA]:
        return [cls(), cls(2, l1=0.9)]

    # --- fitting ----------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_parameters(data)
        prepared = _prepare(data, self.scale)
        self.centres_ = dict(zip(self._names, prepared.means, strict=True))
        self.scales_ = dict(zip(self._names, prepared.scales, strict=True))
        shares = [self.l1[name] if isinstance(self.l1, Mapping) else self.l1 for name in self._names]
        found = self._directions(prepared, shares, self.n_components)
        if not found.converged:
            warnings.warn(
                f"SparseCCA stopped after max_iter={self.max_iter} rounds while still improving. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        empty = [name for name, w in zip(self._names, found.weights, strict=True) if not w[:, 0].any()]
        if len(self._names) - len(empty) < 2:
            raise ModalityError(
                f"SparseCCA needs features that vary together in at least two modalities, found none in {empty}. "
                "Drop the constant modality."
            )
        self.directions_ = dict(zip(self._names, found.weights, strict=True))
        self.covariances_ = found.covariances
        self.objectives_ = found.objectives
        self.correlations_ = prepared.correlations(found.weights)

    def choose_l1(
        self,
        data: Modalities | Mapping[str, Any],
        *,
        candidates: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        n_permutations: int = 25,
        random_state: RandomState = None,
    ) -> PenaltyChoice:
        """Try each bound, the same share for all modalities, on the rows as paired and on rows paired at random.

        The best is the one whose first component stands out most: largest z of Fisher's transform of its correlation. This object's own
        `l1` is not changed: `SparseCCA(2, l1=choice.best)`.

        Args:
            data: What `fit` would take.
            candidates: Shares of sqrt(d), in (0, 1].
            n_permutations: Shuffles for each candidate, the same ones.
            random_state: Seed of the shuffles.
        """
        frame = Modalities.of(data)
        self.requires.check(type(self).__name__, frame)
        prepared = _prepare(frame, self.scale)
        rng = generator(random_state)
        n, shuffled = len(frame), []
        for _ in range(n_permutations):
            orders = [np.arange(n), *(rng.permutation(n) for _ in prepared.views[1:])]
            shuffled.append(prepared.shuffled(orders))
        found = []
        for candidate in candidates:
            self._check_shares(candidate)
            real, null = self._first(prepared, candidate), [self._first(p, candidate)[0] for p in shuffled]
            found.append((*real, np.array(null)))
        correlations = np.array([real for real, _, _ in found])
        nulls = np.stack([null for _, _, null in found])
        fisher, fisher_null = _fisher(correlations), _fisher(nulls)
        z = (fisher - fisher_null.mean(axis=1)) / np.maximum(fisher_null.std(axis=1, ddof=1), 1e-12)
        p_values = (1 + (nulls >= correlations[:, None]).sum(axis=1)) / (1 + n_permutations)
        return PenaltyChoice(
            np.asarray(candidates, dtype=float),
            correlations,
            nulls.mean(axis=1),
            z,
            p_values,
            np.array([features for _, features, _ in found], dtype=float),
            float(candidates[int(z.argmax())]),
        )

    # --- what was learned -------------------------------------------------------------------------------------

    @property
    def weights_(self) -> dict[str, Float[np.ndarray, "d k"]]:
        """Name -> directions for the features as given, one a column: the component is (x - mean) @ weights."""
        self._check_fitted()
        return {name: self.directions_[name] / self.scales_[name][:, None] for name in self.modalities_}

    @property
    def means_(self) -> dict[str, Float[np.ndarray, " d"]]:
        """Name -> mean of the training rows that have the modality."""
        self._check_fitted()
        return {name: self.centres_[name] for name in self.modalities_}

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _ridge(self) -> float:
        return 1.0  # within a modality, correlations count for nothing

    def _first(self, prepared: _Prepared, share: float) -> tuple[float, int]:
        """Correlation and number of features of the first component under one bound."""
        found = self._directions(prepared, [share] * len(prepared.views), 1)
        return float(prepared.correlations(found.weights)[0]), sum(int((w != 0).sum()) for w in found.weights)

    def _directions(self, prepared: _Prepared, shares: Sequence[float], k: int) -> SparseDirections:
        bounds = [
            max(1.0, share * np.sqrt(view.shape[1]))
            for share, view in zip(shares, prepared.views, strict=True)
        ]
        return sparse_directions(
            prepared.views,
            bounds,
            n_components=k,
            max_iter=self.max_iter,
            tol=self.tol,
            counts=prepared.counts(),
        )

    def _check_parameters(self, data: Modalities) -> None:
        self._check_n_components()
        if self.scale not in ("feature", "none"):
            raise ConfigError(f'SparseCCA needs scale "feature" or "none", got {self.scale!r}.')
        if isinstance(self.l1, Mapping):
            wrong = sorted(set(self.l1) ^ set(data.names))
            if wrong:
                raise ModalityError(
                    f"l1 needs one number for each of {list(data.names)}, got {dict(self.l1)}.{suggest(wrong[0], data.names)}"
                )
        self._check_shares(*(self.l1.values() if isinstance(self.l1, Mapping) else [self.l1]))
        most = min(min(column.shape[0], int(column.present.sum()) - 1) for _, column in data.items())
        if self.n_components > max(most, 0):
            sizes = {name: (int(column.present.sum()), column.shape[0]) for name, column in data.items()}
            raise ModalityError(
                f"SparseCCA needs n_components <= {most}, the fewest features, or rows less one, of a modality "
                f"(rows and features: {sizes}), got {self.n_components}. Lower it."
            )

    def _check_shares(self, *shares: float) -> None:
        if not all(0 < share <= 1 for share in shares):
            raise ConfigError(f"SparseCCA needs 0 < l1 <= 1 (a share of sqrt(d)), got {list(shares)}.")


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Centred and scaled values with zeros on absent rows, modalities in alphabetical order."""

    views: list[np.ndarray]
    present: list[np.ndarray]
    means: list[np.ndarray]
    scales: list[np.ndarray]

    def counts(self) -> np.ndarray:
        """How many rows have each pair."""
        present = np.stack(self.present).astype(float)
        return np.asarray(present @ present.T)

    def shuffled(self, orders: Sequence[np.ndarray]) -> _Prepared:
        """Each modality's rows in an order of its own."""
        views = [view[order] for view, order in zip(self.views, orders, strict=True)]
        present = [has[order] for has, order in zip(self.present, orders, strict=True)]
        return replace(self, views=views, present=present)

    def correlations(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        """Of each component, the mean over pairs of modalities that occur together."""
        columns = {}
        for m, (view, w, has) in enumerate(zip(self.views, weights, self.present, strict=True)):
            columns[str(m)] = Modality(view @ w, np.where(has, np.arange(len(has)), -1))
        return pairwise_correlations(Modalities(columns))


def _prepare(data: Modalities, scale: str) -> _Prepared:
    views, present, means, scales = [], [], [], []
    for name in sorted(data.names):
        column = data[name]
        observed = np.asarray(column.observed(), dtype=np.float64)
        mean = observed.mean(axis=0)
        centred = observed - mean
        spread = np.sqrt((centred**2).sum(axis=0) / max(len(observed) - 1, 1))
        varies = spread > 1e-7 * np.abs(mean)  # what is left of a constant is rounding
        unit = np.where(varies, spread, 1.0) if scale == "feature" else np.ones(len(spread))
        view = np.zeros((len(data), len(spread)))
        view[column.present] = np.where(varies, centred / unit, 0.0)
        views.append(view)
        present.append(column.present)
        means.append(mean)
        scales.append(unit)
    return _Prepared(views, present, means, scales)


def _fisher(correlations: np.ndarray) -> np.ndarray:
    return np.asarray(np.arctanh(np.clip(correlations, -1 + 1e-12, 1 - 1e-12)))

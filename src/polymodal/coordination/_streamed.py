"""Linear coordinations that need means and covariances only: one pass over the rows, streamed or merged, and predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from polymodal.coordination._linear import LinearCoordination
from polymodal.coordination._prediction import check_target_name, coefficients, predict_rows
from polymodal.coordination._spans import spans
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Spec
from polymodal.core.linalg import nearest_semidefinite, signs
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import Moments, Precision, moments
from polymodal.core.typing import Float

FLOAT32_CONDITION = 1e4
"""float32 products err by about 1e-10 times the condition number of a covariance: at most 1e-6 in a correlation up to here."""

S = TypeVar("S", bound="StreamedCoordination")


@runtime_checkable
class Solution(Protocol):
    """What solving gives: for each modality in alphabetical order its directions and its rank."""

    @property
    def weights(self) -> tuple[np.ndarray, ...]: ...

    @property
    def ranks(self) -> tuple[int, ...]: ...

    @property
    def condition(self) -> float: ...


class StreamedCoordination(LinearCoordination):
    """Base of CCA and its kin: second-order moments are collected, and the method solves for its directions when they are asked for.

    A method writes `_solve`, which reads `moments_`, and `_with_weights`. Modalities with far more features than rows are fitted at once
    in coordinates of their span (`rotations_`); such a model cannot be added to.
    """

    reg: float
    precision: Precision

    moments_: Moments | None
    solution_: Any
    rotations_: dict[str, np.ndarray]
    offsets_: dict[str, np.ndarray]

    # --- what a method writes ---------------------------------------------------------------------------------

    @abstractmethod
    def _solve(self, seen: Moments) -> Solution:
        """Directions, in coordinates of the moments; no more of them than the data have."""

    @abstractmethod
    def _with_weights(self, solution: Any, weights: tuple[np.ndarray, ...]) -> Any:
        """The same solution with other directions."""

    def _add(self, frame: Modalities, precision: Precision) -> None:
        """Add the moments of these rows, modalities in alphabetical order."""
        new = moments(frame, precision=precision, block_size=self.block_size)
        self.moments_ = new if self.moments_ is None else self.moments_.merge(new)

    def _add_other(self: S, other: S) -> None:
        """Add the moments of another model."""
        self.moments_ = self._seen.merge(other._seen)

    # --- fitting ----------------------------------------------------------------------------------------------

    def partial_fit(self: S, data: Modalities | Mapping[str, Any], y: None = None) -> S:
        """Add rows to what has been seen; blocks of any size, one row included. Equals `fit` on all of them together.

        The first block fixes the modalities and their features. Directions are solved for when first asked for, not at every block.

        Raises:
            ModalityError: the data do not meet `requires`, or the features differ from those seen before.
        """
        self._check_parameters()
        frame = Modalities.of(data)
        once = replace(self.requires, min_rows=1, unpaired=self.requires.missing)
        if hasattr(self, "modalities_"):
            frame = self._with_absent(self._check_known(frame))
            if self.rotations_:
                raise ModalityError(
                    f"This {type(self).__name__} was fitted at once on more features than rows ({self.n_samples_} rows of "
                    f"{list(self.rotations_)}), in coordinates that new rows may not fit. Start with partial_fit on a new model."
                )
            if not self.requires.missing:
                once.check(type(self).__name__, frame, y)
        else:
            once.check(type(self).__name__, frame, y)
            self._begin(frame)
        self._add(frame.select(*self._names), self.precision)
        self._n_samples_ += _rows_with_any(frame)
        self.solution_ = None
        return self

    def merge(self: S, other: S) -> S:
        """Add the rows that another model has seen: fit shards in several processes, then merge. Returns itself.

        Raises:
            ModalityError: models of other modalities or features, or fitted on more features than rows.
        """
        self._check_fitted()
        other._check_fitted()
        if self.rotations_ or other.rotations_:
            raise ModalityError(
                "Merging needs models whose moments are of the features themselves, got one fitted on more features than rows. "
                "Use partial_fit."
            )
        self._add_other(other)
        self._n_samples_ += other._n_samples_
        self.solution_ = None
        return self

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_parameters()
        self._begin(data)
        spanned = spans(data.select(*self._names))
        self.offsets_, self.rotations_ = spanned.offsets, spanned.rotations
        self._n_samples_ = _rows_with_any(data)
        self._add(spanned.data, self.precision)
        solution = self._solve(self._seen)
        if self._is_coarse(solution):
            self.moments_ = None
            self._add(spanned.data, "float64")
            solution = self._solve(self._seen)
        self._check_rank(solution)
        self.solution_ = self._in_features(solution)

    def _begin(self, frame: Modalities) -> None:
        self.modalities_ = {name: Spec(column.kind, column.shape) for name, column in frame.items()}
        self.moments_ = self.solution_ = None
        self.rotations_, self.offsets_ = {}, {}
        self._n_samples_ = 0

    def _with_absent(self, frame: Modalities) -> Modalities:
        """A block in which no row has some modality still says so, in the fitted shape."""
        if not self.requires.missing:
            return frame
        absent = np.full(len(frame), -1)
        columns = {
            name: frame[name]
            if name in frame and frame[name].present.any()
            else Modality(np.zeros((1, *spec.shape)), absent)
            for name, spec in self.modalities_.items()
        }
        return Modalities(columns, ids=frame.ids)

    # --- what was learned -------------------------------------------------------------------------------------

    @property
    def weights_(self) -> dict[str, Float[np.ndarray, "d k"]]:
        """Name -> directions, one a column: the component is (x - mean) @ weights."""
        both = dict(zip(self._names_checked, self._solved().weights, strict=True))
        return {name: both[name][:, : self.n_components] for name in self.modalities_}

    @property
    def means_(self) -> dict[str, Float[np.ndarray, " d"]]:
        """Name -> mean of the training rows that have the modality."""
        self._check_fitted()
        return {name: self.offsets_.get(name, self._seen.mean(name)) for name in self.modalities_}

    @property
    def correlations_(self) -> Float[np.ndarray, " k"]:
        """Correlation of each component on the training rows, the mean over all pairs of modalities that occur together."""
        weights, seen = self._local_weights(), self._seen
        spread = {
            name: np.sqrt(np.maximum(np.einsum("ik,ik->k", w, seen.covariance(name) @ w), 0.0))
            for name, w in weights.items()
        }
        found = []
        for a, b in combinations(self._names, 2):
            if seen.count(a, b) < 2:
                continue
            shared = np.einsum("ik,ik->k", weights[a], seen.covariance(a, b) @ weights[b])
            scale = spread[a] * spread[b]
            found.append(np.divide(shared, scale, out=np.zeros_like(shared), where=scale > 0))
        return np.asarray(np.clip(np.mean(found, axis=0), -1.0, 1.0))

    @property
    def n_samples_(self) -> int:
        """Rows seen that have any modality."""
        self._check_fitted()
        return self._n_samples_

    # --- using it ---------------------------------------------------------------------------------------------

    def predict(self, data: Modalities | Mapping[str, Any], target: str) -> Float[np.ndarray, "n d"]:
        """One modality from the others that each row has, through their components: least squares on the training rows.

        Values of the target in `data` are not looked at. A row's sources decide which regression it takes, so any subset will do.
        After a fit with missing rows covariances are pairwise complete, and directions in which several sources vary together by less than
        the error of that are left out.

        Args:
            data: Some of the fitted modalities.
            target: Which one to predict.

        Raises:
            ModalityError: a row without any source, or a source that never occurred together with the target, where the method has no way
                around that (`GeneralisedCCA` has).

        Relations:
            * all components and no ridge: the multivariate least squares of the target on the sources.
            * CCA with k components: reduced-rank regression, weighted by the inverse covariance of the target.
        """
        frame = self._check_known(data)
        check_target_name(target, frame.names, list(self.modalities_))
        sources = frame.select(*(name for name in self._names if name in frame and name != target))
        weights, seen = self._local_weights(), self._seen

        def coefficients_of(having: Any) -> dict[str, np.ndarray]:
            blocks = [[weights[a].T @ self._between(a, b) @ weights[b] for b in having] for a in having]
            S_zz, S_zx = (
                np.block(blocks),
                np.vstack([weights[a].T @ self._between(a, target) for a in having]),
            )
            counts = [seen.count(a, b) for a in having for b in having]
            fewest = min(count for count in counts if count >= 2)
            B = coefficients(S_zz, S_zx, n_rows=None if seen.complete or len(having) == 1 else fewest)
            if target in self.rotations_:
                B = B @ self.rotations_[target].T
            return dict(zip(having, np.split(B, len(having)), strict=True))

        return predict_rows(self._transform(sources), target, self.means_[target], coefficients_of)

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _names_checked(self) -> tuple[str, ...]:
        self._check_fitted()
        return self._names

    @property
    def _ridge(self) -> float:
        return self.reg

    @property
    def _seen(self) -> Moments:
        self._check_fitted()
        assert self.moments_ is not None
        return self.moments_

    def _mean_variance(self, seen: Moments, name: str) -> float:
        """Of the features as given, however many span coordinates stand for them: the unit of the ridge."""
        return float(np.trace(seen.covariance(name))) / self.modalities_[name].shape[0]

    def _joint(self, seen: Moments) -> np.ndarray:
        """Covariance of all features; of pairwise complete rows where some are missing, then made positive semi-definite."""
        joint = seen.joint()
        return joint if seen.complete else nearest_semidefinite(joint)

    def _between(self, a: str, b: str) -> np.ndarray:
        """Covariance of two modalities, for predictions, in coordinates of the moments."""
        return self._seen.covariance(a, b)

    def _local_weights(self) -> dict[str, np.ndarray]:
        """Weights in coordinates of the moments."""
        return {
            name: self.rotations_[name].T @ w if name in self.rotations_ else w
            for name, w in self.weights_.items()
        }

    def _in_features(self, solution: Any) -> Any:
        if not self.rotations_:
            return solution
        weights = [
            self.rotations_[name] @ w if name in self.rotations_ else w
            for name, w in zip(self._names, solution.weights, strict=True)
        ]
        flips = signs(weights[0])
        return self._with_weights(solution, tuple(w * flips for w in weights))

    def _solved(self) -> Any:
        self._check_fitted()
        if self.solution_ is None:
            solution = self._solve(self._seen)
            if self._is_coarse(solution):
                import warnings

                warnings.warn(
                    f"float32 products are too coarse for these data (condition {solution.condition:.1e}, limit {FLOAT32_CONDITION:.0e}): "
                    'the correlations may be off. Stream again with precision="float64".',
                    RuntimeWarning,
                    stacklevel=3,
                )
            self._check_rank(solution)
            self.solution_ = solution
        return self.solution_

    def _is_coarse(self, solution: Solution) -> bool:
        seen = self._seen
        return seen.precision == "float32" and (
            solution.condition > FLOAT32_CONDITION or any(seen.cancels(name) for name in seen.names)
        )

    def _check_rank(self, solution: Solution) -> None:
        found = solution.weights[0].shape[1]
        if found and (self.n_components is None or self.n_components <= found):
            return
        method, ranks = type(self).__name__, dict(zip(self._names, solution.ranks, strict=True))
        if not found:
            where = "both modalities" if len(ranks) == 2 else "at least two modalities"
            raise ModalityError(
                f"{method} needs features that vary in {where}, and together, got ranks {ranks}. Drop the constant modality."
            )
        raise ModalityError(
            f"{method} needs n_components <= {found}, the number of components these data have (ranks {ranks}, {self.n_samples_} rows), "
            f"got {self.n_components}. Lower it, or use None for all."
        )

    def _check_rows(self, seen: Moments) -> None:
        few = {name: seen.count(name) for name in seen.names if seen.count(name) < 2}
        if few:
            raise ModalityError(
                f"{type(self).__name__} needs at least 2 rows of each modality, has seen {few}. Call partial_fit with more."
            )

    def _check_parameters(self) -> None:
        method = type(self).__name__
        self._check_n_components()
        if not 0 <= self.reg <= 1:
            raise ConfigError(
                f"{method} needs 0 <= reg <= 1 (S -> (1 - reg) S + reg tr(S)/d I), got {self.reg}."
            )
        if self.precision not in ("float64", "float32"):
            raise ConfigError(f'{method} needs precision "float64" or "float32", got {self.precision!r}.')
        if self.block_size < 1:
            raise ConfigError(f"{method} needs block_size >= 1 rows, got {self.block_size}.")

    def _get_state(self) -> dict[str, Any]:
        self._solved()
        return {**super()._get_state(), "_n_samples_": self._n_samples_}


def _rows_with_any(frame: Modalities) -> int:
    return int(np.logical_or.reduce(list(frame.present.values())).sum())

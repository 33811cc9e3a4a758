"""Canonical correlation analysis: the linear projections of two modalities that correlate most. Streamed, exact, rank-revealing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Coordination, Spec
from polymodal.core.linalg import CanonicalPairs, canonical_pairs, signs
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import BLOCK_SIZE, Moments, Precision, moments
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import (
    HeldOutCorrelations,
    PermutationTest,
    WilksTest,
    held_out_correlations,
    paired_correlations,
    permutation_test,
    wilks_test,
)

FLOAT32_CONDITION = 1e4
"""float32 products err by about 1e-10 times the condition number of a covariance: at most 1e-6 in a correlation up to here."""
_WIDE = 1024


def canonical_pairs_of_wide(
    a: Float[np.ndarray, "n d_a"], b: Float[np.ndarray, "n d_b"], *, reg: float = 0.0
) -> CanonicalPairs:
    """Canonical pairs of data with more features than rows, without forming d x d covariances.

    The rows span at most n - 1 directions and nothing correlates outside them: rotate into the span, solve there, rotate back.

    Complexity:
        O(n^2 (d_a + d_b)).

    Relations:
        * equals `canonical_pairs` of the covariances.
    """
    n = len(a)
    rotations, spans, scales = [], [], []
    for values in (a, b):
        centred = values - values.mean(axis=0, dtype=np.float64)
        U, s, Vt = np.linalg.svd(centred, full_matrices=False)
        kept = s > s[:1] * max(centred.shape) * np.finfo(float).eps
        rotations.append(Vt[kept].T)
        spans.append(U[:, kept] * s[kept] / np.sqrt(n - 1))
        scales.append(float((s**2).sum()) / (n - 1) / values.shape[1])
    A, B = spans
    pairs = canonical_pairs(A.T @ A, B.T @ B, A.T @ B, reg=reg, scales=(scales[0], scales[1]))
    weights_a, weights_b = rotations[0] @ pairs.weights_a, rotations[1] @ pairs.weights_b
    flips = signs(weights_a)
    return replace(pairs, weights_a=weights_a * flips, weights_b=weights_b * flips)


class CCA(Coordination):
    r"""Linear projections of two modalities whose k-th components correlate as much as possible, pair after pair.

    $$ \max_{a_k, b_k} \operatorname{corr}(a_k'x, b_k'y) \quad \text{with each variate uncorrelated with all earlier ones:}
       \quad a_j'S_{xx}a_k = b_j'S_{yy}b_k = \delta_{jk} $$

    Solved in closed form from means and covariances, which one pass over row blocks collects. The *variates* are uncorrelated, the weight
    vectors are not orthogonal. Singular covariances (features that sum to one, more features than rows) are handled by their rank.
    `score` is the mean over components of the correlation on the data given, with its sign; rows that lack one modality are left out.

    Args:
        n_components: Pairs to keep; None keeps all, as many as the smaller rank.
        reg: Ridge c in [0, 1]: S becomes (1 - c) S + c (tr S / d) I. 0 is CCA, 1 is partial least squares; in between,
            `correlations_` are those of the ridged directions, and each variate has unit *ridged* variance.
        precision: Of the block products. "float32" takes half the time; `fit` checks the conditioning, and repeats in float64 where
            float32 would cost more than about six digits.
        block_size: Rows a block.

    Attributes:
        correlations_: Correlation of each pair on the training rows, largest first.
        weights_: Name -> (d, n_components).
        means_: Name -> (d,).
        n_samples_: Rows seen.

    Raises:
        ModalityError: other than two vector modalities, missing rows, or more components than the data have pairs.

    Complexity:
        O(n p^2 + p^3) time for p features in all; O(p^2) memory, whatever the number of rows.

    Relations:
        * unchanged by invertible linear maps of either modality (reg = 0).
        * one feature on each side: the absolute Pearson correlation.
        * `partial_fit` over blocks, or `merge` of models fitted apart, equals `fit` on all rows.
        * both modalities the same: all correlations 1.
        * reg = 1: singular vectors of the cross-covariance.

    References:
        Hotelling 1936, "Relations between two sets of variates". Bach and Jordan 2002, section 2.

    Examples:
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> CCA().fit({"a": x, "b": 1 - 2 * x}).correlations_.round(6).tolist()
        [1.0]
    """

    requires = Requirements(min_modalities=2, max_modalities=2, kinds=frozenset({"vector"}), missing=False)
    exempt: ClassVar[Mapping[str, str]] = {}

    moments_: Moments | None
    solution_: CanonicalPairs | None

    def __init__(
        self,
        n_components: int | None = None,
        *,
        reg: float = 0.0,
        precision: Precision = "float64",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.n_components = n_components
        self.reg = reg
        self.precision = precision
        self.block_size = block_size

    @classmethod
    def _examples(cls) -> list[CCA]:
        return [cls(), cls(1, reg=0.1)]

    # --- fitting ----------------------------------------------------------------------------------------------

    def partial_fit(self, data: Modalities | Mapping[str, Any], y: None = None) -> CCA:
        """Add rows to what has been seen; blocks of any size, one row included. Equals `fit` on all of them together.

        The pairs are solved for when first asked for, not at every block.

        Raises:
            ModalityError: the data do not meet `requires`, or the features differ from those seen before.
        """
        self._check_parameters()
        frame = Modalities.of(data)
        replace(self.requires, min_rows=1).check(type(self).__name__, frame, y)
        if hasattr(self, "modalities_"):
            frame = self._check_known(frame)
        else:
            self.modalities_ = {name: Spec(column.kind, column.shape) for name, column in frame.items()}
            self.moments_ = None
            self.solution_ = None
        if self.solution_ is not None and self.moments_ is None:
            raise ModalityError(
                f"This CCA was fitted at once on more features than rows ({self.n_samples_} rows), which keeps no moments to add to. "
                "Start with partial_fit on a new model."
            )
        new = moments(frame.select(*self._names), precision=self.precision, block_size=self.block_size)
        self.moments_ = new if self.moments_ is None else self.moments_.merge(new)
        self.solution_ = None
        return self

    def merge(self, other: CCA) -> CCA:
        """Add the rows that another model has seen: fit shards in several processes, then merge. Returns itself.

        Raises:
            ModalityError: models of other modalities or features, or fitted on more features than rows.
        """
        self._check_fitted()
        other._check_fitted()
        if self.moments_ is None or other.moments_ is None:
            raise ModalityError(
                "Merging needs models that kept their moments, got one fitted on more features than rows. Use partial_fit."
            )
        self.moments_ = self.moments_.merge(other.moments_)
        self.solution_ = None
        return self

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_parameters()
        self.moments_ = self.solution_ = None
        ordered = data.select(*self._names)
        dims = [column.shape[0] for _, column in ordered.items()]
        if len(data) <= max(dims) and max(dims) > _WIDE:
            self._fit_wide(ordered)
        else:
            self.moments_ = moments(ordered, precision=self.precision, block_size=self.block_size)
            self.solution_ = self._solve(self.moments_)
            if self._is_coarse(self.moments_, self.solution_):
                self.moments_ = moments(ordered, block_size=self.block_size)
                self.solution_ = self._solve(self.moments_)
        self._check_rank(self.solution_)

    def _fit_wide(self, data: Modalities) -> None:
        a, b = (np.asarray(column.values(), dtype=np.float64) for _, column in data.items())
        self.solution_ = canonical_pairs_of_wide(a, b, reg=self.reg)
        self.wide_means_ = {name: x.mean(axis=0) for name, x in zip(self._names, (a, b), strict=True)}
        self.wide_rows_ = len(data)

    def _solve(self, seen: Moments) -> CanonicalPairs:
        a, b = self._names
        if seen.count(a) < 2:
            raise ModalityError(
                f"CCA needs at least 2 rows, has seen {seen.count(a)}. Call partial_fit with more."
            )
        pairs = canonical_pairs(seen.covariance(a), seen.covariance(b), seen.covariance(a, b), reg=self.reg)
        k = min(
            len(pairs.correlations), seen.count(a) - 1
        )  # n rows span n - 1 directions, whatever a ridge adds
        return replace(
            pairs,
            singular_values=pairs.singular_values[:k],
            correlations=pairs.correlations[:k],
            weights_a=pairs.weights_a[:, :k],
            weights_b=pairs.weights_b[:, :k],
        )

    def _is_coarse(self, seen: Moments, solution: CanonicalPairs) -> bool:
        return seen.precision == "float32" and (
            solution.condition > FLOAT32_CONDITION or any(seen.cancels(name) for name in seen.names)
        )

    # --- what was learned -------------------------------------------------------------------------------------

    @property
    def correlations_(self) -> Float[np.ndarray, " k"]:
        """Correlation of each pair on the training rows, largest first."""
        return self._solved().correlations[: self.n_components]

    @property
    def weights_(self) -> dict[str, Float[np.ndarray, "d k"]]:
        """Name -> directions, one a column: the component is (x - mean) @ weights."""
        solution = self._solved()
        both = dict(zip(self._names, (solution.weights_a, solution.weights_b), strict=True))
        return {name: both[name][:, : self.n_components] for name in self.modalities_}

    @property
    def means_(self) -> dict[str, Float[np.ndarray, " d"]]:
        """Name -> mean of the training rows."""
        self._check_fitted()
        if self.moments_ is None:
            return {name: self.wide_means_[name] for name in self.modalities_}
        return {name: self.moments_.mean(name) for name in self.modalities_}

    @property
    def n_samples_(self) -> int:
        """Rows seen."""
        self._check_fitted()
        return self.wide_rows_ if self.moments_ is None else self.moments_.count(self._names[0])

    def wilks_test(self) -> WilksTest:
        """Is each pair, with those after it, more than chance? Wilks' lambda and Rao's F; for about normal data, without ridge.

        Raises:
            ModalityError: fitted with a ridge, or too few rows: use `permutation_test`.
        """
        solution = self._solved()
        if self.reg:
            raise ModalityError(
                f"Wilks' test holds without ridge, got reg={self.reg}. Use permutation_test(data)."
            )
        p, q = solution.rank_a, solution.rank_b
        table = wilks_test(solution.correlations, n=self.n_samples_, p=p, q=q)
        return WilksTest(*(getattr(table, name)[: self.n_components] for name in table.__dataclass_fields__))

    def permutation_test(
        self,
        data: Modalities | Mapping[str, Any],
        *,
        n_permutations: int = 999,
        random_state: RandomState = None,
    ) -> PermutationTest:
        """Is each pair more than chance? Against rows of `data` (the training rows) paired at random. Any distribution, any ridge."""
        a, b = self._both(self._check_known(data))
        return permutation_test(
            a,
            b,
            reg=self.reg,
            n_pairs=len(self.correlations_),
            n_permutations=n_permutations,
            random_state=random_state,
        )

    def held_out(
        self, data: Modalities | Mapping[str, Any], *, n_splits: int = 5, random_state: RandomState = None
    ) -> HeldOutCorrelations:
        """Cross-validated correlation of each component beside the fitted one; refits clones of this estimator."""
        return held_out_correlations(self, Modalities.of(data), n_splits=n_splits, random_state=random_state)

    # --- using it ---------------------------------------------------------------------------------------------

    def _transform(self, data: Modalities) -> Modalities:
        weights, means = self.weights_, self.means_
        columns = {}
        for name, column in data.items():
            # each stored value once: rows that share one keep sharing its representation
            used, inverse = np.unique(column.index[column.present], return_inverse=True)
            index = np.full(len(column), -1, dtype=np.int64)
            index[column.present] = inverse
            columns[name] = Modality(
                _project(column.store, used, means[name], weights[name], self.block_size), index
            )
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        projected = self._transform(data)
        a, b = self._both(projected)
        return float(paired_correlations(a, b).mean())

    def _both(self, data: Modalities) -> tuple[np.ndarray, np.ndarray]:
        lacking = [name for name in self.modalities_ if name not in data]
        if lacking:
            raise ModalityError(
                f"A correlation needs both modalities {list(self.modalities_)}, {lacking} are not in the data."
            )
        whole = data.complete()
        if len(whole) < 2:
            raise ModalityError(
                f"A correlation needs at least 2 rows that have both modalities, got {len(whole)}."
            )
        a, b = self._names
        return np.asarray(whole[a].values(), dtype=np.float64), np.asarray(
            whole[b].values(), dtype=np.float64
        )

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _names(self) -> tuple[str, str]:
        """In alphabetical order, so that the order in which modalities are given changes nothing."""
        a, b = sorted(self.modalities_)
        return a, b

    def _solved(self) -> CanonicalPairs:
        self._check_fitted()
        if self.solution_ is None and self.moments_ is not None:
            solution = self._solve(self.moments_)
            if self._is_coarse(self.moments_, solution):
                import warnings

                warnings.warn(
                    f"float32 products are too coarse for these data (condition {solution.condition:.1e}, limit {FLOAT32_CONDITION:.0e}): "
                    'the correlations may be off. Stream again with precision="float64".',
                    RuntimeWarning,
                    stacklevel=3,
                )
            self._check_rank(solution)
            self.solution_ = solution
        return self.solution_  # type: ignore[return-value]

    def _check_rank(self, solution: CanonicalPairs | None) -> None:
        pairs = 0 if solution is None else len(solution.correlations)
        if pairs and (self.n_components is None or self.n_components <= pairs):
            return
        assert solution is not None
        ranks = dict(zip(self._names, (solution.rank_a, solution.rank_b), strict=True))
        if not pairs:
            raise ModalityError(
                f"CCA needs features that vary in both modalities, got ranks {ranks}. Drop the constant modality."
            )
        raise ModalityError(
            f"CCA needs n_components <= {pairs}, the number of pairs these data have (ranks {ranks}, {self.n_samples_} rows), "
            f"got {self.n_components}. Lower it, or use None for all pairs."
        )

    def _check_parameters(self) -> None:
        if not 0 <= self.reg <= 1:
            raise ConfigError(f"CCA needs 0 <= reg <= 1 (S -> (1 - reg) S + reg tr(S)/d I), got {self.reg}.")
        if self.n_components is not None and self.n_components < 1:
            raise ConfigError(f"CCA needs n_components >= 1, or None for all pairs, got {self.n_components}.")
        if self.precision not in ("float64", "float32"):
            raise ConfigError(f'CCA needs precision "float64" or "float32", got {self.precision!r}.')
        if self.block_size < 1:
            raise ConfigError(f"CCA needs block_size >= 1 rows, got {self.block_size}.")

    def _get_state(self) -> dict[str, Any]:
        self._solved()
        return super()._get_state()


def _project(
    store: Any, used: np.ndarray, mean: np.ndarray, weights: np.ndarray, block_size: int
) -> np.ndarray:
    out = np.empty((len(used), weights.shape[1]))
    for start in range(0, len(used), block_size):
        values = np.asarray(store[used[start : start + block_size]], dtype=np.float64)
        out[start : start + block_size] = (values - mean) @ weights
    return out

"""Canonical correlation analysis: the linear projections of two modalities that correlate most. Streamed, exact, rank-revealing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from polymodal.coordination._spans import row_span
from polymodal.coordination._streamed import FLOAT32_CONDITION as FLOAT32_CONDITION
from polymodal.coordination._streamed import StreamedCoordination
from polymodal.core.errors import ModalityError, ModelFormatError
from polymodal.core.linalg import CanonicalPairs, canonical_pairs, signs
from polymodal.core.modalities import Modalities
from polymodal.core.moments import BLOCK_SIZE, Moments, Precision
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import PermutationTest, WilksTest, permutation_test, wilks_test


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
    (A, rotation_a, _), (B, rotation_b, _) = row_span(a), row_span(b)
    A, B = A / np.sqrt(n - 1), B / np.sqrt(n - 1)
    scales = (float((A**2).sum()) / a.shape[1], float((B**2).sum()) / b.shape[1])
    pairs = canonical_pairs(A.T @ A, B.T @ B, A.T @ B, reg=reg, scales=scales)
    weights_a, weights_b = rotation_a @ pairs.weights_a, rotation_b @ pairs.weights_b
    flips = signs(weights_a)
    return replace(pairs, weights_a=weights_a * flips, weights_b=weights_b * flips)


class CCA(StreamedCoordination):
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
        * `predict` with all pairs and no ridge: multivariate least squares; with k pairs: reduced-rank regression.

    References:
        Hotelling 1936, "Relations between two sets of variates". Bach and Jordan 2002, section 2.

    Examples:
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> CCA().fit({"a": x, "b": 1 - 2 * x}).correlations_.round(6).tolist()
        [1.0]
    """

    requires = Requirements(min_modalities=2, max_modalities=2, kinds=frozenset({"vector"}), missing=False)
    exempt: ClassVar[Mapping[str, str]] = {}

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

    def _solve(self, seen: Moments) -> CanonicalPairs:
        a, b = self._names
        self._check_rows(seen)
        scale_a, scale_b = (self._mean_variance(seen, name) for name in (a, b))
        pairs = canonical_pairs(
            seen.covariance(a),
            seen.covariance(b),
            seen.covariance(a, b),
            reg=self.reg,
            scales=(scale_a, scale_b),
        )
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

    def _with_weights(self, solution: CanonicalPairs, weights: tuple[np.ndarray, ...]) -> CanonicalPairs:
        return replace(solution, weights_a=weights[0], weights_b=weights[1])

    # --- what was learned -------------------------------------------------------------------------------------

    @property
    def correlations_(self) -> Float[np.ndarray, " k"]:
        """Correlation of each pair on the training rows, largest first."""
        correlations: np.ndarray = self._solved().correlations
        return correlations[: self.n_components]

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
        views = self._complete(self._check_known(data))
        a, b = (views[name] for name in self._names)
        return permutation_test(
            a,
            b,
            reg=self.reg,
            n_pairs=len(self.correlations_),
            n_permutations=n_permutations,
            random_state=random_state,
        )

    def _set_state(self, state: dict[str, Any]) -> None:
        if state.get("moments_") is None:
            raise ModelFormatError(
                "This CCA was fitted on more features than rows by an earlier version, which kept no moments. Fit and save it again."
            )
        super()._set_state({"rotations_": {}, "offsets_": {}, **state})
        if "_n_samples_" not in state:  # a model saved before rows were counted apart from moments
            self._n_samples_ = self._seen.count(self._names[0])

"""Multiset CCA: directions in each of several modalities whose components correlate most, summed over all pairs of modalities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from polymodal.coordination._streamed import StreamedCoordination
from polymodal.core.errors import ModalityError
from polymodal.core.linalg import BlockPencil, block_pencil, ridge
from polymodal.core.moments import BLOCK_SIZE, Moments, Precision
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import IndependenceTest, independence_test

NEGLIGIBLE = 1e-10
"""Eigenvalues below this share of the largest are no agreement."""


def multiset_pencil(
    S: Float[np.ndarray, "d d"],
    dims: tuple[int, ...],
    *,
    reg: float = 0.0,
    scales: tuple[float, ...] | None = None,
    n_components: int | None = None,
) -> BlockPencil:
    r"""$(S - \operatorname{blockdiag} S)\,w = \lambda \operatorname{blockdiag}(S_{mm})\,w$, the components with $\lambda > 0$ only.

    Scaled so that $w'\operatorname{blockdiag}(S)\,w = M$, the number of modalities: with two, each component has unit variance.

    Args:
        S: Covariance of all modalities side by side.
        dims: Features of each; they add up to the size of S.
        reg: Ridge in [0, 1], see `ridge`.
        scales: The mean variance t of `ridge` for each modality, where it is not the trace over the size.
        n_components: How many of the largest; all by default.

    Complexity:
        O(d^3).

    Relations:
        * two modalities: the singular values, directions and signs of `canonical_pairs`.
    """
    ends = np.cumsum(dims).tolist()
    between = S.copy()
    blocks = []
    for m, (end, d) in enumerate(zip(ends, dims, strict=True)):
        own = slice(end - d, end)
        blocks.append(ridge(S[own, own], reg, None if scales is None else scales[m]))
        between[own, own] = 0.0
    return positive_part(block_pencil(between, blocks, n_components=n_components), float(len(dims)))


def positive_part(pencil: BlockPencil, norm: float) -> BlockPencil:
    """The components with a positive eigenvalue, scaled from v'Bv = 1 to v'Bv = norm."""
    largest = float(np.abs(pencil.eigenvalues).max(initial=0.0))
    count = int((pencil.eigenvalues > NEGLIGIBLE * largest).sum()) if largest > 0 else 0
    return replace(
        pencil,
        eigenvalues=pencil.eigenvalues[:count],
        weights=tuple(w[:, :count] * np.sqrt(norm) for w in pencil.weights),
    )


class MultisetCCA(StreamedCoordination):
    r"""Linear projections of two or more modalities whose covariances, summed over all pairs of modalities, are largest (SUMCOR).

    $$ \max_w \sum_{m \ne l} w_m'S_{ml}w_l \quad \text{subject to} \quad \sum_m w_m'S_{mm}w_m = M,
       \qquad (S - \operatorname{blockdiag} S)\,w = \lambda \operatorname{blockdiag}(S)\,w $$

    The constraint is on the sum of the variances, not on each: that makes it one symmetric eigenproblem with one answer. Components of
    the M modalities side by side are uncorrelated with those of another pair of eigenvectors.
    Without ridge the directions are those of `GeneralisedCCA`, up to a factor for each component. `score` is the mean, over
    components and pairs of modalities, of the correlation on the data given.

    Rows may lack modalities: each covariance is then taken over the rows that have both sides (pairwise complete), and the joint matrix is
    made positive semi-definite by cutting its negative eigenvalues (`core.linalg.nearest_semidefinite`). An absent value never enters.
    Every two modalities must occur together; where some never do, `GeneralisedCCA` still works.

    Args:
        n_components: Components to keep; None keeps all on which the modalities agree (eigenvalue > 0).
        reg: Ridge c in [0, 1]: S_mm becomes (1 - c) S_mm + c (tr S_mm / d) I. With many features and few rows take some.
        precision: Of the block products. "float32" takes half the time; `fit` checks the conditioning, and repeats in float64 where
            float32 would cost more than about six digits.
        block_size: Rows a block.

    Attributes:
        eigenvalues_: For each component lambda, between 0 and M - 1 without ridge; with two modalities the correlation.
        correlations_: Correlation of each component on the training rows, mean over pairs of modalities.
        weights_: Name -> (d, n_components).
        means_: Name -> (d,).
        n_samples_: Rows seen.

    Raises:
        ModalityError: one modality, two modalities that never occur together, or more components than the data have.

    Complexity:
        O(n p^2 + p^3) time for p features in all; O(p^2) memory, whatever the number of rows.

    Relations:
        * two modalities: `CCA`, weights and all.
        * without ridge, eigenvalues are those of `GeneralisedCCA` less 1.
        * unchanged by invertible linear maps of any modality (reg = 0).
        * reg = 1, modalities of equal mean variance: the directions of `PLS`.
        * `partial_fit` over blocks, or `merge` of models fitted apart, equals `fit` on all rows.

    References:
        Kettenring 1971, "Canonical analysis of several sets of variables". Nielsen 2002 (the constraint on the sum). Vinod 1976 (ridge).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, unpaired=True)

    solution_: BlockPencil | None

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
    def _examples(cls) -> list[MultisetCCA]:
        return [cls(2), cls(1, reg=0.1)]

    @property
    def eigenvalues_(self) -> Float[np.ndarray, " k"]:
        """For each component lambda, largest first."""
        eigenvalues: np.ndarray = self._solved().eigenvalues
        return eigenvalues[: self.n_components]

    def wilks_test(self) -> IndependenceTest:
        """Are the modalities independent of one another? One test of all components together; about normal data, complete, no ridge.

        Raises:
            ModalityError: fitted with a ridge, on missing rows, or on too few rows: use `permutation_test`.
        """
        seen, solution = self._seen, self._solved()
        return joint_wilks_test(self, seen, solution.ranks, reg=self.reg)

    def _solve(self, seen: Moments) -> BlockPencil:
        self._check_rows(seen)
        return multiset_pencil(
            self._joint(seen),
            seen.dims,
            reg=self.reg,
            scales=tuple(self._mean_variance(seen, name) for name in seen.names),
            n_components=self.n_components,
        )

    def _with_weights(self, solution: BlockPencil, weights: tuple[np.ndarray, ...]) -> BlockPencil:
        return replace(solution, weights=weights)


def joint_wilks_test(
    model: StreamedCoordination, seen: Moments, ranks: tuple[int, ...], *, reg: float
) -> IndependenceTest:
    """Wilks' test of all modalities at once from the moments of a fitted model."""
    if reg or not seen.complete:
        raise ModalityError(
            f"Wilks' test holds without ridge and without missing rows, got reg={reg} and "
            f"rows {dict(zip(seen.names, map(seen.count, seen.names), strict=True))}. Use permutation_test(data)."
        )
    S = seen.joint()
    whole = block_pencil(S, [seen.covariance(name) for name in seen.names])
    return independence_test(whole.eigenvalues, n=model.n_samples_, ranks=ranks)

"""Partial least squares: directions of unit length whose components covary most; the fully regularised end of CCA."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from polymodal.coordination._streamed import StreamedCoordination
from polymodal.coordination.multiset_cca import positive_part
from polymodal.core.linalg import BlockPencil, block_pencil
from polymodal.core.moments import BLOCK_SIZE, Moments, Precision
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float


class PLS(StreamedCoordination):
    r"""Linear projections of two or more modalities whose covariances, summed over all pairs of modalities, are largest.

    $$ \max_w \sum_{m \ne l} w_m'S_{ml}w_l \quad \text{subject to} \quad \sum_m w_m'w_m = M,
       \qquad (S - \operatorname{blockdiag} S)\,w = \lambda w $$

    For two modalities these are the singular vectors of the cross-covariance. Nothing is inverted, so any number of features per row
    works, and nothing is unit-free: a feature counts by its variance. Scale the modalities first where their units differ.
    `score` is the mean, over components and pairs of modalities, of the correlation on the data given.

    Rows may lack modalities: covariances are then pairwise complete, and the joint matrix made positive semi-definite by cutting its
    negative eigenvalues. An absent value never enters. Every two modalities must occur together.

    Args:
        n_components: Components to keep; None keeps all with positive covariance.
        precision: Of the block products. "float32" takes half the time.
        block_size: Rows a block.

    Attributes:
        covariances_: For each component lambda; with two modalities the covariance of the pair, a singular value of the cross-covariance.
        correlations_: Correlation of each component on the training rows, mean over pairs of modalities.
        weights_: Name -> (d, n_components).
        means_: Name -> (d,).
        n_samples_: Rows seen.

    Raises:
        ModalityError: one modality, two modalities that never occur together, or more components than the data have.

    Complexity:
        O(n p^2 + p^3) time for p features in all; O(p^2) memory, whatever the number of rows.

    Relations:
        * two modalities: scikit-learn's `PLSSVD`, and `CCA(reg=1)` up to a factor for each modality.
        * modalities of equal mean variance: the directions of `MultisetCCA(reg=1)`.
        * `partial_fit` over blocks, or `merge` of models fitted apart, equals `fit` on all rows.

    References:
        Wold 1985. Wegelin 2000, "A survey of partial least squares methods" (the singular vectors, there PLS-SB).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, unpaired=True)
    reg: ClassVar[float] = 1.0  # what a permutation test whitens with: nothing but a scale  # type: ignore[misc]

    solution_: BlockPencil | None

    def __init__(
        self,
        n_components: int | None = None,
        *,
        precision: Precision = "float64",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.n_components = n_components
        self.precision = precision
        self.block_size = block_size

    @classmethod
    def _examples(cls) -> list[PLS]:
        return [cls(2), cls()]

    @property
    def covariances_(self) -> Float[np.ndarray, " k"]:
        """For each component lambda, largest first."""
        eigenvalues: np.ndarray = self._solved().eigenvalues
        return eigenvalues[: self.n_components]

    def _solve(self, seen: Moments) -> BlockPencil:
        self._check_rows(seen)
        between = self._joint(seen)
        identities = []
        for end, d in zip(np.cumsum(seen.dims).tolist(), seen.dims, strict=True):
            between[end - d : end, end - d : end] = 0.0
            identities.append(np.eye(d))
        pencil = block_pencil(between, identities, n_components=self.n_components)
        return positive_part(pencil, float(len(seen.dims)))

    def _with_weights(self, solution: BlockPencil, weights: tuple[np.ndarray, ...]) -> BlockPencil:
        return replace(solution, weights=weights)

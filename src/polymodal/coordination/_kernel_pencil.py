"""The eigenproblem of kernel CCA, for any number of modalities: from covariances of features, or from centred Gram matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.linalg import RANK_TOLERANCE, ridge, whitening
from polymodal.core.typing import Float

LEAST_EIGENVALUE = 1e-9
"""A component below is none."""
_DENSE = 400
"""Up to this size an eigenproblem is solved whole, and by Lanczos iteration beyond."""


def leading(
    product: Callable[[np.ndarray], np.ndarray], size: int, k: int
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "size k"]]:
    """The k largest eigenvalues and their vectors of a symmetric matrix that is known by its products."""
    k = min(k, size)
    if size <= _DENSE or 4 * k >= size:
        return _leading_dense(product, size, k)
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    start = np.random.default_rng(0).standard_normal(size)  # any fixed vector: the same answer every time
    try:
        values, vectors = eigsh(LinearOperator((size, size), product, dtype=float), k, which="LA", v0=start)
    except ArpackNoConvergence:
        return _leading_dense(product, size, k)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _leading_dense(
    product: Callable[[np.ndarray], np.ndarray], size: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    matrix = np.column_stack([product(column) for column in np.eye(size)])
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return values[::-1][:k], vectors[:, ::-1][:, :k]


def leading_of_features(
    covariances: Sequence[Sequence[np.ndarray]], *, k: int, reg: float
) -> tuple[Float[np.ndarray, " k"], list[np.ndarray], list[int]]:
    r"""Directions of several sets of features that correlate most: $\sum_{b \ne a} S_{ab} w_b = \lambda ((1 - c) S_{aa} + cI) w_a$.

    Args:
        covariances: Blocks S_ab.
        k: Directions.
        reg: c.

    Returns:
        Eigenvalues; weights of each modality with $\sum_a w_a'B_aw_a$ = the number of modalities; ranks.

    Relations:
        * two modalities: `canonical_pairs` with scales (1, 1).
    """
    M = len(covariances)
    whites = [whitening(ridge(covariances[a][a], reg, 1.0)).matrix for a in range(M)]
    edges = np.cumsum([0, *(white.shape[1] for white in whites)])
    T = np.zeros((edges[-1], edges[-1]))
    for a in range(M):
        for b in range(a):
            block = whites[a].T @ covariances[a][b] @ whites[b]
            T[edges[a] : edges[a + 1], edges[b] : edges[b + 1]] = block
            T[edges[b] : edges[b + 1], edges[a] : edges[a + 1]] = block.T
    values, vectors = leading(T.__matmul__, len(T), k)
    weights = [np.sqrt(M) * white @ vectors[edges[a] : edges[a + 1]] for a, white in enumerate(whites)]
    return values, weights, [white.shape[1] for white in whites]


@dataclass(frozen=True, eq=False)
class _Dual:
    """One centred Gram matrix, ready for products with F = Z B^(-1/2) / sqrt(n - 1), where ZZ' = K and B = (1 - c) Z'Z / (n - 1) + cI."""

    K: np.ndarray
    Z: np.ndarray
    root: np.ndarray | None  # lower triangular G, GG' = B; Z is then lower triangular too
    inverse: np.ndarray | None  # without ridge: 1 / eigenvalues, and Z holds eigenvectors
    reg: float

    @classmethod
    def of(cls, K: np.ndarray, reg: float) -> _Dual:
        if not reg:
            values, vectors = np.linalg.eigh(K)
            kept = values > RANK_TOLERANCE * values[-1]
            return cls(K, vectors[:, kept], None, 1 / values[kept], reg)
        from scipy.linalg import cholesky, lapack

        n = len(K)
        shift = 1e-14 * float(np.trace(K))  # a centred matrix is singular; far below what the ridge adds
        for attempt in range(8):
            Z = K.copy(order="F")
            Z[np.diag_indices(n)] += shift * 10**attempt
            lower, failed = lapack.dpotrf(Z, lower=1, clean=1, overwrite_a=1)
            if not failed:
                break
        else:
            raise np.linalg.LinAlgError("The Gram matrix has negative eigenvalues.")
        B, _ = lapack.dlauum(lower, lower=1)  # Z'Z, its lower triangle
        B *= (1 - reg) / (n - 1)
        B[np.diag_indices(n)] += reg
        return cls(K, lower, cholesky(B, lower=True, overwrite_a=True, check_finite=False), None, reg)

    @property
    def rank(self) -> int:
        return int(self.Z.shape[1])

    def forth(self, u: np.ndarray) -> np.ndarray:
        from scipy.linalg import blas

        if self.root is None:
            return np.asarray(self.Z @ u)
        solved = blas.dtrsv(self.root, u, lower=1, trans=1)
        return np.asarray(blas.dtrmv(self.Z, solved, lower=1) / np.sqrt(len(self.K) - 1))

    def back(self, y: np.ndarray) -> np.ndarray:
        from scipy.linalg import blas

        if self.root is None:
            return np.asarray(self.Z.T @ y)
        product = blas.dtrmv(self.Z, y, lower=1, trans=1)
        return np.asarray(blas.dtrsv(self.root, product, lower=1) / np.sqrt(len(self.K) - 1))

    def coefficients(self, u: np.ndarray, others: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Alpha with w = Z'alpha, from w = B^(-1/2) u or, better conditioned, from what the other modalities say."""
        n = len(self.K)
        if self.inverse is not None:
            return np.asarray(np.sqrt(n - 1) * self.Z @ (u * self.inverse[:, None]))
        from scipy.linalg import cho_factor, cho_solve

        R = self.K * ((1 - self.reg) / (n - 1))
        R[np.diag_indices(n)] += self.reg
        solved = cho_solve(cho_factor(R, overwrite_a=True), others)
        return np.asarray(solved / (values * np.sqrt(n - 1)))


def leading_of_grams(
    grams: Sequence[np.ndarray], *, k: int, reg: float
) -> tuple[Float[np.ndarray, " k"], list[np.ndarray], list[int]]:
    r"""`leading_of_features` from centred Gram matrices.

    $$ \sum_{b \ne a} K_aK_b\alpha_b / (n-1) = \lambda ((1-c) K_a^2/(n-1) + cK_a) \alpha_a $$

    With a ridge by three Cholesky factorisations a modality and Lanczos steps of triangular products; without by eigenvectors.

    Args:
        grams: Centred Gram matrices of the same rows.
        k: Directions.
        reg: c.

    Returns:
        Eigenvalues; coefficients alpha of each modality (the variate is K alpha), scaled as there; ranks.

    Raises:
        LinAlgError: a Gram matrix beside which the ridge is lost in rounding.

    Complexity:
        O(M n^3) time, O(M n^2) memory for M modalities.

    Relations:
        * K = ZZ': equals `leading_of_features` of the covariances of Z.
    """
    duals = [_Dual.of(K.T, reg) for K in grams]  # symmetric: only the order in memory changes
    M = len(duals)
    edges = np.cumsum([0, *(dual.rank for dual in duals)])

    def product(v: np.ndarray) -> np.ndarray:
        v = np.ravel(v)
        parts = [dual.forth(v[edges[a] : edges[a + 1]]) for a, dual in enumerate(duals)]
        total = np.sum(parts, axis=0)
        return np.concatenate([dual.back(total - part) for dual, part in zip(duals, parts, strict=True)])

    values, vectors = leading(product, int(edges[-1]), k)
    vectors = np.sqrt(M) * vectors
    blocks = [vectors[edges[a] : edges[a + 1]] for a in range(M)]
    sides = [
        np.column_stack([dual.forth(np.ascontiguousarray(u)) for u in block.T])
        for dual, block in zip(duals, blocks, strict=True)
    ]
    total = np.sum(sides, axis=0)
    safe = np.where(np.abs(values) > 0, values, 1.0)
    alphas = [
        dual.coefficients(block, total - side, safe)
        for dual, block, side in zip(duals, blocks, sides, strict=True)
    ]
    return values, alphas, [dual.rank for dual in duals]


def correlations_of_features(
    covariances: Sequence[Sequence[np.ndarray]], weights: Sequence[np.ndarray]
) -> Float[np.ndarray, " k"]:
    """Correlation of each component, averaged over pairs of sets of features; 0 where a component does not vary."""
    spread = [
        np.sqrt(np.maximum(np.einsum("ik,ik->k", w, covariances[a][a] @ w), 0.0))
        for a, w in enumerate(weights)
    ]
    found = []
    for a, b in combinations(range(len(weights)), 2):
        both = spread[a] * spread[b]
        shared = np.einsum("ik,ik->k", weights[a], covariances[a][b] @ weights[b])
        found.append(np.divide(shared, both, out=np.zeros_like(both), where=both > 0))
    return np.asarray(np.clip(np.mean(found, axis=0), -1.0, 1.0))


def check_components(
    ranks: Mapping[str, int], values: Float[np.ndarray, " k"], *, k: int, reg: float, n: int
) -> None:
    """Refuse what has no answer: perfect correlation by too many features, or more components than there are.

    Args:
        ranks: Name -> directions in which its features vary.
        values: The largest eigenvalues.
        k: Components asked for.
        reg: Ridge.
        n: Rows.

    Raises:
        ConfigError: without ridge, two modalities together have more directions than the rows.
        ModalityError: fewer than k eigenvalues are positive.
    """
    largest = sorted(ranks.values())[-2:]
    if not reg and sum(largest) > n - 1:
        raise ConfigError(
            f"KernelCCA needs reg > 0 here: {n} rows vary in {n - 1} directions, the features in {dict(ranks)}, and without ridge "
            f"{sum(largest) - n + 1} correlations are 1 whatever the data. Raise reg, or take fewer features or more rows."
        )
    pairs = int((values > LEAST_EIGENVALUE).sum())
    if pairs < k:
        raise ModalityError(
            f"KernelCCA needs n_components <= {pairs}, the correlated components these data have (ranks {dict(ranks)}, {n} rows), "
            f"got {k}. Lower it, or take kernels with more features."
        )

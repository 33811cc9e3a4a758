"""Dense linear algebra that several methods share: whitening, symmetric pencils, canonical pairs. All survive singular input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polymodal.core.typing import Float

RANK_TOLERANCE = 1e-11
"""Eigenvalues of a covariance (scaled to unit diagonal) below this share of the largest count as zero. Products of data in
float64 are right to about 1e-16 times their size, so a smaller share cannot be told from rounding of the data."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """`matrix` W (d, rank) with W'SW = I, and the condition number of S scaled to unit diagonal (infinite when singular)."""

    matrix: Float[np.ndarray, "d r"]
    condition: float

    @property
    def rank(self) -> int:
        """Number of directions in which S is not zero."""
        return int(self.matrix.shape[1])


@dataclass(frozen=True, eq=False)
class CanonicalPairs:
    """All pairs of canonical directions, most correlated first.

    Args:
        singular_values: What was maximised: a'S_ab b under a'S_aa a = b'S_bb b = 1, ridge included (which may take it past 1).
        correlations: Pearson correlation of the variates; equal to `singular_values` without ridge.
        weights_a: Directions in a, one a column.
        weights_b: Directions in b.
        rank_a: Rank of (ridged) S_aa.
        rank_b: Rank of (ridged) S_bb.
        condition: The larger condition number of the two, scaled to unit diagonal; infinite when one is singular.
    """

    singular_values: Float[np.ndarray, " k"]
    correlations: Float[np.ndarray, " k"]
    weights_a: Float[np.ndarray, "d_a k"]
    weights_b: Float[np.ndarray, "d_b k"]
    rank_a: int
    rank_b: int
    condition: float

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """Directions of a, directions of b."""
        return self.weights_a, self.weights_b

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of a, rank of b."""
        return self.rank_a, self.rank_b


@dataclass(frozen=True, eq=False)
class BlockPencil:
    """Eigenpairs of A v = lambda B v where B is block-diagonal, one block a modality; largest first.

    Args:
        eigenvalues: Largest first.
        weights: For each block its part of the eigenvectors, one a column. Together v'Bv = 1.
        ranks: Rank of each block of B.
        condition: The largest condition number of a block, scaled to unit diagonal; infinite when one is singular.
    """

    eigenvalues: Float[np.ndarray, " k"]
    weights: tuple[np.ndarray, ...]
    ranks: tuple[int, ...]
    condition: float


def ridge(S: Float[np.ndarray, "d d"], reg: float, scale: float | None = None) -> Float[np.ndarray, "d d"]:
    r"""Shrink a covariance towards a multiple of the identity: $(1 - c)\,S + c\,t\,I$, with $t = \operatorname{tr}(S)/d$.

    The mean variance t makes c free of units: the same c means the same for every modality, and multiplying a modality by a
    constant changes nothing. (cca_zoo's c has t = 1: equal to this one after dividing each modality by sqrt(t).)

    Args:
        S: Covariance.
        reg: c, from 0 (S itself) to 1 (only the mean variance is left: partial least squares).
        scale: t, when S stands for a covariance of more features than it has rows.
    """
    if not reg:
        return S
    d = len(S)
    t = float(np.trace(S)) / d if scale is None else scale
    return (1 - reg) * S + reg * t * np.eye(d)


def whitening(S: Float[np.ndarray, "d d"], *, tol: float = RANK_TOLERANCE) -> Whitening:
    """W with W'SW = I on the range of S: by Cholesky where S has full rank, by eigenvectors where it has not.

    Features are scaled to unit variance first, so neither the rank nor the result depends on units.

    Args:
        S: Symmetric, positive semi-definite.
        tol: Eigenvalues below this share of the largest are zero.

    Complexity:
        O(d^3): Cholesky d^3 / 3, eigenvectors about 25 times that.

    Relations:
        * W W' is the (pseudo-)inverse of S when S is diagonal or has full rank.
    """
    from scipy.linalg import lapack

    variances = np.diag(S)
    used = np.flatnonzero(variances > 0)
    scale = 1 / np.sqrt(variances[used])
    scaled = S[np.ix_(used, used)] * scale * scale[:, None]
    if not len(used):
        return Whitening(np.zeros((len(S), 0)), np.inf)
    upper, failed = lapack.dpotrf(scaled, lower=0, clean=1)
    singular = len(used) < len(S)
    if not failed and np.diag(upper).min() ** 2 > tol:
        reciprocal, _ = lapack.dpocon(upper, np.abs(scaled).sum(axis=0).max())
        inverse, _ = lapack.dtrtri(upper, lower=0)
        condition = np.inf if singular or reciprocal == 0 else 1 / reciprocal
        return Whitening(_spread(inverse * scale[:, None], used, len(S)), condition)
    values, vectors = np.linalg.eigh(scaled)
    kept = values > tol * values[-1]
    return Whitening(_spread(vectors[:, kept] / np.sqrt(values[kept]) * scale[:, None], used, len(S)), np.inf)


def symmetric_pencil(
    A: Float[np.ndarray, "d d"], B: Float[np.ndarray, "d d"], *, n_components: int | None = None
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "d k"]]:
    """Eigenpairs of A v = lambda B v, largest first, B symmetric and perhaps singular; v within B's range, v'Bv = 1.

    Relations:
        * B = I: the eigenvectors of A.
        * V'BV = I and V'AV = diag(lambda).
    """
    W = whitening(B).matrix
    values, vectors = np.linalg.eigh(W.T @ A @ W)
    values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    V = W @ vectors
    return values, V * signs(V)


def canonical_pairs(
    S_aa: Float[np.ndarray, "d_a d_a"],
    S_bb: Float[np.ndarray, "d_b d_b"],
    S_ab: Float[np.ndarray, "d_a d_b"],
    *,
    reg: float = 0.0,
    scales: tuple[float | None, float | None] = (None, None),
) -> CanonicalPairs:
    r"""Directions $\max a'S_{ab}b$ subject to $a'S_{aa}a = b'S_{bb}b = 1$, each pair uncorrelated with those before it.

    One singular value decomposition of the whitened cross-covariance $T = S_{aa}^{-1/2} S_{ab} S_{bb}^{-1/2}$ gives both sides at
    once, so their signs belong together. The largest entry of each direction in a is positive.

    Args:
        S_aa: Covariance of a.
        S_bb: Covariance of b.
        S_ab: Cross-covariance.
        reg: Ridge in [0, 1], see `ridge`.
        scales: The mean variance t of `ridge`, where it is not the trace divided by the size.

    Complexity:
        O(d_a^3 + d_b^3 + d_a d_b min(d_a, d_b)).

    Relations:
        * squared correlations are the eigenvalues of S_aa^-1 S_ab S_bb^-1 S_ba.
        * b = S_bb^-1 S_ba a / rho for each pair with rho > 0 (without ridge).
    """
    ridged_a, ridged_b = ridge(S_aa, reg, scales[0]), ridge(S_bb, reg, scales[1])
    white_a, white_b = whitening(ridged_a), whitening(ridged_b)
    U, s, Vt = np.linalg.svd(white_a.matrix.T @ S_ab @ white_b.matrix, full_matrices=False)
    weights_a, weights_b = white_a.matrix @ U, white_b.matrix @ Vt.T
    flips = signs(weights_a)
    weights_a, weights_b, s = weights_a * flips, weights_b * flips, s if reg else np.clip(s, 0.0, 1.0)
    correlations = s if not reg else _correlations(S_aa, S_bb, s, weights_a, weights_b)
    condition = max(white_a.condition, white_b.condition)
    return CanonicalPairs(s, correlations, weights_a, weights_b, white_a.rank, white_b.rank, condition)


def block_pencil(
    A: Float[np.ndarray, "d d"], blocks: Sequence[np.ndarray], *, n_components: int | None = None
) -> BlockPencil:
    """Eigenpairs of A v = lambda B v with B = diag(blocks), each block positive semi-definite and perhaps singular; v within its range.

    What CCA of many modalities comes down to. The largest weight of each direction in the first modality that takes part is positive.

    Args:
        A: Symmetric.
        blocks: The diagonal blocks of B, in order; their sizes add up to that of A.
        n_components: How many of the largest; all by default.

    Complexity:
        O(d^3).

    Relations:
        * one block: `symmetric_pencil`.
        * A = [[0, S_ab], [S_ba, 0]] and blocks S_aa, S_bb: lambda = canonical correlations (and their negatives).
    """
    from scipy.linalg import eigh

    white = [whitening(block) for block in blocks]
    ends = np.cumsum([len(block) for block in blocks])
    slices = [slice(int(end) - len(block), int(end)) for end, block in zip(ends, blocks, strict=True)]
    size = sum(w.rank for w in white)
    if not size:
        return BlockPencil(
            np.zeros(0), tuple(np.zeros((len(block), 0)) for block in blocks), (0,) * len(blocks), np.inf
        )
    whitened = np.block(
        [
            [p.matrix.T @ A[rows, columns] @ q.matrix for columns, q in zip(slices, white, strict=True)]
            for rows, p in zip(slices, white, strict=True)
        ]
    )
    wanted = size if n_components is None else min(n_components, size)
    values, vectors = eigh((whitened + whitened.T) / 2, subset_by_index=(size - wanted, size - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    cuts = np.cumsum([w.rank for w in white])[:-1]
    parts = np.split(vectors, cuts)
    flips = _block_signs(white, parts)
    weights = tuple(w.matrix @ part * flips for w, part in zip(white, parts, strict=True))
    return BlockPencil(values, weights, tuple(w.rank for w in white), max(w.condition for w in white))


def nearest_semidefinite(S: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A symmetric matrix without its negative eigenvalues, which covariances from different rows may have.

    Features are scaled to unit variance first, so the answer does not depend on units: it is the nearest positive semi-definite matrix
    (Frobenius) in those units. Diagonal entries grow by what was cut.

    Relations:
        * a positive semi-definite matrix stays as it is.
        * directions in which S is zero stay so: S v = 0 gives the same for the answer.
    """
    scale = np.sqrt(np.maximum(np.diag(S), 0.0))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values, vectors = np.linalg.eigh(S * inverse * inverse[:, None])
    negative = values < -len(S) * np.finfo(float).eps * max(values[-1], 0.0)
    if not negative.any():
        return S
    cut = vectors[:, negative] * np.sqrt(-values[negative]) * scale[:, None]
    repaired: np.ndarray = S + cut @ cut.T
    return repaired


def signs(vectors: Float[np.ndarray, "d k"]) -> Float[np.ndarray, " k"]:
    """+1 or -1 for each column, so that its entry of largest size becomes positive: eigenvectors have no sign of their own."""
    if not len(vectors):
        return np.ones(vectors.shape[1])
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return np.where(largest < 0, -1.0, 1.0)


def _block_signs(white: Sequence[Whitening], parts: Sequence[np.ndarray]) -> np.ndarray:
    flips = np.zeros(parts[0].shape[1])
    for w, part in zip(white, parts, strict=True):
        takes_part = (flips == 0) & (np.linalg.norm(part, axis=0) > 1e-6)
        flips = np.where(takes_part, signs(w.matrix @ part), flips)
    return np.where(flips == 0, 1.0, flips)


def _correlations(
    S_aa: np.ndarray, S_bb: np.ndarray, s: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray
) -> np.ndarray:
    variance_a = np.einsum("ik,ik->k", weights_a, S_aa @ weights_a)
    variance_b = np.einsum("ik,ik->k", weights_b, S_bb @ weights_b)
    scale = np.sqrt(np.maximum(variance_a * variance_b, 0.0))
    correlations: np.ndarray = np.divide(s, scale, out=np.zeros_like(s), where=scale > 0)
    return np.asarray(np.minimum(correlations, 1.0))


def _spread(rows: np.ndarray, used: np.ndarray, d: int) -> np.ndarray:
    """Put rows back among features of zero variance, whose weight is 0."""
    if len(used) == d:
        return rows
    out = np.zeros((d, rows.shape[1]))
    out[used] = rows
    return out

"""How correlated two representations are, whether that is more than chance, and what is left of it on rows not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Coordination
from polymodal.core.linalg import ridge, whitening
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, eq=False)
class WilksTest:
    """For each k: are canonical pairs k, k+1, ... all zero? Rao's F approximation, for normal data without ridge.

    Args:
        correlations: Canonical correlations, largest first.
        wilks: Wilks' lambda of pairs k and after, 0..1; small speaks against zero.
        statistic: Rao's F.
        df_1: Its numerator's degrees of freedom.
        df_2: Its denominator's degrees of freedom.
        p_values: Chance of a larger F if all of them were zero.
    """

    correlations: Float[np.ndarray, " k"]
    wilks: Float[np.ndarray, " k"]
    statistic: Float[np.ndarray, " k"]
    df_1: Float[np.ndarray, " k"]
    df_2: Float[np.ndarray, " k"]
    p_values: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class IndependenceTest:
    """Are several modalities independent of one another? Wilks' lambda with Box's approximation; for normal data, no ridge.

    Args:
        wilks: Determinant of the joint covariance over those of each modality, 0..1; small speaks against independence.
        statistic: Box's chi-squared.
        df: Its degrees of freedom.
        p_value: Chance of a larger statistic if they were independent.
    """

    wilks: float
    statistic: float
    df: float
    p_value: float


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """For each k: how often do rows paired at random give components k, k+1, ... as strong as the real pairing's?

    Args:
        correlations: Correlations of the pairs under the real pairing; of more than two modalities the mean over pairs of modalities.
        statistic: Sum of squared singular values of pairs k and after (Pillai's trace when there is no ridge), over pairs of modalities.
        p_values: (1 + shuffles at least as strong) / (1 + shuffles), made non-decreasing in k.
        null: The statistic of every shuffle, one a row.
    """

    correlations: Float[np.ndarray, " k"]
    statistic: Float[np.ndarray, " k"]
    p_values: Float[np.ndarray, " k"]
    null: Float[np.ndarray, "shuffles k"]


@dataclass(frozen=True, eq=False)
class HeldOutCorrelations:
    """Correlation of each component on the rows fitted on, beside rows that were not.

    Args:
        fitted: Fitted on all rows, measured on the same rows: optimistic.
        held_out: Mean over folds of the correlation on the fold left out; may be negative.
        folds: One row a fold.
    """

    fitted: Float[np.ndarray, " k"]
    held_out: Float[np.ndarray, " k"]
    folds: Float[np.ndarray, "folds k"]


def paired_correlations(a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Pearson correlation of each column of a with the same column of b, within -1..1; 0 where a column is constant.

    Relations:
        * unchanged when a column is shifted, or scaled by a positive number; negative when scaled by a negative one.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    correlations: np.ndarray = np.divide(
        (a * b).sum(axis=0), scale, out=np.zeros(a.shape[1]), where=scale > 0
    )
    return np.asarray(np.clip(correlations, -1.0, 1.0))


def pairwise_correlations(data: Modalities) -> Float[np.ndarray, " k"]:
    """Correlation of each component, as the mean over all pairs of modalities; each pair on the rows that have both.

    Args:
        data: Representations of at least two modalities in one shared space. Rows may lack some.

    Raises:
        ModalityError: one modality only, or no two modalities that two rows have together.

    Relations:
        * two modalities: `paired_correlations` on the complete rows.
    """
    found = []
    for a, b in combinations(data.names, 2):
        both = np.flatnonzero(data[a].present & data[b].present)
        if len(both) >= 2:
            found.append(paired_correlations(data[a][both].values(), data[b][both].values()))
    if not found:
        present = {name: int(has.sum()) for name, has in data.present.items()}
        raise ModalityError(
            f"A correlation needs at least 2 rows that have two modalities, got {len(data)} rows of {list(data.names)} "
            f"(present: {present}). Give more rows, or another modality."
        )
    return np.asarray(np.mean(found, axis=0))


def wilks_test(correlations: Float[np.ndarray, " k"], *, n: int, p: int, q: int) -> WilksTest:
    r"""Test of all remaining canonical correlations, $\Lambda_k = \prod_{i \ge k} (1 - \rho_i^2)$, by Rao's F.

    Args:
        correlations: All canonical correlations, largest first: min(p, q) of them.
        n: Rows.
        p: Rank of one modality.
        q: Rank of the other.

    Raises:
        ModalityError: too few rows for any degree of freedom.

    References:
        Rao 1951; Mardia, Kent and Bibby 1979, section 10.2.
    """
    from scipy.stats import f as f_distribution

    k = np.arange(len(correlations))
    wilks = np.cumprod((1 - np.square(correlations))[::-1])[::-1]
    p_left, q_left = p - k, q - k
    df_1 = (p_left * q_left).astype(float)
    below = (p_left**2 + q_left**2 - 5).astype(float)
    root = np.where(below > 0, np.sqrt(np.maximum(df_1**2 - 4, 1) / np.where(below > 0, below, 1)), 1.0)
    df_2 = (n - 1.5 - (p + q) / 2) * root - df_1 / 2 + 1
    if (df_2 <= 0).any():
        raise ModalityError(
            f"Wilks' test needs more rows than the ranks of both modalities together, got {n} rows and ranks {p} + {q}. "
            "Use permutation_test(data), with reg > 0."
        )
    rooted = np.maximum(wilks, np.finfo(float).tiny) ** (1 / root)
    statistic = (1 - rooted) / rooted * df_2 / df_1
    return WilksTest(
        np.asarray(correlations, dtype=float),
        wilks,
        statistic,
        df_1,
        df_2,
        f_distribution.sf(statistic, df_1, df_2),
    )


def independence_test(
    eigenvalues: Float[np.ndarray, " r"], *, n: int, ranks: Sequence[int]
) -> IndependenceTest:
    r"""Wilks' test that several sets of variables are independent: $\Lambda = |S| / \prod_m |S_{mm}| = \prod_i \lambda_i$.

    Args:
        eigenvalues: Of the pencil (S, blockdiag S), all of them: one more than those of `MultisetCCA`.
        n: Rows.
        ranks: Rank of each set.

    Raises:
        ModalityError: fewer rows than variables: the determinant is 0 whatever the data.

    Relations:
        * two sets: lambda of `wilks_test`'s first row, with Bartlett's approximation in place of Rao's.

    References:
        Wilks 1935; Box 1949; Anderson 2003, section 9.5.
    """
    from scipy.stats import chi2

    p = float(sum(ranks))
    if n - 1 < p + 1:
        raise ModalityError(
            f"Wilks' test needs more rows than the ranks of all modalities together, got {n} rows and ranks {list(ranks)}. "
            "Use permutation_test(data), with reg > 0."
        )
    squares, cubes = p**2 - sum(r**2 for r in ranks), p**3 - sum(r**3 for r in ranks)
    log_wilks = float(np.log(np.maximum(eigenvalues, np.finfo(float).tiny)).sum())
    statistic = -(n - 1.5 - cubes / (3 * squares)) * log_wilks
    return IndependenceTest(
        float(np.exp(log_wilks)), statistic, squares / 2, float(chi2.sf(statistic, squares / 2))
    )


def permutation_test(
    a: Float[np.ndarray, "n d_a"],
    b: Float[np.ndarray, "n d_b"],
    *,
    reg: float = 0.0,
    n_pairs: int | None = None,
    n_permutations: int = 999,
    random_state: RandomState = None,
) -> PermutationTest:
    """Canonical correlations against those of rows paired at random; asks nothing of the distribution, and works with a ridge.

    Pair k is tested among what the pairs before it leave over, so that a strong first pair does not hide or lend strength to later ones.

    Args:
        a: One modality.
        b: The other, row by row.
        reg: Ridge in [0, 1], as in the fit.
        n_pairs: Pairs to test; all by default.
        n_permutations: Shuffles; the smallest p is 1 / (1 + n_permutations).
        random_state: Seed of the shuffles.

    Complexity:
        O(n_permutations n r_a r_b) for ranks r.

    References:
        Winkler, Renaud, Smith and Nichols 2020, "Permutation inference for canonical correlation analysis".
    """
    rng = generator(random_state)
    white_a, white_b = _whitened(a, reg), _whitened(b, reg)
    # all directions: those without a partner can find one under a shuffle
    U, s, Vt = np.linalg.svd(white_a.T @ white_b)
    variates_a, variates_b = white_a @ U, white_b @ Vt.T
    count = min(len(s), n_pairs or len(s))
    correlations = paired_correlations(variates_a[:, :count], variates_b[:, :count])
    return _against_shuffles([variates_a, variates_b], correlations, n_permutations, rng)


def permutation_test_of_many(
    views: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    *,
    reg: float = 0.0,
    n_permutations: int = 999,
    random_state: RandomState = None,
) -> PermutationTest:
    """Components of two or more modalities against rows paired at random: every modality but the first is shuffled by itself.

    Component k is tested among what the components before it leave over of each modality. The statistic is the sum, over pairs of
    modalities, of the squared correlations left (with a ridge: of the ridged ones).

    Args:
        views: For each modality (n, d), the same rows.
        weights: For each modality (d, k): the fitted directions, the first component first.
        reg: Ridge in [0, 1], as in the fit; 1 for covariances in place of correlations.
        n_permutations: Shuffles; the smallest p is 1 / (1 + n_permutations).
        random_state: Seed of the shuffles.

    Complexity:
        O(n_permutations n p^2) for p features in all, of which no more than n - 1 a modality count.

    Relations:
        * two modalities and the weights of CCA: `permutation_test`.
    """
    variates, bases = [], []
    for view, directions in zip(views, weights, strict=True):
        white = _whitened(view, reg)
        components = np.asarray(view, dtype=np.float64) @ directions
        components = components - components.mean(axis=0)
        coefficients = np.linalg.lstsq(white, components, rcond=None)[0]
        variates.append(components)
        bases.append(white @ np.linalg.qr(coefficients, mode="complete")[0])
    pairs = list(combinations(variates, 2))
    correlations = np.mean([paired_correlations(a, b) for a, b in pairs], axis=0)
    return _against_shuffles(bases, correlations, n_permutations, generator(random_state))


def _against_shuffles(
    bases: Sequence[np.ndarray], correlations: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> PermutationTest:
    """`bases`: rows of each modality in an orthonormal basis whose first directions are the components, in order."""
    count, n = len(correlations), len(bases[0])
    observed = sum(_left_over(a.T @ b, count) for a, b in combinations(bases, 2))
    null = np.empty((n_permutations, count))
    for shuffle in range(n_permutations):
        turned = [bases[0], *(basis[rng.permutation(n)] for basis in bases[1:])]
        null[shuffle] = sum(_left_over(a.T @ b, count) for a, b in combinations(turned, 2))
    as_strong = (null >= observed * (1 - 1e-10)).sum(axis=0)
    p_values = np.maximum.accumulate((1 + as_strong) / (1 + n_permutations))
    return PermutationTest(correlations, np.asarray(observed), p_values, null)


def held_out_correlations(
    estimator: Coordination, data: Modalities, *, n_splits: int = 5, random_state: RandomState = None
) -> HeldOutCorrelations:
    """Fit on all folds but one and correlate the components on the one left out, for each fold in turn.

    Rows that share a stored value (captions of one picture) stay in one fold. Rows that lack a modality are left out, unless the
    estimator takes them (`requires.missing`); then a correlation is of the rows that have both.

    Args:
        estimator: Any coordination; it is cloned, not changed.
        data: Two modalities or more; of more than two, the correlation of a component is the mean over pairs of modalities.
        n_splits: Folds, at least 2.
        random_state: Seed of the folds.

    Raises:
        ModalityError: one modality, or fewer groups of rows than folds.
    """
    from sklearn.base import clone

    data = Modalities.of(data)
    if not estimator.requires.missing:
        data = data.complete()
    if len(data.names) < 2:
        raise ModalityError(
            f"Held-out correlations are of at least two modalities, got {list(data.names)}. Add a column."
        )
    folds = []
    for held in _folds(data, n_splits, generator(random_state)):
        model = clone(estimator).fit(data[np.flatnonzero(~held)])
        folds.append(pairwise_correlations(model.transform(data[np.flatnonzero(held)])))
    fitted = pairwise_correlations(clone(estimator).fit(data).transform(data))
    k = min(len(fitted), *(len(fold) for fold in folds))  # a fold may have a smaller rank
    table = np.stack([fold[:k] for fold in folds])
    return HeldOutCorrelations(fitted[:k], table.mean(axis=0), table)


def _folds(data: Modalities, n_splits: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    groups = linked_rows([column.index for _, column in data.items()])
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    if not 2 <= n_splits <= n_groups:
        raise ModalityError(
            f"Cross-validation needs 2 <= n_splits <= groups of rows, got n_splits={n_splits} and {n_groups} groups."
        )
    fold_of_group = rng.permutation(n_groups) % n_splits
    for fold in range(n_splits):
        yield fold_of_group[groups] == fold


def _whitened(x: np.ndarray, reg: float) -> np.ndarray:
    """Rows in coordinates whose (ridged) sum of squares is the identity; at most n - 1 of them."""
    centred = np.asarray(x, dtype=np.float64) - np.asarray(x, dtype=np.float64).mean(axis=0)
    n, d = centred.shape
    scale = float((centred**2).sum() / d)
    if d >= n:  # the span of n rows has at most n - 1 directions: rotate into it
        U, s, _ = np.linalg.svd(centred, full_matrices=False)
        kept = s > s[:1] * max(n, d) * np.finfo(float).eps
        centred = U[:, kept] * s[kept]
    white: np.ndarray = centred @ whitening(ridge(centred.T @ centred, reg, scale)).matrix
    return white


def _left_over(T: np.ndarray, count: int) -> np.ndarray:
    """Sum of squares of T[k:, k:] for k = 0 .. count - 1: what is left for pair k and those after it."""
    tails = np.cumsum(np.cumsum((T * T)[::-1, ::-1], axis=0), axis=1)[::-1, ::-1]
    left = np.zeros(count)  # a modality of fewer directions has nothing left for later components
    found = np.diagonal(tails)[:count]
    left[: len(found)] = found
    return left

r"""Retrieval metrics: each is one number a query, NaN where nothing is relevant; their mean is what is reported.

Every function takes scores (q, n), higher is better, and relevance (q, n), which may be many-to-many: True/False, or
grades of which 0 means irrelevant. Candidates of equal score are counted in expectation over a random order of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Shaped
from polymodal.evaluation.ranking import Ranking, rank

Gain = Literal["linear", "exponential"]
Scores = Shaped[np.ndarray, "q n"]
Relevance = Shaped[np.ndarray, "q n"]


def any_hit_at_k(scores: Scores, relevance: Relevance, k: int) -> Float[np.ndarray, " q"]:
    """1 when at least one relevant candidate is among the first k: what much of the literature calls recall@k.

    Relations:
        * one relevant candidate a query: equals `recall_at_k`.
        * constant scores, one relevant of n: k / n.
        * never below `recall_at_k`.
    """
    return any_hit(rank(scores, relevance), k)


def recall_at_k(scores: Scores, relevance: Relevance, k: int) -> Float[np.ndarray, " q"]:
    """Share of the query's relevant candidates that are among the first k.

    Relations:
        * k = n: 1.
        * recall_at_k * number of relevant = precision_at_k * k.
    """
    return recall(rank(scores, relevance), k)


def precision_at_k(scores: Scores, relevance: Relevance, k: int) -> Float[np.ndarray, " q"]:
    """Share of the first k places that hold a relevant candidate (k places, also where fewer candidates exist)."""
    return precision(rank(scores, relevance), k)


def first_rank(scores: Scores, relevance: Relevance) -> Float[np.ndarray, " q"]:
    """Place of the first relevant candidate, from 1.

    Relations:
        * constant scores, r relevant of n: (n + 1) / (r + 1).
    """
    return first_place(rank(scores, relevance))


def median_rank(scores: Scores, relevance: Relevance) -> float:
    """Median over queries of the place of the first relevant candidate, from 1; queries without one are left out."""
    return float(np.nanmedian(first_rank(scores, relevance)))


def reciprocal_rank(scores: Scores, relevance: Relevance) -> Float[np.ndarray, " q"]:
    """1 / place of the first relevant candidate; its mean is the MRR.

    Relations:
        * one relevant candidate: equals `average_precision`.
        * constant scores, one relevant of n: (1 + 1/2 + ... + 1/n) / n.
    """
    return inverse_place(rank(scores, relevance))


def average_precision(scores: Scores, relevance: Relevance) -> Float[np.ndarray, " q"]:
    r"""Mean over the relevant candidates of the precision at their place; its mean over queries is the mAP.

    $$ AP = \tfrac{1}{R} \sum_{i: rel_i} \frac{|\{j: rel_j, rank_j \le rank_i\}|}{rank_i} $$

    The sign of a score means nothing: adding a constant changes nothing.

    Relations:
        * no ties: scikit-learn's `average_precision_score`.
        * all candidates relevant: 1.

    References:
        McSherry and Najork 2008 (expectation under ties).
    """
    return mean_precision(rank(scores, relevance))


def ndcg(
    scores: Scores, relevance: Relevance, k: int | None = None, *, gain: Gain = "linear"
) -> Float[np.ndarray, " q"]:
    r"""Discounted cumulative gain over that of the best order.

    $$ DCG = \sum_{i \le k} \frac{gain(rel_i)}{\log_2(1 + rank_i)} $$

    Args:
        scores: Higher is better.
        relevance: Grades >= 0.
        k: Places counted; all by default.
        gain: `linear` rel, or `exponential` 2**rel - 1. The two agree on Boolean relevance.

    Relations:
        * `linear`: scikit-learn's `ndcg_score`, which averages ties as well.
    """
    if k is None:
        return discounted_gain(rank(scores, relevance), gain=gain)
    if k < 1:
        raise ModalityError(f"k must be at least 1, got {k}.")
    best = np.sort(relevance.astype(np.float64), axis=1)[:, ::-1][:, :k]
    best = best if gain == "linear" else np.exp2(best) - 1
    ideal = (best / np.log2(2 + np.arange(best.shape[1]))).sum(axis=1)
    return discounted_gain(rank(scores, relevance), k, gain=gain, ideal=ideal)


def k_occurrence(scores: Scores, k: int = 10) -> Float[np.ndarray, " n"]:
    """N_k: how many queries have each candidate among their first k. Sums to q k.

    References:
        Radovanovic, Nanopoulos and Ivanovic 2010.
    """
    _check_k(k)
    return rank(scores, np.zeros(scores.shape, dtype=bool), k_occurrence=k).occurrence


def hubness(scores: Scores, k: int = 10) -> float:
    r"""Skewness of `k_occurrence`: large when a few candidates are near to every query.

    $$ E[(N_k - \bar N)^3] / \sigma^3 $$

    Relations:
        * every candidate found equally often: 0.
    """
    return skewness(k_occurrence(scores, k))


# --- the same metrics of a Ranking, so that one ranking serves them all --------------------------------------------


def any_hit(ranking: Ranking, k: int) -> Float[np.ndarray, " q"]:
    """`any_hit_at_k` of a `Ranking`."""
    from scipy.special import gammaln

    _check_k(k)
    at = ranking.first
    size, other = ranking.size[at], (ranking.size - ranking.hits)[at]
    seen = np.clip(k - ranking.before[at], 0, size)
    possible = seen <= other  # else the seen places cannot all be irrelevant
    left = np.maximum(other - seen, 0)
    log_none = gammaln(other + 1) - gammaln(left + 1) + gammaln(size - seen + 1) - gammaln(size + 1)
    none = np.where(seen == 0, 1.0, np.where(possible, np.exp(log_none), 0.0))
    return ranking.spread(1 - none)


def recall(ranking: Ranking, k: int) -> Float[np.ndarray, " q"]:
    """`recall_at_k` of a `Ranking`."""
    return _found(ranking, k) / np.where(ranking.relevant > 0, ranking.relevant, 1)


def precision(ranking: Ranking, k: int) -> Float[np.ndarray, " q"]:
    """`precision_at_k` of a `Ranking`."""
    return _found(ranking, k) / k


def first_place(ranking: Ranking) -> Float[np.ndarray, " q"]:
    """`first_rank` of a `Ranking`."""
    at = ranking.first
    return ranking.spread(ranking.before[at] + (ranking.size[at] + 1) / (ranking.hits[at] + 1))


def inverse_place(ranking: Ranking) -> Float[np.ndarray, " q"]:
    """`reciprocal_rank` of a `Ranking`."""
    at = ranking.first
    before, size, hits = ranking.before[at], ranking.size[at], ranking.hits[at]
    out = 1 / (before + 1)
    for i in np.flatnonzero(size > hits):
        # P(first relevant at place j of the tie) = P(j - 1 misses) * P(hit | j - 1 misses)
        j = np.arange(size[i] - hits[i] + 1)
        hit = hits[i] / (size[i] - j)
        none = np.concatenate([[1.0], np.cumprod(1 - hit[:-1])])
        out[i] = (none * hit / (before[i] + 1 + j)).sum()
    return ranking.spread(out)


def mean_precision(ranking: Ranking) -> Float[np.ndarray, " q"]:
    """`average_precision` of a `Ranking`."""
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, ranking.n_candidates + 1))])
    b, t, r = ranking.before, ranking.size, ranking.hits
    inverse = harmonic[b + t] - harmonic[b]  # sum over the tie's places of 1 / place
    partner = (r - 1) / np.maximum(t - 1, 1)
    # relevant places up to place b + j, given that it is relevant: hits_before + 1 + (j - 1) partner
    expected = (ranking.hits_before + 1) * inverse + partner * (t - (b + 1) * inverse)
    return ranking.add(r / t * expected) / np.where(ranking.relevant > 0, ranking.relevant, 1)


def discounted_gain(
    ranking: Ranking,
    k: int | None = None,
    *,
    gain: Gain = "linear",
    ideal: Float[np.ndarray, " q"] | None = None,
) -> Float[np.ndarray, " q"]:
    """`ndcg` of a `Ranking`; with `k`, `ideal` is the DCG of the best order cut at k (that of all places otherwise)."""
    column = 0 if gain == "linear" else 1
    n = ranking.n_candidates
    discount = 1 / np.log2(2 + np.arange(n))
    discount[n if k is None else k :] = 0
    total = np.concatenate([[0.0], np.cumsum(discount)])
    places = total[ranking.before + ranking.size] - total[ranking.before]
    best = ranking.ideal[:, column] if ideal is None else ideal
    return ranking.add(ranking.grades[:, column] / ranking.size * places) / np.where(best > 0, best, 1)


def skewness(occurrence: Float[np.ndarray, " n"]) -> float:
    """Third standardised moment; 0 for equal values."""
    centred = occurrence - occurrence.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / deviation**3) if deviation > 1e-12 else 0.0


def _found(ranking: Ranking, k: int) -> Float[np.ndarray, " q"]:
    _check_k(k)
    seen = np.clip(k - ranking.before, 0, ranking.size)
    return ranking.add(ranking.hits * seen / ranking.size)


def _check_k(k: int) -> None:
    if k < 1:
        raise ModalityError(f"k must be at least 1, got {k}.")

"""`Ranking`: where the relevant candidates of each query stand, with ties told honestly. All retrieval metrics read this.

Candidates of equal score have no order. Every metric here is the expectation over a random order of the tied ones, in
closed form: a constant score is worth what chance is worth, never recall 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int, Shaped

Metric = Literal["cosine", "euclidean", "dot"]
_BLOCK_BYTES = 1 << 25


@dataclass(frozen=True, eq=False)
class Ranking:
    """The runs of equally scored candidates ("ties") that hold something relevant, of every query.

    Attributes:
        n_queries: q.
        n_candidates: n.
        relevant: Number of relevant candidates of each query (q,).
        query: Which query a tie belongs to (t,), rising; ties of one query stand from best to worst.
        before: Candidates scored higher than the tie (t,).
        size: Candidates in the tie (t,).
        hits: Relevant candidates in the tie (t,).
        hits_before: Relevant candidates scored higher than the tie (t,).
        grades: (t, 2): sum over the tie of the grade, and of 2**grade - 1.
        ideal: (q, 2): DCG of the best possible order, for either gain.
        occurrence: How often each candidate is among the `k_occurrence` first of a query (n,).
        k_occurrence: The k of `occurrence`.
    """

    n_queries: int
    n_candidates: int
    relevant: Int[np.ndarray, " q"]
    query: Int[np.ndarray, " t"]
    before: Int[np.ndarray, " t"]
    size: Int[np.ndarray, " t"]
    hits: Int[np.ndarray, " t"]
    hits_before: Int[np.ndarray, " t"]
    grades: Float[np.ndarray, "t 2"]
    ideal: Float[np.ndarray, "q 2"]
    occurrence: Float[np.ndarray, " n"]
    k_occurrence: int

    @property
    def first(self) -> Int[np.ndarray, " a"]:
        """Position of each answerable query's best tie."""
        return np.unique(self.query, return_index=True)[1]

    def spread(self, per_query: np.ndarray) -> Float[np.ndarray, " q"]:
        """Values of the answerable queries on all queries: NaN where nothing is relevant."""
        out = np.full(self.n_queries, np.nan)
        out[self.relevant > 0] = per_query
        return out

    def add(self, per_tie: np.ndarray) -> Float[np.ndarray, " q"]:
        """Sum over the ties of each query; NaN where nothing is relevant."""
        return self.spread(np.bincount(self.query, per_tie, self.n_queries)[self.relevant > 0])


def rank(
    scores: Shaped[np.ndarray, "q n"], relevance: Shaped[np.ndarray, "q n"], *, k_occurrence: int = 10
) -> Ranking:
    """Find the ties that hold relevant candidates.

    Args:
        scores: Higher is better; any sign.
        relevance: True/False, or grades >= 0 of which 0 means irrelevant. A query may have many relevant candidates.
        k_occurrence: k of the hubness count.

    Raises:
        ModalityError: no candidates, a score that is NaN, a negative or infinite grade.

    Complexity:
        O(q n log n).
    """
    _check(scores, relevance)
    q, n = scores.shape
    rows, columns = np.nonzero(relevance)
    grades = relevance[rows, columns].astype(np.float64)
    bounds = np.searchsorted(rows, np.arange(q + 1))
    step = max(1, _BLOCK_BYTES // (8 * n))
    starts = range(0, q, step)
    blocks = ((s, scores[s : s + step]) for s in starts)
    return _collect(blocks, (q, n), bounds, columns, grades, k_occurrence)


def rank_embeddings(
    queries: Float[np.ndarray, "q d"],
    candidates: Float[np.ndarray, "n d"],
    relevance: Any,
    *,
    metric: Metric = "cosine",
    k_occurrence: int = 10,
) -> Ranking:
    """As `rank`, from vectors: scores are made block by block and never held together.

    Args:
        queries: One vector a query.
        candidates: One vector a candidate.
        relevance: A scipy sparse matrix (q, n); its stored values that are not 0 are the grades.
        metric: The score: cosine, minus the euclidean distance, or the dot product.
        k_occurrence: k of the hubness count.

    Complexity:
        O(q n (d + log n)) time, O(n + relevant pairs) memory beyond 32 MiB.

    Relations:
        * `rank(score matrix, relevance.toarray())` gives the same ranking.
    """
    q, n = len(queries), len(candidates)
    matrix = relevance.tocsr().astype(np.float64)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    if matrix.shape != (q, n):
        raise ModalityError(f"relevance needs shape ({q}, {n}): queries by candidates; got {matrix.shape}.")
    if (matrix.data < 0).any():
        raise ModalityError("Relevance grades must be >= 0, got negative ones.")
    step = max(1, _BLOCK_BYTES // (8 * max(1, n)))
    blocks = _score_blocks(queries, candidates, metric, step)
    return _collect(blocks, (q, n), matrix.indptr.astype(np.int64), matrix.indices, matrix.data, k_occurrence)


def _check(scores: np.ndarray, relevance: np.ndarray) -> None:
    if scores.dtype.kind not in "biuf" or relevance.dtype.kind not in "biuf":
        raise ModalityError(
            f"scores and relevance need numbers, got {scores.dtype} and {relevance.dtype}. "
            "Build relevance from labels as labels_queries[:, None] == labels_candidates."
        )
    if scores.size == 0:
        raise ModalityError(f"Ranking needs at least one query and one candidate, got shape {scores.shape}.")
    if np.isnan(scores).any():
        raise ModalityError(
            f"Scores must be numbers, got NaN in {int(np.isnan(scores).any(axis=1).sum())} queries."
        )
    if relevance.dtype.kind in "if" and not (np.isfinite(relevance) & (relevance >= 0)).all():
        raise ModalityError("Relevance grades must be finite and >= 0 (0: irrelevant), got others.")


def _score_blocks(
    queries: np.ndarray, candidates: np.ndarray, metric: Metric, step: int
) -> Iterator[tuple[int, np.ndarray]]:
    a, b = np.asarray(queries), np.asarray(candidates)
    if metric == "cosine":
        a, b = _unit(a), _unit(b)
    a, b = a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
    half = (b * b).sum(axis=1) / 2 if metric == "euclidean" else None
    for start in range(0, len(a), step):
        scores = a[start : start + step] @ b.T
        # |a - b|^2 / 2 = |a|^2 / 2 - (a.b - |b|^2 / 2): the first term is one number a query and changes no rank
        yield start, scores if half is None else scores - half


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(norm == 0, 1, norm))


def _collect(
    blocks: Iterator[tuple[int, np.ndarray]],
    shape: tuple[int, int],
    bounds: np.ndarray,
    columns: np.ndarray,
    grades: np.ndarray,
    k: int,
) -> Ranking:
    q, n = shape
    k = min(k, n)
    occurrence = np.zeros(n)
    parts: list[tuple[np.ndarray, ...]] = []
    for start, scores in blocks:
        ordered = np.sort(
            scores, axis=1
        )  # rising; sorting values is several times faster than sorting places
        occurrence += _occurrences(scores, ordered[:, n - k], k)
        for i in range(len(scores)):
            here = slice(bounds[start + i], bounds[start + i + 1])
            if here.start < here.stop:
                parts.append(_ties_of(start + i, ordered[i], scores[i, columns[here]], grades[here]))
    none = np.zeros(0, dtype=np.int64)
    empty = (none, none, none, none, none, np.zeros((0, 2)))
    query, before, size, hits, hits_before, gains = (
        np.concatenate(p) for p in zip(empty, *parts, strict=True)
    )
    relevant, ideal = np.diff(bounds), _ideal(bounds, grades)
    return Ranking(q, n, relevant, query, before, size, hits, hits_before, gains, ideal, occurrence, k)


def _ties_of(
    query: int, ordered: np.ndarray, found: np.ndarray, grades: np.ndarray
) -> tuple[np.ndarray, ...]:
    values, inverse, hits = np.unique(-found, return_inverse=True, return_counts=True)
    above = np.searchsorted(ordered, -values, side="right")
    below = np.searchsorted(ordered, -values, side="left")
    gains = np.stack([np.bincount(inverse, grades), np.bincount(inverse, np.exp2(grades) - 1)], axis=1)
    ids = np.full(len(values), query, dtype=np.int64)
    return ids, len(ordered) - above, above - below, hits, np.cumsum(hits) - hits, gains


def _occurrences(scores: np.ndarray, kth: np.ndarray, k: int) -> np.ndarray:
    higher, equal = scores > kth[:, None], scores == kth[:, None]
    left = k - higher.sum(axis=1)
    return np.asarray(higher.sum(axis=0) + (equal * (left / equal.sum(axis=1))[:, None]).sum(axis=0))


def _ideal(bounds: np.ndarray, grades: np.ndarray) -> np.ndarray:
    """DCG of each query's best order: grades falling, for the linear and the exponential gain."""
    counts = np.diff(bounds)
    query = np.repeat(np.arange(len(counts)), counts)
    best = grades[np.lexsort((-grades, query))]
    discount = 1 / np.log2(2 + np.arange(len(best)) - np.repeat(bounds[:-1], counts))
    sums = [np.bincount(query, gain * discount, len(counts)) for gain in (best, np.exp2(best) - 1)]
    return np.stack(sums, axis=1).astype(np.float64)  # bincount of nothing is an array of integers

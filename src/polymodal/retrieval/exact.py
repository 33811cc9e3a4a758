"""Exact nearest neighbours: a product by blocks and a running top k. One pass, no score matrix, no copy of the vectors."""

from __future__ import annotations

from typing import Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int

Metric = Literal["cosine", "euclidean", "dot"]
QUERY_BLOCK = 256
BLOCK = 4096
"""Vectors multiplied together: 256 x 4096 float32 scores are 4 MiB, which stay in the cache."""


def normalize(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Vectors of length one in float32; zero vectors stay zero."""
    out = np.empty(vectors.shape, dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):  # lengths in float64, without a copy of everything in it
        wide = np.asarray(vectors[start : start + BLOCK], dtype=np.float64)
        norm = np.linalg.norm(wide, axis=1, keepdims=True)
        out[start : start + BLOCK] = wide / np.where(norm == 0, 1, norm)
    return out


def exact_search(
    queries: Float[np.ndarray, "q e"],
    vectors: Float[np.ndarray, "n d"],
    k: int,
    *,
    metric: Metric = "cosine",
    rows: Int[np.ndarray, " m"] | None = None,
) -> tuple[Float[np.ndarray, "q j"], Int[np.ndarray, "q j"]]:
    """Scores and positions of the k nearest of `vectors`, best first; of equal scores the lower position comes first.

    Args:
        queries: One a row.
        vectors: An array or a memory map. For `cosine` they must have length one (`normalize`).
        k: How many; fewer come when there are fewer vectors.
        metric: The score: cosine, minus the euclidean distance, or the dot product.
        rows: Only these positions are searched, rising.

    Raises:
        ModalityError: k < 1, or another number of features.

    Relations:
        * a stable sort of the full score matrix gives the same positions.
        * `rows` gives what searching `vectors[rows]` does.

    Complexity:
        O(q n d) time; 8 MiB of memory beyond the answer, whatever n. Scores are float32, euclidean distances are
        computed again from the differences.
    """
    if k < 1:
        raise ModalityError(f"k must be at least 1, got {k}.")
    if queries.shape[1] != vectors.shape[1]:
        raise ModalityError(
            f"Queries need {vectors.shape[1]} features, as the entries have, got {queries.shape[1]}."
        )
    asked = normalize(queries) if metric == "cosine" else np.ascontiguousarray(queries, dtype=np.float32)
    rows = None if rows is None else np.asarray(rows, dtype=np.int64)
    n = len(vectors) if rows is None else len(rows)
    j = min(k, n)
    scores = np.empty((len(asked), j), dtype=np.float32)
    places = np.empty((len(asked), j), dtype=np.int64)
    for start in range(0, len(asked) if j else 0, QUERY_BLOCK):
        part = slice(start, start + QUERY_BLOCK)
        scores[part], places[part] = _search_block(asked[part], vectors, j, metric == "euclidean", rows)
    if metric == "euclidean":
        _distances(asked, vectors, scores, places)
    return scores, places


def _search_block(
    asked: np.ndarray, vectors: np.ndarray, k: int, euclidean: bool, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    q, n = len(asked), len(vectors) if rows is None else len(rows)
    block = max(BLOCK, k)  # the first block must hold k candidates
    best = np.full((q, 0), 0, dtype=np.float32)
    at = np.zeros((q, 0), dtype=np.int64)
    buffer = np.empty((q, min(block, n)), dtype=np.float32)
    for start in range(0, n, block):
        stop = min(start + block, n)
        part = vectors[start:stop] if rows is None else vectors[rows[start:stop]]
        scores = np.matmul(asked, part.T, out=buffer if stop - start == buffer.shape[1] else None)
        if euclidean:
            scores -= np.einsum("nd,nd->n", part, part) / 2
        if start == 0:
            # all that reach the k-th best, ties included: the merge keeps the lowest positions of them
            threshold = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
            row, column = np.nonzero(scores >= threshold[:, None])
        else:
            # an equal score at a higher position never displaces one that is there
            flat = np.flatnonzero(scores > best[:, -1:])
            row, column = np.divmod(flat, scores.shape[1])
        if len(row):
            found = column + start if rows is None else rows[column + start]
            values = scores[row, column]
            if start == 0:
                best, at = _merge(best, at, (row, values, found), k)
            else:  # late blocks change few queries
                hit, row = np.unique(row, return_inverse=True)
                best[hit], at[hit] = _merge(best[hit], at[hit], (row, values, found), k)
    return best, at


def _merge(
    best: np.ndarray, at: np.ndarray, found: tuple[np.ndarray, np.ndarray, np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    q, have = best.shape
    row = np.concatenate([np.repeat(np.arange(q), have), found[0]])
    score = np.concatenate([best.ravel(), found[1]])
    place = np.concatenate([at.ravel(), found[2]])
    order = np.lexsort((place, -score, row))
    starts = np.searchsorted(row[order], np.arange(q))
    kept = order[starts[:, None] + np.arange(k)]
    return score[kept], place[kept]


def _distances(asked: np.ndarray, vectors: np.ndarray, scores: np.ndarray, places: np.ndarray) -> None:
    """Replace the scores by minus the distance, from differences: free of cancellation for near vectors."""
    for i in range(len(asked)):
        difference = np.asarray(vectors[places[i]], dtype=np.float64) - asked[i]
        distance = np.sqrt((difference**2).sum(axis=1))
        order = np.lexsort((places[i], distance))
        scores[i], places[i] = -distance[order], places[i][order]

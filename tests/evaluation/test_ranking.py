"""Ties and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from polymodal.core.errors import ModalityError
from polymodal.evaluation import rank, rank_embeddings, ranking


def test_ties_by_hand() -> None:
    found = rank(np.array([[3.0, 1.0, 1.0, 1.0, 0.0]]), np.array([[0, 2, 0, 1, 0]]))
    assert found.before.tolist() == [1]
    assert found.size.tolist() == [3]
    assert found.hits.tolist() == [2]
    assert found.grades.tolist() == [[3, 4]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
def test_from_vectors_as_from_scores_whatever_the_block(
    metric: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = rng.normal(size=(9, 4)).astype("f4"), rng.normal(size=(12, 4)).astype("f4")
    relevance = rng.integers(0, 3, size=(9, 12)) * (rng.random((9, 12)) < 0.3)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    scores = {
        "cosine": lambda: unit(a) @ unit(b).T,
        "dot": lambda: a @ b.T,
        "euclidean": lambda: -np.linalg.norm(a[:, None] - b[None], axis=2),
    }[metric]()
    monkeypatch.setattr(ranking, "_BLOCK_BYTES", 8 * 12 * 4)  # four queries a block
    lean, full = rank_embeddings(a, b, csr_matrix(relevance), metric=metric), rank(scores, relevance)
    for name in (
        "relevant",
        "query",
        "before",
        "size",
        "hits",
        "hits_before",
        "grades",
        "ideal",
        "occurrence",
    ):
        np.testing.assert_allclose(getattr(lean, name), getattr(full, name))


def test_bad_input(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 2))
    with pytest.raises(ModalityError, match=r"\(3, 3\)"):
        rank_embeddings(a, a, csr_matrix((3, 4)))
    with pytest.raises(ModalityError, match="negative"):
        rank_embeddings(a, a, csr_matrix(-np.eye(3)))


def test_a_zero_vector_is_not_nan() -> None:
    found = rank_embeddings(np.zeros((1, 2)), np.eye(2), csr_matrix(np.eye(2)[:1]))
    assert found.size.tolist() == [2]

"""Approximate search says how well it finds, and is right about it."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import StoreError
from polymodal.retrieval import ApproximateIndex, exact_search
from polymodal.retrieval.exact import normalize


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_recall_it_tells_is_the_recall_it_has(
    kind: str, metric: str, rng: np.random.Generator, tmp_path
) -> None:
    centres = rng.normal(size=(20, 8)) * 3
    vectors = (centres[rng.integers(20, size=3000)] + rng.normal(size=(3000, 8))).astype("f4")
    vectors = normalize(vectors) if metric == "cosine" else vectors
    queries = vectors[:200] + rng.normal(size=(200, 8)).astype("f4") * 0.1
    queries = normalize(queries) if metric == "cosine" else queries
    index = ApproximateIndex.build(vectors, metric=metric, kind=kind, queries=queries, min_recall=0.9)
    assert index.report.kind == kind
    assert index.report.recall >= 0.9
    truth_scores, truth = exact_search(queries, vectors, 10, metric=metric)
    scores, places = index.search(queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(places, truth, strict=True)])
    assert recall == pytest.approx(index.report.recall, abs=0.02)
    shared = places == truth
    np.testing.assert_allclose(scores[shared], truth_scores[shared], atol=1e-3)

    index.save(tmp_path / "i.faiss")
    again = ApproximateIndex.load(tmp_path / "i.faiss")
    assert again.report == index.report
    np.testing.assert_array_equal(again.search(queries, 10)[1], places)

    rows = np.arange(0, 3000, 2)
    assert (index.search(queries, 5, rows)[1] % 2 == 0).all()


def test_more_effort_for_more_recall_and_the_same_seed_the_same_index(rng: np.random.Generator) -> None:
    vectors = normalize(rng.normal(size=(4000, 16)))  # no clusters: hard for cells
    little, much = (ApproximateIndex.build(vectors, min_recall=r) for r in (0.3, 0.99))
    assert little.report.effort < much.report.effort
    assert little.report.recall < 0.99 <= much.report.recall
    assert ApproximateIndex.build(vectors, min_recall=0.3).report == little.report


def test_few_vectors(rng: np.random.Generator) -> None:
    index = ApproximateIndex.build(normalize(rng.normal(size=(5, 3))))
    assert index.report.recall == 1
    assert index.search(np.eye(3), 9)[1].shape == (3, 9)  # -1 where there are no more


def test_a_damaged_file_is_named(tmp_path, rng: np.random.Generator) -> None:
    file = tmp_path / "i.faiss"
    with pytest.raises(StoreError, match=r"i\.faiss"):
        ApproximateIndex.load(file)
    ApproximateIndex.build(normalize(rng.normal(size=(50, 3)))).save(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"i\.faiss is missing or damaged"):
        ApproximateIndex.load(file)
    with pytest.raises(StoreError, match="Cannot write"):
        ApproximateIndex.build(normalize(rng.normal(size=(50, 3)))).save(tmp_path / "none" / "i.faiss")

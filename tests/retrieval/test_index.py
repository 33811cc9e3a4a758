"""Memory and disk answer alike, through any sequence of changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.retrieval import DiskIndex, Index, Layout, MemoryIndex
from polymodal.retrieval.index import search_others


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
def test_memory_and_disk_agree(metric: str, rng: np.random.Generator, tmp_path: Path) -> None:
    layout = Layout(5, metric, ids="int", metadata={"n": "int", "t": "text"})
    indices: list[Index] = [MemoryIndex(layout), DiskIndex.create(tmp_path / "index", layout)]
    queries = rng.normal(size=(4, 5))
    for step in range(5):
        ids = np.arange(step * 10, step * 10 + 10)
        vectors = rng.normal(size=(10, 5))
        metadata = {"n": ids % 3, "t": [f"row '{i}'" if i % 2 else None for i in ids]}
        changed, other = rng.integers(0, step * 10 + 12, size=3), rng.normal(size=(3, 5))
        left = rng.integers(0, step * 10 + 10, size=2)
        counts = set()
        for index in indices:
            index.add("image", ids, vectors, metadata)
            index.add("text", ids[:4], vectors[:4] + 0.1)
            index.update("image", changed, other, {"n": [7, 8, 9]})
            counts.add((index.delete(left), index.delete(left[:1], "text"), len(index), index.modalities))
        assert len(counts) == 1
        for options in (
            {},
            {"target": "image"},
            {"where": "n = 1 OR t LIKE 'row%'"},
            {"where": {"n": [7, 8]}},
        ):
            a, b = (index.search(queries, 12, **options) for index in indices)
            np.testing.assert_array_equal(a.ids, b.ids)
            np.testing.assert_array_equal(a.modality, b.modality)
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)
            assert {k: v.tolist() for k, v in a.metadata.items()} == {
                k: v.tolist() for k, v in b.metadata.items()
            }
        for key in changed:
            a, b = (index.vectors(int(key)) for index in indices)
            assert {k: v.tolist() for k, v in a.items()} == {k: v.tolist() for k, v in b.items()}


def test_others_are_searched_without_what_the_query_was_made_of(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(6, 3))
    layout = Layout.infer(3, "cosine", np.arange(6), {})
    index = MemoryIndex(layout)
    index.add("a", np.arange(6), vectors)
    index.add("b", np.arange(6), vectors)
    hits = search_others(index, vectors[:1], 10, without=[0, 3])
    assert hits.ids.shape == (1, 8)
    assert set(hits.ids[0].tolist()) == {1, 2, 4, 5}
    assert search_others(index, vectors[:1], 3, without=[0]).ids.shape == (1, 3)

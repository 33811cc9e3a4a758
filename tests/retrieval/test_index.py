"""Memory and disk answer alike, through any sequence of changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.retrieval import DiskIndex, Index, Layout, MemoryIndex


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

"""The index in memory."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.retrieval import Index, Layout, MemoryIndex


@pytest.fixture
def index() -> MemoryIndex:
    made = MemoryIndex(Layout(2, metadata={"script": "text"}))
    made.add(
        "image", ["east", "north", "west"], [[1, 0], [0, 1], [-1, 0]], {"script": ["greek", "latin", None]}
    )
    made.add("text", ["east", "east"], [[2, 1], [3, 0]])
    return made


def test_search(index: MemoryIndex) -> None:
    assert isinstance(index, Index)
    assert (len(index), index.modalities) == (5, ("image", "text"))
    hits = index.search([[1, 0.1], [0, 1]], k=2)
    assert hits.ids.tolist() == [["east", "east"], ["north", "east"]]
    assert hits.modality.tolist() == [["image", "text"], ["image", "text"]]
    assert hits.metadata["script"].tolist() == [["greek", None], ["latin", None]]
    assert hits.recall == 1
    only = index.search([[1, 0]], k=9, target="image", where="script IS NOT NULL")
    assert only.ids.tolist() == [["east", "north"]]
    np.testing.assert_allclose(only.scores, [[1, 0]], atol=1e-6)
    assert index.search([[1, 0]], where={"modality": "text", "id": "east"}).ids.shape == (1, 2)
    assert index.search([[1, 0]], where={"script": "none such"}).ids.shape == (1, 0)


def test_update_leaves_nothing_stale_and_delete_nothing_at_all(index: MemoryIndex) -> None:
    index.update("text", ["east", "new"], [[0, -1], [-1, -1]])
    assert index.vectors("east")["text"].tolist() == [[0, -1]]
    assert len(index) == 5
    assert index.delete(["east"], "image") == 1
    assert list(index.vectors("east")) == ["text"]
    assert index.delete(["east", "new", "unknown"]) == 2
    assert index.modalities == ("image",)
    assert index.delete(["north", "west"]) == 2
    assert index.search([[1, 0]]).ids.shape == (1, 0)
    assert repr(index) == "MemoryIndex(empty; 2 features, cosine)"


def test_a_key_that_is_there_is_refused_whole(index: MemoryIndex) -> None:
    with pytest.raises(ModalityError, match="'image' already.*'north'.*update"):
        index.add("image", ["new", "north"], [[1, 0], [0, 1]])
    assert len(index) == 5
    index.add("text", ["north"], [[0, 1]])
    assert len(index) == 6


def test_bad_input(index: MemoryIndex) -> None:
    with pytest.raises(ModalityError, match="'txt'.*'image', 'text'.*Did you mean 'text'"):
        index.search([[1, 0]], target="txt")
    with pytest.raises(ModalityError, match="one id per vector"):
        index.add("image", ["a"], [[1, 0], [0, 1]])
    with pytest.raises(ModalityError, match="k must be"):
        index.search([[1, 0]], k=0)
    with pytest.raises(ModalityError, match="2 numbers"):
        index.search([[1, 0, 0]])


def test_integers_for_ids() -> None:
    index = MemoryIndex(Layout(2, "euclidean", ids="int"))
    index.add("a", np.array([7, 3]), np.eye(2))
    hits = index.search([[1.0, 0]], k=1)
    assert (hits.ids.tolist(), hits.scores.tolist()) == ([[7]], [[0]])


def test_approximate_on_request_with_its_recall(rng: np.random.Generator) -> None:
    index = MemoryIndex(Layout(8))
    ids = [str(i) for i in range(2000)]
    index.add("image", ids, rng.normal(size=(2000, 8)), None)
    index.add("text", ids, rng.normal(size=(2000, 8)))
    assert {r.kind for r in index.build_approximate().values()} == {"exact"}
    built = index.build_approximate("ivf", min_recall=0.8)["image"]
    assert (built.kind, built.n) == ("ivf", 2000)
    queries = rng.normal(size=(50, 8))
    found, true = index.search(queries, target="image"), index.search(queries, target="image", exact=True)
    assert found.recall == built.recall
    assert true.recall == 1
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.ids, true.ids, strict=True)])
    assert recall == pytest.approx(built.recall, abs=0.1)
    narrow = index.search(queries, target="image", where={"id": ids[:30]})
    assert narrow.recall == 1  # a narrow filter is searched exactly
    index.add("image", ["new"], queries[:1])
    assert index.search(queries[:1], k=1, target="image").ids.tolist() == [["new"]]

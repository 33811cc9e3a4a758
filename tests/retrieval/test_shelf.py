"""Shelves: what is searched together is ordered together."""

from __future__ import annotations

import numpy as np

from polymodal.retrieval.exact import normalize
from polymodal.retrieval.layout import Layout
from polymodal.retrieval.memory import prepare
from polymodal.retrieval.shelf import search_shelves


def test_several_modalities_are_one_ranking(rng: np.random.Generator) -> None:
    layout = Layout(4, ids="int")
    vectors = rng.normal(size=(40, 4))
    shelves = {
        name: prepare(layout, np.arange(start, start + 20), vectors[start : start + 20], None)
        for name, start in (("b", 20), ("a", 0))
    }
    queries = rng.normal(size=(5, 4))
    hits = search_shelves(shelves, layout, queries, 12)
    scores = normalize(queries) @ normalize(vectors).T
    np.testing.assert_array_equal(hits.ids, np.argsort(-scores, axis=1)[:, :12])
    assert (hits.modality == np.where(hits.ids < 20, "a", "b")).all()


def test_ties_go_by_modality_then_position() -> None:
    layout = Layout(2, ids="int")
    shelves = {name: prepare(layout, [2, 1], np.ones((2, 2)), None) for name in ("b", "a")}
    hits = search_shelves(shelves, layout, [[1, 1]], 3)
    assert hits.ids.tolist() == [[2, 1, 2]]
    assert hits.modality.tolist() == [["a", "a", "b"]]


def test_filters_look_at_positions_of_their_shelf() -> None:
    layout = Layout(2, ids="int", metadata={"n": "int"})
    shelf = prepare(layout, [5, 6, 7], np.eye(3)[:, :2] + 1, {"n": [1, 2, 1]})
    assert shelf.rows("image", {"n": 1, "modality": "image"}).tolist() == [0, 2]
    assert shelf.rows("image", "id = 6 or modality = 'text'").tolist() == [1]

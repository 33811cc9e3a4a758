"""Hits print and serialise."""

from __future__ import annotations

import json

import numpy as np

from polymodal.retrieval import Hits


def hits(recall: float = 1.0, q: int = 1) -> Hits:
    ids = np.array([["a", "b"]] * q)
    years = np.array([[1990, None]] * q, dtype=object)
    return Hits(ids, np.array([[0.5, -0.25]] * q), np.array([["image", "text"]] * q), {"year": years}, recall)


def test_records_and_json() -> None:
    told = json.loads(json.dumps(hits().to_dict()))
    assert told["recall"] == 1
    assert told["queries"][0][0] == {"id": "a", "modality": "image", "score": 0.5, "metadata": {"year": 1990}}
    assert hits().records()[1]["metadata"] == {"year": None}
    assert len(hits(q=3)) == 3


def test_repr_says_what_kind_of_search_it_was() -> None:
    assert "exact" in repr(hits())
    assert " 0.5000  image 'a'  year=1990" in repr(hits())
    assert "measured recall 0.970" in repr(hits(0.97))
    assert "2 queries more" in repr(hits(q=5))

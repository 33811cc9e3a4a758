"""Exact search: a stable sort of all scores is the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.retrieval import exact, exact_search


def slow(queries: np.ndarray, vectors: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    q, v = queries.astype(float), vectors.astype(float)
    if metric == "cosine":
        q = q / np.linalg.norm(q, axis=1, keepdims=True)
    scores = -np.linalg.norm(q[:, None] - v[None], axis=2) if metric == "euclidean" else q @ v.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
@pytest.mark.parametrize("block", [3, 7, 4096])
def test_as_a_full_sort(
    metric: str, block: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "BLOCK", block)
    monkeypatch.setattr(exact, "QUERY_BLOCK", 4)
    queries, vectors = rng.normal(size=(9, 5)), rng.normal(size=(50, 5)).astype("f4")
    if metric == "cosine":
        vectors = exact.normalize(vectors)
    for k in (1, 6, 50, 80):
        scores, places = exact_search(queries, vectors, k, metric=metric)
        expected, order = slow(queries, vectors, k, metric)
        np.testing.assert_array_equal(places, order)
        np.testing.assert_allclose(scores, expected, atol=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12), st.sampled_from(["dot", "euclidean"]))
def test_ties_go_by_position(number: int, n: int, k: int, metric: str) -> None:
    rng = np.random.default_rng(number)
    queries = rng.integers(-1, 2, size=(6, 3)).astype("f4")  # small integers: float32 is exact, ties abound
    vectors = rng.integers(-1, 2, size=(n, 3)).astype("f4")
    before, exact.BLOCK = exact.BLOCK, 5
    try:
        _, places = exact_search(queries, vectors, k, metric=metric)
    finally:
        exact.BLOCK = before
    np.testing.assert_array_equal(places, slow(queries, vectors, k, metric)[1])


def test_rows_is_searching_a_part(rng: np.random.Generator) -> None:
    queries, vectors = rng.normal(size=(3, 4)), rng.normal(size=(30, 4)).astype("f4")
    rows = np.array([2, 3, 11, 29])
    scores, places = exact_search(queries, vectors, 3, metric="dot", rows=rows)
    expected, inner = exact_search(queries, vectors[rows], 3, metric="dot")
    np.testing.assert_array_equal(places, rows[inner])
    np.testing.assert_array_equal(scores, expected)
    assert exact_search(queries, vectors, 3, rows=rows[:0])[1].shape == (3, 0)


def test_parity_with_faiss(rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    vectors = exact.normalize(rng.normal(size=(5000, 16)))
    queries = exact.normalize(rng.normal(size=(20, 16)))
    flat = faiss.IndexFlatIP(16)
    flat.add(vectors)
    theirs, places = flat.search(queries, 10)
    ours, found = exact_search(queries, vectors, 10)
    np.testing.assert_array_equal(found, places)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_near_vectors_far_away_keep_their_distance() -> None:
    vectors = np.array([[1000.0, 0], [1000.01, 0]], dtype="f4")
    scores, _ = exact_search(np.array([[1000.0, 0]]), vectors, 2, metric="euclidean")
    np.testing.assert_allclose(scores, [[0, -0.01]], atol=1e-4)


def test_memory_maps_zero_vectors_and_nothing(tmp_path, rng: np.random.Generator) -> None:
    vectors = exact.normalize(np.vstack([np.zeros((1, 3)), rng.normal(size=(9, 3))]))
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        exact_search(vectors[:2], mapped, 4)[1], exact_search(vectors[:2], vectors, 4)[1]
    )
    assert exact_search(np.zeros((1, 3)), vectors, 4)[0].tolist() == [[0, 0, 0, 0]]
    assert exact_search(np.zeros((0, 3)), vectors, 4)[0].shape == (0, 4)
    assert exact_search(vectors, vectors[:0], 4)[0].shape == (10, 0)


def test_bad_input() -> None:
    with pytest.raises(ModalityError, match="k must be"):
        exact_search(np.eye(2), np.eye(2), 0)
    with pytest.raises(ModalityError, match="3 features.*got 2"):
        exact_search(np.eye(2), np.eye(3), 1)

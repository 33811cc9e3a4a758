"""Retrieval metrics: numbers worked out by hand, ties by enumeration, parity with scikit-learn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from polymodal.core.errors import ModalityError
from polymodal.evaluation import (
    any_hit_at_k,
    average_precision,
    first_rank,
    hubness,
    k_occurrence,
    median_rank,
    ndcg,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)

SCORES = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]])
RELEVANCE = np.array([[False, True, False, True], [True, False, False, False]])


def test_numbers_by_hand() -> None:
    # first query: relevant at places 2 and 4; second: at place 4
    np.testing.assert_allclose(any_hit_at_k(SCORES, RELEVANCE, 2), [1, 0])
    np.testing.assert_allclose(recall_at_k(SCORES, RELEVANCE, 2), [0.5, 0])
    np.testing.assert_allclose(precision_at_k(SCORES, RELEVANCE, 2), [0.5, 0])
    np.testing.assert_allclose(first_rank(SCORES, RELEVANCE), [2, 4])
    np.testing.assert_allclose(reciprocal_rank(SCORES, RELEVANCE), [1 / 2, 1 / 4])
    np.testing.assert_allclose(average_precision(SCORES, RELEVANCE), [(1 / 2 + 2 / 4) / 2, 1 / 4])
    assert median_rank(SCORES, RELEVANCE) == 3
    best = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(ndcg(SCORES, RELEVANCE)[0], (1 / np.log2(3) + 1 / np.log2(5)) / best)


def test_a_graded_gain_by_hand() -> None:
    scores, grades = np.array([[3.0, 2.0, 1.0]]), np.array([[0, 3, 1]])
    linear = (3 / np.log2(3) + 1 / 2) / (3 + 1 / np.log2(3))
    exponential = (7 / np.log2(3) + 1 / 2) / (7 + 1 / np.log2(3))
    np.testing.assert_allclose(ndcg(scores, grades), [linear])
    np.testing.assert_allclose(ndcg(scores, grades, gain="exponential"), [exponential])
    np.testing.assert_allclose(ndcg(scores, grades, 1), [0])


def test_a_constant_score_is_worth_what_chance_is_worth() -> None:
    n = 10
    scores, relevance = np.zeros((1, n)), np.eye(n, dtype=bool)[:1]
    assert recall_at_k(scores, relevance, 1)[0] == pytest.approx(1 / n)
    assert any_hit_at_k(scores, relevance, 3)[0] == pytest.approx(3 / n)
    assert first_rank(scores, relevance)[0] == (n + 1) / 2
    assert reciprocal_rank(scores, relevance)[0] == pytest.approx((1 / np.arange(1, n + 1)).mean())
    three = np.arange(n)[None] < 3
    assert first_rank(scores, three)[0] == (n + 1) / 4


METRICS = {
    "any_hit": lambda s, r: any_hit_at_k(s, r, 3),
    "recall": lambda s, r: recall_at_k(s, r, 3),
    "precision": lambda s, r: precision_at_k(s, r, 3),
    "first_rank": first_rank,
    "reciprocal_rank": reciprocal_rank,
    "average_precision": average_precision,
    "ndcg": ndcg,
    "ndcg@3": lambda s, r: ndcg(s, r, 3, gain="exponential"),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scores", [[0, 0, 0, 0, 0], [2, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
def test_ties_are_the_mean_over_every_order_of_the_tied(name: str, scores: list[float]) -> None:
    grades = np.array([[0, 2, 0, 1, 0]])
    row = np.array([scores], dtype=float)
    every = [
        METRICS[name](row + 1e-3 * np.array(order), grades)[0] for order in permutations(range(len(scores)))
    ]
    assert METRICS[name](row, grades)[0] == pytest.approx(np.mean(every))


def test_parity_with_scikit_learn(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(20, 30)) - 5  # all negative: a sign means nothing
    relevance = rng.random((20, 30)) < 0.2
    relevance[:, 0] = True
    ours = average_precision(scores, relevance)
    np.testing.assert_allclose(
        ours, [average_precision_score(r, s) for r, s in zip(relevance, scores, strict=True)]
    )
    grades = rng.integers(0, 4, size=(20, 30))
    tied = np.round(scores, 1)
    for k in (None, 5):
        for s in (scores, tied):
            assert np.mean(ndcg(s, grades, k)) == pytest.approx(ndcg_score(grades, s, k=k))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 12))
def test_relations(number: int, n: int, k: int) -> None:
    rng = np.random.default_rng(number)
    scores = rng.integers(0, 4, size=(5, n)).astype(float)
    relevance = rng.random((5, n)) < 0.4
    relevance[:, 0] = True
    hit, recalled = any_hit_at_k(scores, relevance, k), recall_at_k(scores, relevance, k)
    assert (hit >= recalled - 1e-9).all()
    np.testing.assert_allclose(recalled * relevance.sum(axis=1), precision_at_k(scores, relevance, k) * k)
    np.testing.assert_allclose(recall_at_k(scores, relevance, n), 1)
    np.testing.assert_allclose(average_precision(scores, np.ones_like(relevance)), 1)
    np.testing.assert_allclose(average_precision(scores, relevance), average_precision(scores - 9, relevance))
    one = np.eye(n, dtype=bool)[:1].repeat(5, axis=0)
    np.testing.assert_allclose(any_hit_at_k(scores, one, k), recall_at_k(scores, one, k))
    np.testing.assert_allclose(reciprocal_rank(scores, one), average_precision(scores, one))
    np.testing.assert_allclose(ndcg(scores, relevance), ndcg(scores, relevance, gain="exponential"))
    assert k_occurrence(scores, min(k, n)).sum() == pytest.approx(5 * min(k, n))


def test_a_query_without_anything_relevant_is_nan() -> None:
    relevance = RELEVANCE.copy()
    relevance[1] = False
    for metric in METRICS.values():
        values = metric(SCORES, relevance)
        assert np.isnan(values[1])
        assert not np.isnan(values[0])
    assert median_rank(SCORES, relevance) == 2


def test_hubness() -> None:
    scores = np.eye(4)
    np.testing.assert_allclose(k_occurrence(scores, 1), 1)
    assert hubness(scores, 1) == 0
    scores[:, 0] = 2  # one candidate is everybody's neighbour
    np.testing.assert_allclose(k_occurrence(scores, 1), [4, 0, 0, 0])
    assert hubness(scores, 1) == pytest.approx(2 / np.sqrt(3))


def test_bad_input() -> None:
    with pytest.raises(ModalityError, match="NaN in 1 queries"):
        recall_at_k(np.array([[np.nan, 1.0]]), np.array([[True, False]]), 1)
    with pytest.raises(ModalityError, match="at least 1"):
        recall_at_k(SCORES, RELEVANCE, 0)
    with pytest.raises(ModalityError, match=">= 0"):
        ndcg(SCORES, -RELEVANCE.astype(float))
    with pytest.raises(ModalityError, match="k must be"):
        ndcg(SCORES, RELEVANCE, 0)
    with pytest.raises(ModalityError, match="at least one query"):
        first_rank(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ModalityError, match="numbers"):
        first_rank(np.array([["a"]]), np.array([[True]]))

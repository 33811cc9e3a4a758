"""Intervals of scores and of differences."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.evaluation.answers import Answers, Truth
from polymodal.evaluation.model_runs import Run
from polymodal.evaluation.score_samples import Difference, ScoreSamples, corrected_interval
from polymodal.evaluation.splits import Split


def test_the_corrected_interval_by_hand():
    # mean 3, s^2 = 1, k = 3: t_2 = 4.30265; sqrt(1/3 + 1/2) = 0.912871
    mean, low, high = corrected_interval(np.array([2.0, 3.0, 4.0]), 0.5)
    assert mean == 3.0
    assert high - mean == pytest.approx(4.30265 * 0.912871, rel=1e-5)
    assert mean - low == pytest.approx(high - mean)
    assert corrected_interval(np.array([2.0]), 0.5) == (2.0, float("-inf"), float("inf"))


def test_it_covers_where_the_plain_t_interval_does_not(rng):
    """Scores of overlapping splits are correlated by about n_test / n_all: the plain interval misses far more than 5 %."""
    k, ratio, rho = 5, 1 / 3, 0.25
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, k))
    values = np.sqrt(rho) * shared + np.sqrt(1 - rho) * own
    caught = np.mean([low <= 0 <= high for _, low, high in (corrected_interval(v, ratio) for v in values)])
    plain = np.mean([low <= 0 <= high for _, low, high in (corrected_interval(v, 0.0) for v in values)])
    assert 0.935 < caught < 0.965
    assert plain < 0.85


def run(model, split, said):
    return Run(model, split, {}, Answers(np.asarray(said, dtype=float)[:, None], np.empty(0)), 0.0, 0.0, 0)


def test_one_test_part_is_resampled_in_pairs(rng):
    n = 400
    truth = Truth.of(np.arange(n) % 3)
    right = truth.values[:, 0]
    wrong = (right + 1) % 3
    a = np.where(np.arange(n) < 300, right, wrong)
    b = np.where(np.arange(n) < 280, right, wrong)
    split = [Split(np.empty(0, dtype=np.int64), np.arange(n))]
    samples = ScoreSamples([run("a", 0, a), run("b", 0, b)], truth, split, "accuracy", None)
    score, apart = samples.score("a"), samples.difference("a", "b")
    assert score.value == 0.75
    assert score.high - score.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / n), rel=0.15)
    assert apart.value == pytest.approx(0.05)
    # they differ on 20 rows only: sd sqrt(0.05 * 0.95 / n), less than half that of two independent parts
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * np.sqrt(0.05 * 0.95 / n), rel=0.2)
    assert apart.verdict == "better"
    groups = np.arange(n) // 40
    wide = ScoreSamples([run("a", 0, a)], truth, split, "accuracy", groups).score("a")
    assert wide.high - wide.low > 2 * (score.high - score.low)


def test_errors_are_better_when_smaller():
    truth = Truth.of(np.array([0.0, 1.0, 2.0, 3.0]))
    split = [Split(np.array([0]), np.arange(4))]
    runs = [run("near", 0, truth.values[:, 0] + 0.1), run("far", 0, truth.values[:, 0] + 1.0)]
    found = ScoreSamples(runs, truth, split, "MAE", None).difference("near", "far")
    assert found.value == pytest.approx(0.9)


def test_what_an_interval_allows_to_say():
    assert Difference("r", 0.1, 0.01, 0.2).verdict == "better"
    assert Difference("r", -0.1, -0.2, -0.01).verdict == "worse"
    assert Difference("r", 0.1, -0.01, 0.2).verdict == "no difference shown"
    assert str(Difference("r", 0.1, -0.01, 0.2)) == "+0.100 [-0.010, +0.200]"


def test_splits_that_agree_by_accident_are_no_certainty():
    """Two splits with the same difference on 40 rows each: the rows themselves say how little that means."""
    assert corrected_interval(np.array([0.1, 0.1]), 0.5) == (pytest.approx(0.1),) * 3
    _, low, high = corrected_interval(np.array([0.1, 0.1]), 0.5, least=0.04)
    assert high - low == pytest.approx(2 * 1.95996 * np.sqrt(1.0 * 0.04), rel=1e-5)
    n = 80
    truth = Truth.of(np.arange(n) % 2)
    right = truth.values[:, 0]
    a, b = (np.where(np.arange(n) % 10 < share, right, 1 - right) for share in (8, 7))
    splits = [Split(np.arange(40, 80), np.arange(40)), Split(np.arange(40), np.arange(40, 80))]
    runs = [
        run(name, number, said[s.test])
        for number, s in enumerate(splits)
        for name, said in (("a", a), ("b", b))
    ]
    assert (
        ScoreSamples(runs, truth, splits, "accuracy", None).difference("a", "b").verdict
        == "no difference shown"
    )


def test_with_the_training_rows_given_intervals_are_those_of_the_test_rows():
    """Two splits without a common row: as narrow as one test part of both; a split that says otherwise vetoes."""
    n = 800
    truth = Truth.of(np.arange(n) % 2)
    right = truth.values[:, 0]
    a, b = (np.where(np.arange(n) % 20 < share, right, 1 - right) for share in (18, 15))
    halves = np.arange(n).reshape(2, -1)
    splits = [Split(halves[1], halves[0]), Split(halves[0], halves[1])]
    runs = [run(name, i, x[s.test]) for i, s in enumerate(splits) for name, x in (("a", a), ("b", b))]
    found = ScoreSamples(runs, truth, splits, "accuracy", None, "rows").difference("a", "b")
    assert found.value == pytest.approx(0.15)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.15 * 0.85 / n), rel=0.15)
    assert found.verdict == "better"
    torn = [runs[0], runs[1], run("a", 1, np.where(halves[1] % 20 < 14, right[halves[1]], 2)), runs[3]]
    found = ScoreSamples(torn, truth, splits, "accuracy", None, "rows").difference("a", "b")
    assert (found.agreed, found.verdict) == (False, "no difference shown")


def test_a_sample_that_leaves_a_split_without_rows_does_not_count():
    truth = Truth.of(np.arange(8) % 2)
    groups = np.arange(8) // 4
    splits = [Split(np.arange(4, 8), np.arange(4)), Split(np.arange(4), np.arange(4, 8))]
    runs = [run("a", i, truth.values[s.test, 0]) for i, s in enumerate(splits)]
    for over in ("splits", "rows"):
        assert ScoreSamples(runs, truth, splits, "accuracy", groups, over).score("a").low == 1.0

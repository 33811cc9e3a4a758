"""What is better than chance, and what than another model."""

import numpy as np

from polymodal.commands.diagnosis_scores import gain, interval_of


def test_a_modality_that_tells_is_found_and_one_that_does_not_is_not(planted):
    scores = planted("unique").scores
    assert scores.best.modalities == ("a",)
    assert [s.found for s in scores.alone] == [True, False]
    assert not any(g.found for g in scores.gains)
    assert scores.metric == "AUC"


def test_only_products_see_a_product(planted):
    scores = planted("xor").scores
    assert not any(s.found for s in scores.alone)
    assert scores.multiplying.found
    assert "products" in {g.model for g in scores.gains if g.found}
    assert "late mean" not in {g.model for g in scores.gains if g.found}


def test_two_hints_are_better_than_one_and_noise_adds_nothing(planted):
    scores = planted("three").scores
    assert any(g.found for g in scores.gains)
    beyond = {g.over.split(" without ")[1]: g for g in scores.beyond}
    assert beyond["a"].found
    assert beyond["b"].found
    assert not beyond["c"].found


def test_quantities_are_measured_by_r2(planted):
    scores = planted("sum").scores
    assert scores.metric == "R2"
    assert abs(scores.chance) < 0.05
    assert max(g.difference.value for g in scores.gains) > 0.3


def test_a_difference_is_paired(planted):
    answers = planted("unique").answers
    same = gain(answers, "a alone", "a alone", 3)
    assert same.difference.low == same.difference.high == 0
    assert not same.found
    wide = gain(answers, "late mean", "a alone", 6)
    assert wide.sure.high - wide.sure.low > wide.difference.high - wide.difference.low


def test_groups_are_drawn_whole(rng):
    values = np.repeat(rng.normal(size=20), 10)
    own = interval_of(values, np.arange(200), 0.95)
    together = interval_of(values, np.repeat(np.arange(20), 10), 0.95)
    assert together.high - together.low > 2 * (own.high - own.low)


def test_no_mistake_is_no_certainty(planted):
    best = planted("leak").scores.best
    assert best.score.value == 1
    assert best.score.low == 1 - 3 / 150

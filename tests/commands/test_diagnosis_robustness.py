"""What a fitted fusion uses."""

import pytest

from polymodal.commands.diagnosis_robustness import use_of


def test_the_modality_that_tells_has_the_share(planted):
    found = planted("unique")
    use = use_of(found.answers, found.scores)
    assert use.shares["a"].low > 0.1
    assert use.shares["b"].value < 0.1
    worst = {(c.modality, c.kind): c.scores[-1].value for c in use.curves}
    assert worst["a", "absence"] < worst["b", "absence"] - 0.1
    assert worst["a", "noise"] < worst["b", "noise"]


def test_a_product_is_not_a_sum(planted):
    found = planted("xor")
    projection = use_of(found.answers, found.scores).projection
    assert projection.difference.low > 0
    assert projection.left > 0.3


def test_shares_and_baseline_add_up(planted):
    found = planted("sum")
    use = use_of(found.answers, found.scores)
    score = use.curves[0].scores[0].value
    assert sum(s.value for s in use.shares.values()) + use.baseline == pytest.approx(score)


def test_too_few_rows_are_not_asked(planted):
    found = planted("tiny")
    assert use_of(found.answers, found.scores) is None

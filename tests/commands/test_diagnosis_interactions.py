"""Ladders and responses."""

import numpy as np

from polymodal.commands.diagnosis_information import vectors_of
from polymodal.commands.diagnosis_interactions import ladder, products, responses


def test_a_product_is_found_in_the_columns(planted):
    found = planted("xor")
    seen = products(found.answers, vectors_of(found.question), "a", "b", n_permutations=49)
    assert seen.product == 1 / 50
    assert seen.held_out_r2[2] - seen.held_out_r2[1] > 0.15
    assert "interact" in seen.sentence


def test_no_product_where_there_is_none(planted):
    found = planted("sum")
    seen = products(found.answers, vectors_of(found.question), "a", "b", n_permutations=49)
    assert seen.product > 0.05
    step = ladder(found.answers, "a", "b")
    assert step.fitted
    assert step.adding < 0.001
    first, second, third = step.rungs.values()
    assert second - first > 0.2
    assert third - second < 0.05


def test_what_cannot_be_fitted_is_a_sentence(planted):
    found = planted("identical")
    step = ladder(found.answers, "a", "b")
    assert not step.fitted
    assert "say the same" in step.sentence
    assert np.isnan(step.product)
    seen = products(found.answers, vectors_of(found.question), "a", "b", n_permutations=19)
    assert not seen.fitted


def test_responses_to_one_class(planted):
    found = planted("redundant")
    kinds = responses(found.answers, "a", "b", "late mean")
    assert {r.answer for r in kinds} == {"yes", "no"}
    assert {r.label for r in kinds} == {"equivalence"}
    assert all(r.right["both"] > 0.7 for r in kinds)
    assert responses(planted("sum").answers, "a", "b", "late mean") == ()

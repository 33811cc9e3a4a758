"""What follows: each rule on rows of known truth."""

import dataclasses

import numpy as np
import pytest

from polymodal.commands.diagnosis_recommendation import recommend


def advice(planted, kind):
    found = planted(kind)
    return recommend(found.facts, found.answers, found.scores, ())


def test_too_few_rows_conclude_nothing_and_say_how_many_are_needed(planted):
    found = advice(planted, "tiny")
    assert (found.verdict, found.use, found.model) == ("too few rows", (), None)
    assert "12 independent rows are too few" in found.sentence
    assert f"About {found.rows_needed:,}" in found.sentence
    assert found.rows_needed > 100


def test_a_modality_that_equals_the_target_is_pointed_at(planted):
    found = advice(planted, "leak")
    assert found.verdict == "look for a leak"
    assert found.sentence.startswith("Look at b")
    assert found.reasons[0] == "Column 1 of b equals the target."
    assert any("b alone" in reason for reason in found.reasons)


def test_independent_modalities_tell_nothing(planted):
    found = advice(planted, "none")
    assert (found.verdict, found.use) == ("nothing found", ())
    assert "does not show that nothing is there" in found.reasons[1]


def test_one_modality_where_fusion_is_not_surely_better(planted):
    found = advice(planted, "unique")
    assert (found.verdict, found.use, found.model) == ("one modality", ("a",), "a alone")
    assert "may be hidden" in found.reasons[1]
    assert "b alone is surely weaker" in found.reasons[2]


@pytest.mark.parametrize(
    ("kind", "says"), [("redundant", "cannot be told from it"), ("identical", "holds the same values")]
)
def test_the_other_one_is_as_good(planted, kind, says):
    found = advice(planted, kind)
    assert found.verdict == "one modality"
    assert says in found.reasons[-1]


def test_products_where_only_they_help(planted):
    found = advice(planted, "xor")
    assert (found.verdict, found.model) == ("fuse", "products")
    assert any(reason.startswith("Products across modalities help") for reason in found.reasons)


def test_the_simplest_fusion_and_what_can_be_left_out(planted):
    found = advice(planted, "three")
    assert found.verdict == "fuse"
    assert found.model in ("late mean", "late product")
    assert "c adds nothing sure beyond the others and may be left out." in found.sentence
    assert any(reason.startswith("a adds +") for reason in found.reasons)


def test_warnings_come_with_it(planted):
    found = planted("unique")
    facts = dataclasses.replace(found.facts, duplicates=7, conflicts=2)
    warned = recommend(facts, found.answers, found.scores, ()).warnings
    assert "7 rows repeat an earlier row in every modality, 2 of them with another target." in warned


def test_errors_decide_leaks_only_where_there_are_none(planted):
    found = planted("leak")
    facts = dataclasses.replace(found.facts, answers={})
    assert "no mistake on any of 150 rows" in recommend(facts, found.answers, found.scores, ()).reasons[0]
    said = found.answers.predicted["b alone"].copy()
    said[0] = "no" if said[0] == "yes" else "yes"
    answers = dataclasses.replace(found.answers, predicted=found.answers.predicted | {"b alone": said})
    assert recommend(facts, answers, found.scores, ()).verdict == "one modality"
    assert not np.array_equal(said, found.question.y)

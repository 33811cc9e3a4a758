"""The verdict on two modalities follows from intervals."""

import pytest

from polymodal.commands.diagnosis_information import Parts
from polymodal.commands.diagnosis_interactions import Products
from polymodal.commands.diagnosis_pairs import judge
from polymodal.commands.diagnosis_scores import Gain
from polymodal.evaluation.intervals import Interval


def parts(method="Predicted", total=0.5, **low):
    def part(name):
        return Interval(low.get(name, -0.1) + 0.05, low.get(name, -0.1), low.get(name, -0.1) + 0.1, 0.95)

    return Parts(
        method,
        part("redundant"),
        {"a": part("a"), "b": part("b")},
        part("synergy"),
        Interval(total, total, total, 0.95),
    )


def verdict(planted, *found, p=0.5, gain=0.0):
    case = planted("unique")
    products = Products(("a", "b"), (2, 2), (0.1, 0.1, 0.1), p, "", True)
    difference = Interval(gain, gain - 0.01, gain + 0.01, 0.95)
    return judge(
        case.facts,
        case.question,
        found,
        Gain("late mean", "a alone", difference, difference),
        products,
        ("a", "b"),
        1,
    )


def test_parts_that_stand_out_are_named_the_largest_first(planted):
    labels, agreed, sentence = verdict(planted, parts(redundant=0.2, a=0.3), parts("Clustered", a=0.1))
    assert labels == ("unique a", "redundant")
    assert agreed is True
    assert "unique a 0.350 [0.300, 0.400]" in sentence


def test_estimators_that_disagree_are_told(planted):
    _, agreed, sentence = verdict(planted, parts(synergy=0.3), parts("Clustered", redundant=0.1))
    assert agreed is False
    assert "disagree" in sentence


@pytest.mark.parametrize(("p", "says"), [(0.01, "Products of their columns are needed"), (0.5, "Adding up")])
def test_synergy_with_and_without_products(planted, p, says):
    labels, _, sentence = verdict(planted, parts(synergy=0.3), p=p)
    assert labels == ("synergistic",)
    assert says in sentence


def test_a_part_above_zero_but_below_the_floor_is_not_found(planted):
    labels, _, sentence = verdict(planted, parts(a=0.01, total=0.015))
    assert labels == ("nothing found",)
    assert "0.020 bits" in sentence


def test_undecided_where_the_total_stands_out_alone(planted):
    assert verdict(planted, parts())[0] == ("undecided",)
    assert verdict(planted)[0] == ("undecided",)
    assert verdict(planted, gain=0.1)[0] == ("synergistic or complementary",)


def test_identical_modalities(planted):
    case = planted("identical")
    assert case.facts.identical == (("a", "b"),)
    pair = case.pair()
    labels, _, sentence = judge(case.facts, case.question, (), pair.gain, pair.products, ("a", "b"), 1)
    assert labels == ("identical", "redundant")
    assert "either can be left out" in sentence

"""Information in bits, its parts, and correlation beside chance."""

import numpy as np
import pytest

from polymodal.commands.diagnosis_information import (
    correlated,
    decomposed,
    directions,
    entropy_bits,
    told_of,
    vectors_of,
)
from polymodal.core.modalities import Modality


def test_entropy_of_two_equal_classes_is_a_bit(planted):
    found = planted("unique")
    share = np.mean(found.question.y == "yes")
    expected = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert entropy_bits(found.question) == pytest.approx(expected)


def test_who_tells_and_who_does_not(planted):
    found = planted("unique")
    a, b = (told_of(found.answers, name) for name in "ab")
    assert 0.3 < a.told.value < 1
    assert a.told.low > 0.2
    assert a.neighbours.value > 0.3
    assert b.told.high < 0.1
    assert b.neighbours.low < 0.1


def test_quantities_tell_by_r2(planted):
    found = planted("sum")
    told = told_of(found.answers, "a")
    r2 = found.answers.values["a alone"].mean()
    assert told.told.value == pytest.approx(-0.5 * np.log2(1 - r2))


@pytest.mark.parametrize(
    ("kind", "largest"), [("xor", "synergy"), ("unique", "unique a"), ("redundant", "redundant")]
)
def test_planted_parts(planted, kind, largest):
    found = planted(kind)
    parts = decomposed(found.question, vectors_of(found.question), "a", "b", n_resamples=20)
    assert [p.method for p in parts] == ["Predicted", "Clustered"]
    for each in parts:
        assert max(each.items(), key=lambda item: item[1].value)[0] == largest
        assert each.total.value == pytest.approx(sum(part.value for _, part in each.items()))
    assert dict(parts[0].items())[largest].low > 0


def test_correlation_and_chance(planted):
    together, apart = (planted(kind) for kind in ("redundant", "unique"))
    strong = correlated(together.question, vectors_of(together.question), "a", "b", n_permutations=49)
    weak = correlated(apart.question, vectors_of(apart.question), "a", "b", n_permutations=49)
    assert strong.fitted > 0.99 > max(strong.shuffled)
    assert strong.p == pytest.approx(1 / 50)
    assert weak.p > 0.05
    assert weak.held_out.value < 0.3
    assert correlated(planted("tiny").question, vectors_of(planted("tiny").question), "a", "b") is not None


def test_directions_leave_out_what_does_not_vary(rng):
    x = rng.normal(size=(30, 3))
    assert directions(Modality(np.c_[x, np.ones(30)], np.arange(30)), 10).shape == (30, 3)
    assert directions(Modality(np.c_[x, x[:, :1]], np.arange(30)), 10).shape == (30, 3)
    assert directions(Modality(x, np.arange(30)), 2).shape == (30, 2)

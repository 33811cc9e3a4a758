"""What cannot be told is said."""

import dataclasses

import pytest

from polymodal.commands.diagnosis_information import Correlation
from polymodal.commands.diagnosis_limits import cannot_tell, rows_needed
from polymodal.commands.diagnosis_understanding import ModalityFacts
from polymodal.evaluation.intervals import Interval


def pair(found, fitted, p):
    shuffled = tuple(0.3 + 0.001 * i for i in range(100))
    correlation = Correlation(fitted, shuffled, p, 0.9, Interval(0.1, 0, 0.2, 1.0), (5, 5), 90)
    return found.pair(agreed=False, correlation=correlation)


def test_a_correlation_that_chance_gives(planted):
    found = planted("unique")
    says = cannot_tell(found.facts, found.scores, (pair(found, 0.35, 0.4),), None, False)
    assert any("fitted correlation of 0.35" in s and "is what chance gives" in s for s in says)
    assert any("say --groups" in s for s in says)
    assert any("under noise and absence" in s for s in says)
    assert any("a and b: the two estimators disagree" in s for s in says)
    mostly = cannot_tell(found.facts, found.scores, (pair(found, 0.42, 0.01),), None, True)
    assert any("mostly chance" in s for s in mostly)
    assert not any("say --groups" in s for s in mostly)
    sure = cannot_tell(found.facts, found.scores, (pair(found, 0.9, 0.01),), None, True)
    assert not any("chance" in s for s in sure)


def test_the_smallest_gain_that_would_be_seen(planted):
    found = planted("unique")
    top = max(found.scores.gains, key=lambda g: g.difference.value).sure
    expected = max((1.96 + 0.84) / 1.96 * (top.high - top.low) / 2, 3 / 150)
    assert f"about {expected:.3f} in AUC" in cannot_tell(found.facts, found.scores, (), None, True)[0]


def test_rows_that_lack_a_modality(planted):
    found = planted("unique")
    facts = dataclasses.replace(found.facts, modalities=(ModalityFacts("a", "vector", (2,), 3, 10),))
    assert any("rows that lack a" in s for s in cannot_tell(facts, found.scores, (), None, True))


def test_rows_needed_grow_with_the_spread(planted):
    few = rows_needed(planted("none").answers, planted("none").scores)
    many = rows_needed(planted("identical").answers, planted("identical").scores)
    assert many == pytest.approx(10 * -(-((2.8 * 0.2 / 0.05) ** 2) // 10))
    assert few > many

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.interactions import ResponseTaxonomy, classify_responses

# label: effects of a, of b and of both beyond a baseline of 10; the margin is 1
MEASURED = [
    ("equivalence", 4, 4, 4),
    ("equivalence", -4, -4, -4),
    ("enhancement", 4, 4, 8),
    ("enhancement", -4, -4, -8),
    ("depression", 4, 4, 1.5),
    ("depression", 4, 4, -4),
    ("independence", 4, 7, 11),
    ("independence", 4, -8, -4),
    ("dominance", 4, 7, 7),
    ("dominance", 4, 7, 4),
    ("dominance", 0, 7, 7),
    ("modulation", 4, 7, 18),
    ("modulation", 0, 7, 3),
    ("modulation", 0, 7, 12),
    ("emergence", 4, 7, -6),
    ("emergence", 0, 0, 6),
    ("emergence", 0, -7, 6),
    ("no response", 0, 0, 0),
]
# label, responses to a, to b, to both
CATEGORICAL = [
    ("equivalence", "flee", "flee", "flee"),
    ("independence", "flee", "call", ("flee", "call")),
    ("dominance", "flee", "call", "flee"),
    ("dominance", "flee", "call", "call"),
    ("dominance", None, "call", "call"),
    ("emergence", "flee", "call", "hide"),
    ("emergence", None, None, "hide"),
    ("depression", "flee", "flee", None),
    ("no response", None, None, None),
    ("unlisted", "flee", "flee", "hide"),
    ("unlisted", "flee", "call", None),
]


def _replicates(*means: float, n: int = 12, spread: float = 0.5) -> list[np.ndarray]:
    """Samples with exactly these means and this spread."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(means), n))
    noise = (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, ddof=1, keepdims=True)
    return [mean + spread * row for mean, row in zip(means, noise, strict=True)]


def _measured(
    a: float, b: float, both: float, margin: float | None = 1, **settings: float
) -> ResponseTaxonomy:
    samples = _replicates(10 + a, 10 + b, 10 + both, 10, **settings)  # type: ignore[arg-type]
    return classify_responses(*samples[:3], neither=samples[3], margin=margin)


@pytest.mark.parametrize(("label", "a", "b", "both"), MEASURED)
def test_every_cell_of_measured_responses(label: str, a: float, b: float, both: float) -> None:
    found = _measured(a, b, both)
    assert found.label == label, found.sentence()
    assert found.redundant == {
        "equivalence": True,
        "enhancement": True,
        "depression": True,
        "no response": None,
    }.get(label, False)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert max(found.probabilities, key=found.probabilities.__getitem__) == label
    assert found.effects["both - neither"].value == pytest.approx(both)
    assert found.sentence().startswith(label.capitalize())
    assert _measured(b, a, both).label == label  # the order of the signals does not matter


@pytest.mark.parametrize(("label", "a", "b", "both"), CATEGORICAL)
def test_every_cell_of_categorical_responses(label: str, a: object, b: object, both: object) -> None:
    found = classify_responses([a] * 20, [b] * 20, [both] * 20, kind="categorical")
    assert found.label == label, found.sentence()
    assert found.probabilities[label] > 0.95
    assert classify_responses([b] * 20, [a] * 20, [both] * 20, kind="categorical").label == label


def test_strength_of_a_category_is_the_share_that_shows_it() -> None:
    def shown(k: int, what: str = "flee") -> list[str | None]:
        return [what] * k + [None] * (200 - k)

    def ask(a: list[str | None], b: list[str | None], both: list[str | None]) -> str:
        return classify_responses(a, b, both, kind="categorical").label

    assert ask(shown(140), shown(140), shown(200)) == "enhancement"
    assert ask(shown(200), shown(200), shown(140)) == "depression"
    assert ask(shown(140), shown(200, "call"), shown(200)) == "modulation"
    found = classify_responses(shown(140), shown(140), shown(200), kind="categorical")
    assert found.effects["share of flee to a"].value == pytest.approx(0.7)
    assert found.effects["share of flee to a"].low < 0.7 < found.effects["share of flee to a"].high


def test_what_happens_without_a_signal_is_no_response() -> None:
    idle = ["sit"] * 20
    found = classify_responses(idle, ["call"] * 20, ["call"] * 20, neither=idle, kind="categorical")
    assert found.label == "dominance"
    assert "nothing to a" in found.sentence()
    assert classify_responses(idle, idle, idle, neither=idle, kind="categorical").label == "no response"


def test_few_replicates_do_not_decide() -> None:
    found = classify_responses(["flee"], ["flee"], ["flee"], kind="categorical")
    assert found.label == "undecided"
    assert max(found.probabilities, key=found.probabilities.__getitem__) == "equivalence"
    assert found.sentence().startswith("Undecided: most replicates showed flee to a")
    noisy = _measured(4, 4, 4, n=3, spread=2)
    assert (noisy.label, noisy.redundant) == ("undecided", None)
    assert "whether a and b alone get the same response (within 1) is not clear" in noisy.why


def test_no_difference_found_is_not_the_same_response() -> None:
    """A difference that is not significant must still be shown to be small."""
    from scipy import stats

    a, b, both = _replicates(10.5, 10, 10, n=8, spread=1.5)
    assert stats.ttest_ind(a, b, equal_var=False).pvalue > 0.4
    assert classify_responses(a, b, both, margin=1).label == "undecided"
    assert classify_responses(a, b, both, margin=4).label == "equivalence"


def test_sameness_is_two_one_sided_welch_tests() -> None:
    weights = pytest.importorskip("statsmodels.stats.weightstats")
    from polymodal.interactions._measurements import _contrasts

    rng = np.random.default_rng(1)
    for gap in (0.0, 0.3, 0.6, 0.9, 1.4, 2.2):
        a, b, both = rng.normal(10 + gap, 1, 14), rng.normal(10, 1.5, 17), rng.normal(10, 1, 9)
        p, *_ = weights.ttost_ind(a, b, -1, 1, usevar="unequal")
        contrast = _contrasts({"a": a, "b": b, "both": both}, "a", "b")["a - b"]
        assert (contrast.zone(1, 0.95) == "same") == (p < 0.05)
        mean = weights.CompareMeans(weights.DescrStatsW(a), weights.DescrStatsW(b))
        assert contrast.interval(0.95) == pytest.approx(mean.tconfint_diff(usevar="unequal"))


def test_labels_do_not_depend_on_the_unit_or_on_the_baseline() -> None:
    a, b, both, neither = _replicates(14, 17, 21, 10)
    plain = classify_responses(a, b, both, neither=neither, margin=1)
    scaled = classify_responses(3 * a + 5, 3 * b + 5, 3 * both + 5, neither=3 * neither + 5, margin=3)
    assert (plain.label, scaled.label) == ("independence", "independence")
    assert plain.probabilities == scaled.probabilities


def test_wrong_labels_are_as_rare_as_the_level_says() -> None:
    """At the border, where |a - b| is the margin, sameness and difference are each claimed in at most 5 % of samples."""
    rng = np.random.default_rng(4)
    found = [
        classify_responses(
            rng.normal(11, 0.8, 20), rng.normal(10, 0.8, 20), rng.normal(10.5, 0.8, 20), margin=1
        ).redundant
        for _ in range(60)
    ]
    assert found.count(None) >= 0.8 * 60


def test_constant_and_identical_responses() -> None:
    same = classify_responses(np.full(5, 3.0), np.full(5, 3.0), np.full(5, 3.0))
    assert (same.label, same.margin) == ("equivalence", 0)
    x = np.random.default_rng(0).normal(5, 0.1, 20)
    assert classify_responses(x, x, x, margin=0.5).label == "equivalence"
    nothing = np.random.default_rng(0).normal(0, 1, (3, 300))
    assert classify_responses(*nothing).label == "no response"


def test_bad_input_is_named() -> None:
    x = np.arange(5.0)
    with pytest.raises(ModalityError, match="'call' need one number a replicate"):
        classify_responses(x, np.array(list("abcde")), x, names=("flash", "call"))
    with pytest.raises(ModalityError, match="'both' need at least 2"):
        classify_responses(x, x, x[:1])
    with pytest.raises(ModalityError, match="'b' need a list"):
        classify_responses(["x"], [], ["x"], kind="categorical")
    with pytest.raises(ModalityError, match="level"):
        classify_responses(x, x, x, level=95)
    with pytest.raises(ModalityError, match="margin"):
        classify_responses(x, x, x, margin=-1)
    with pytest.raises(ModalityError, match="two different names"):
        classify_responses(x, x, x, names=("a", "both"))

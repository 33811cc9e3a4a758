"""IBM models 1 and 2 against the sums that define them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from polymodal.alignment import IBM1, IBM2, Alignment
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError

GERMAN = ["das Haus", "das Buch", "ein Buch", "das Haus ist klein"]
ENGLISH = ["the house", "the book", "a book", "the house is small"]


def enumerated(model: IBM1, a: list[str], b: list[str]) -> tuple[float, np.ndarray]:
    """log p(b | a) and the posterior of every link, by all (l + 1)^m alignments."""
    places = model._places(len(b), len(a) + 1)
    words = [None, *a]
    total, posterior = 0.0, np.zeros((len(b), len(a) + 1))
    for chosen in itertools.product(range(len(words)), repeat=len(b)):
        p = np.prod(
            [places[j, i] * model.translation_probability(words[i], b[j]) for j, i in enumerate(chosen)]
        )
        total += p
        posterior[np.arange(len(b)), chosen] += p
    return float(np.log(total)), posterior / total


@pytest.mark.parametrize("model", [IBM1(3), IBM2(3), IBM1(3, p_empty=0.1), IBM1(2, smoothing=0.1)])
def test_likelihood_and_posteriors_equal_the_sum_over_all_alignments(model: IBM1) -> None:
    model.fit(GERMAN, ENGLISH)
    for a, b in (("das haus", "the house"), ("das haus ist klein", "the house is small")):
        found = model.align(a, b)
        log_likelihood, posterior = enumerated(model, a.split(), b.split())
        assert -found.cost == pytest.approx(log_likelihood, abs=1e-6)
        np.testing.assert_allclose(found.coupling.toarray(), posterior[:, 1:].T, atol=1e-6)
        assert isinstance(found, Alignment)
        assert (found.length_a, found.length_b) == (len(a.split()), len(b.split()))


@pytest.mark.parametrize("cls", [IBM1, IBM2])
def test_the_likelihood_never_falls_and_is_the_corpus_likelihood(cls: type[IBM1]) -> None:
    model = cls(6).fit(GERMAN, ENGLISH)
    assert (np.diff(model.log_likelihoods_) >= -1e-9).all()
    five = cls(5).fit(GERMAN, ENGLISH) if cls is IBM1 else None
    if five is not None:
        total = -sum(five.align(a, b).cost for a, b in zip(GERMAN, ENGLISH, strict=True))
        assert total == pytest.approx(model.log_likelihoods_[5], abs=1e-5)


def test_the_first_round_by_hand() -> None:
    """Two pairs, no empty word: (a, x) and (a b, x y). t starts uniform: a gives x or y, b too, 1/2 each."""
    model = IBM1(1, p_empty=0.0).fit(["a", "a b"], ["x", "x y"])
    # counts: a gives x 1 + 1/2, y 1/2; b gives x 1/2, y 1/2
    assert model.translation_probability("a", "x") == pytest.approx(3 / 4)
    assert model.translation_probability("b", "y") == pytest.approx(1 / 2)
    assert model.log_likelihoods_ == [pytest.approx(np.log(1 / 2) + 2 * np.log(1 / 2))]
    later = IBM1(40, p_empty=0.0).fit(["a", "a b"], ["x", "x y"])
    assert later.translation_probability("a", "x") > 0.99
    assert later.translation_probability("b", "y") > 0.9


def test_words_that_never_meet_have_no_probability() -> None:
    model = IBM1().fit(GERMAN, ENGLISH)
    assert model.translation_probability("ein", "house") == 0.0
    assert model.translation_probability("nie", "house") == 0.0
    totals: dict[int, float] = {}
    for key, t in zip(model.keys_, model.t_, strict=True):
        owner = int(key) // len(model.vocabulary_b_)
        totals[owner] = totals.get(owner, 0.0) + t
    np.testing.assert_allclose(list(totals.values()), 1.0)


def test_ibm_2_with_the_places_of_ibm_1_is_ibm_1() -> None:
    second = IBM2(3).fit(GERMAN, ENGLISH)
    first = IBM1(3).fit(GERMAN, ENGLISH)
    assert second.log_likelihoods_[0] == pytest.approx(IBM1(4).fit(GERMAN, ENGLISH).log_likelihoods_[3])
    second.t_, second.places_ = first.t_, {(n, m): first._places(m, n + 1) for n, m in second.places_}
    for a, b in zip(GERMAN, ENGLISH, strict=True):
        assert second.align(a, b).cost == pytest.approx(first.align(a, b).cost)


def test_ibm_2_learns_where_words_stand() -> None:
    """Every sentence is turned round, and its words say nothing: all are the same."""
    model = IBM2(20, p_empty=0.0).fit([["w"] * 3] * 4, [["v"] * 3] * 4)
    np.testing.assert_allclose(model.places_[3, 3][:, 1:].sum(axis=1), 1)
    a, b = [["p", "q", "r"], ["q", "r", "p"], ["r", "s", "q"]], [["R", "Q", "P"], ["P", "R", "Q"], ["Q", "S", "R"]]  # fmt: skip
    turned = IBM2(20, p_empty=0.0).fit(a, b)
    np.testing.assert_allclose(turned.places_[3, 3][:, 1:], np.eye(3)[::-1], atol=0.01)
    # lengths never met take the nearest places, stretched: the last two words of b come from the first two of a
    assert turned._places(4, 5)[:, 1:].argmax(axis=1).tolist() == [3, 2, 1, 0] or turned._places(4, 5).shape == (4, 5)  # fmt: skip
    np.testing.assert_allclose(turned._places(4, 5).sum(axis=1), 1)


def test_of_equal_words_the_nearest_to_the_diagonal_is_linked() -> None:
    model = IBM1(5).fit([["the", "cat", "the", "dog"], ["cat"], ["dog"]], [["le", "chat", "le", "chien"], ["chat"], ["chien"]])  # fmt: skip
    found = model.align(["the", "cat", "the", "dog"], ["le", "chat", "le", "chien"])
    assert found.path.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


def test_costs_in_place_of_words() -> None:
    model = IBM1().fit(GERMAN, ENGLISH)
    costs = np.array([[0.1, 5.0, 9.0], [4.0, 0.2, 0.3]])
    assert model.align_costs(costs).path.tolist() == [[0, 0], [1, 1], [1, 2]]
    with pytest.raises(ModalityError, match="matrix of costs without NaN"):
        model.align_costs(np.full((2, 2), np.nan))


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(NotFittedError, match="has learned no words yet"):
        IBM1().align("a", "b")
    model = IBM1().fit(GERMAN, ENGLISH)
    with pytest.raises(ModalityError, match="at least one word on each side, got 1 and 0"):
        model.align("das", "")
    with pytest.raises(ConfigError, match=r"p_empty in \[0, 1\), or None, got 1"):
        IBM1(p_empty=1).fit(GERMAN, ENGLISH)
    with pytest.raises(ConfigError, match="n_iter >= 1"):
        IBM2(0).fit(GERMAN, ENGLISH)
    assert len(model.align("völlig neue wörter", "entirely new")) <= 2  # unseen words are no error
    assert "IBM1(5" in repr(model)


def test_hansards(real_data: Path) -> None:
    """The known error rate of 8 rounds on these 484 pairs alone, both directions, intersection: P .692, R .562, AER .380."""
    folder = real_data / "word_alignment_gold" / "en-fr"
    texts = [(folder / f"hansards.{part}.jsonl").read_text("utf-8") for part in ("train", "valid")]
    rows = [json.loads(line) for text in texts for line in text.splitlines()]
    a, b = [r["src_words"] for r in rows], [r["tgt_words"] for r in rows]
    there, back = IBM1(8).fit(a, b), IBM1(8).fit(b, a)
    hits = found = gold = 0
    for row, x, y in zip(rows, a, b, strict=True):
        links = set(map(tuple, there.align(x, y).path.tolist()))
        links &= {(i, j) for j, i in back.align(y, x).path.tolist()}
        true = set(map(tuple, row["alignment"]))
        hits, found, gold = hits + len(links & true), found + len(links), gold + len(true)
    assert hits / found == pytest.approx(0.692, abs=0.01)
    assert hits / gold == pytest.approx(0.562, abs=0.01)
    assert 1 - 2 * hits / (found + gold) == pytest.approx(0.380, abs=0.01)

"""Words, their trigrams, and what is unknown."""

from __future__ import annotations

import numpy as np

from polymodal.encoders.spelling import UNKNOWN, Speller, trigrams, words_of


def test_words_and_trigrams() -> None:
    assert words_of("Ⅷ Cats, don't!") == ["viii", "cats", ",", "don", "'", "t", "!"]
    assert trigrams("cat") == ["<ca", "cat", "at>"]
    assert trigrams("a") == ["<a>"]


def test_known_words_have_a_number_and_their_trigrams() -> None:
    speller = Speller(["cat", "hat"], ["<ca", "at>", "hat"])
    assert speller(["cat"], 9).tolist() == [[[2, 4, 5]]]
    assert len(speller) == 7


def test_an_unknown_word_is_what_it_is_spelled_of() -> None:
    speller = Speller.train(["the cat sat"], vocabulary=100)
    ids = speller(["bat xyzzy"], 9)[0]
    known = set(speller(["cat sat"], 9)[0][:, 1:].ravel()) - {0}
    assert ids[:, 0].tolist() == [UNKNOWN, UNKNOWN]
    assert set(ids[0, 1:]) & known, "bat shares 'at>' with cat"
    assert not ids[1, 1:].any()


def test_texts_are_cut_and_filled() -> None:
    speller = Speller.train(["a b c d"], vocabulary=10)
    ids = speller(["a b c d", "a", ""], 3)
    assert (ids[:, :, 0] != 0).sum(1).tolist() == [3, 1, 0]
    assert speller([], 3).shape[0] == 0


def test_the_most_frequent_stay() -> None:
    speller = Speller.train(["b b a", "c"], vocabulary=2)
    assert speller(["a b c"], 9)[0, :, 0].tolist() == [3, 2, UNKNOWN]


def test_the_order_of_the_texts_does_not_matter_and_it_can_be_written_down() -> None:
    texts = ["greek small letter omega", "ΓΡΑΜΜΑ с ударением", "letter a"]
    speller = Speller.train(texts, vocabulary=50)
    again = Speller.from_str(speller.to_str())
    assert Speller.train(texts[::-1], vocabulary=50).to_str() == speller.to_str() == again.to_str()
    assert np.array_equal(again(texts, 9), speller(texts, 9))

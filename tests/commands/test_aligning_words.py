"""Texts: word models learned from the files themselves."""

from __future__ import annotations

import pytest

from polymodal.alignment import IBM1, HMMWordAligner, Symmetrised
from polymodal.commands.aligning import align_files
from polymodal.commands.alignment_settings import AlignSettings
from polymodal.core.errors import ConfigError, DataError

GERMAN = ["das Haus", "das Buch", "ein Buch", "", "ein Haus ist klein", "das Buch ist klein"]
ENGLISH = ["the house", "the book", "a book", "what?", "a house is small", "the book is small"]


@pytest.fixture
def texts(tmp_path):
    places = tmp_path / "de.txt", tmp_path / "en.txt"
    for place, lines in zip(places, (GERMAN, ENGLISH), strict=True):
        place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return places


def test_words_are_linked_as_python_does(texts):
    found = align_files(*texts)
    assert found.method == "hmm"
    model = Symmetrised(HMMWordAligner()).fit(GERMAN, ENGLISH)
    for pair in found.pairs:
        expected = model.align(GERMAN[pair.sentence], ENGLISH[pair.sentence])
        assert pair.alignment.path.tolist() == expected.path.tolist()
    assert [pair.sentence for pair in found.pairs] == [0, 1, 2, 4, 5]
    assert any("left out 1 of 6" in note for note in found.notes)
    assert any("5 sentence pairs" in note for note in found.notes)
    assert any("that is few" in note for note in found.notes)
    assert found.first[0] | {"weight": 1} == {
        "sentence": 0, "index_a": 0, "index_b": 0, "word_a": "das", "word_b": "the", "weight": 1,
    }  # fmt: skip
    assert found.length_a == 14
    assert found.kind == "words"


def test_one_direction_and_parameters(texts):
    found = align_files(*texts, method="ibm1", settings=AlignSettings({"n_iter": 20}, rule="forward"))
    model = IBM1(20).fit(GERMAN, ENGLISH)
    assert found.pairs[0].alignment.cost == model.align("das Haus", "the house").cost
    with pytest.raises(ConfigError, match="ibm1 does not take"):
        align_files(*texts, method="ibm1", settings=AlignSettings({"gamma": 1.0}))
    with pytest.raises(ConfigError, match="hmm does not take"):
        align_files(*texts, settings=AlignSettings({"n_iter": "x"}))
    with pytest.raises(ConfigError, match="Did you mean 'union'"):
        align_files(*texts, settings=AlignSettings(rule="unoin"))


def test_one_sentence_needs_others_to_learn_from(texts, tmp_path):
    one = tmp_path / "a.txt", tmp_path / "b.txt"
    one[0].write_text("ein kleines Haus")
    one[1].write_text("a small house")
    with pytest.raises(ConfigError, match="--train-a FILE --train-b FILE"):
        align_files(*one)
    found = align_files(*one, settings=AlignSettings(train=texts))
    assert [2, 2] in found.pairs[0].alignment.path.tolist()
    assert any("from 6 sentence pairs" in note for note in found.notes)
    with pytest.raises(DataError, match="has 6, .* has 1"):
        align_files(*one, settings=AlignSettings(train=(texts[0], one[1])))


def test_what_does_not_fit_is_said(texts, tmp_path):
    with pytest.raises(ConfigError, match="compares numbers"):
        align_files(*texts, method="dtw")
    with pytest.raises(ConfigError, match="are for frames"):
        align_files(*texts, settings=AlignSettings(window="3"))
    (tmp_path / "short.txt").write_text("one\n")
    with pytest.raises(DataError, match="as many lines in both"):
        align_files(texts[0], tmp_path / "short.txt")
    (tmp_path / "x.txt").write_text("\na\n")
    (tmp_path / "y.txt").write_text("b\n\nc\n")
    with pytest.raises(DataError, match="as many lines"):
        align_files(tmp_path / "x.txt", tmp_path / "y.txt")
    (tmp_path / "y.txt").write_text("b\n")
    (tmp_path / "x.txt").write_text("...\n")
    (tmp_path / "x.csv").write_text("x\n1\n")
    with pytest.raises(ConfigError, match="are texts"):
        align_files(*texts, settings=AlignSettings(train=(tmp_path / "x.csv", tmp_path / "y.txt")))


def test_links_are_judged_by_the_error_rate(texts, tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text("sentence,index_a,index_b,sure\n0,0,0,1\n0,1,1,1\n1,0,0,1\n1,1,1,0\n")
    found = align_files(*texts, truth=truth)
    assert found.error == pytest.approx({"aer": 0.0, "precision": 1.0, "recall": 1.0})
    assert any("2 of 5 sentence pairs" in note for note in found.notes)
    truth.write_text("index_a,index_b\n0,0\n")
    with pytest.raises(DataError, match="needs a column sentence"):
        align_files(*texts, truth=truth)
    truth.write_text("sentence,index_a,index_b\n0,0,7\n")
    with pytest.raises(
        DataError, match="data row 1 names elements 0 of a and 7 of b, which have 2 and 2 in sentence 0"
    ):
        align_files(*texts, truth=truth)
    truth.write_text("sentence,index_a,index_b\n77,0,0\n")
    with pytest.raises(DataError, match="of other sentences"):
        align_files(*texts, truth=truth)

"""`search` in an index on disk."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.commands import Term, search_index
from polymodal.core.errors import ConfigError, DataError, ModalityError


def test_a_text_finds_pictures_of_its_colour(index) -> None:
    result = search_index(index, [Term("text", "a red circle number 0")], k=5)
    assert result.searched == ["image"]
    assert result.recall == 1
    found = [hit["metadata"]["text"] for hit in result.hits]
    assert sum("red" in text for text in found) >= 3
    assert np.all(np.diff([hit["score"] for hit in result.hits]) <= 0)
    assert result.to_dict()["query"] == "+ text 'a red circle number 0'"


def test_a_picture_finds_itself_and_a_row_does_not(index, shapes) -> None:
    picture = str(shapes / "pictures" / "07.png")
    assert search_index(index, [Term("image", picture)], k=1, target=["image"]).hits[0]["id"] == 7
    row = search_index(index, [Term("row", "7", name="image")], k=5, target=("all",))
    assert 7 not in {hit["id"] for hit in row.hits}
    assert {hit["modality"] for hit in row.hits} <= {"image", "text"}


def test_terms_add_and_subtract(index) -> None:
    plain = search_index(index, [Term("text", "a red circle")], k=20)
    away = search_index(index, [Term("text", "a red circle"), Term("text", "a red square", -0.7)], k=20)
    assert [h["id"] for h in plain.hits] != [h["id"] for h in away.hits]
    none = search_index(index, [Term("text", "a red circle"), Term("text", "a blue bar", 0.0)], k=5)
    assert [h["id"] for h in none.hits] == [h["id"] for h in plain.hits[:5]]
    assert "- 0.7 x text 'a red square'" in away.query


def test_expressions(index) -> None:
    terms = [
        Term("row", "7", name="image"),
        Term("modality", "blue", -1.0, "text"),
        Term("modality", "red", 0.5, "text"),
    ]
    said, same = search_index(index, "image:7 - text:blue + 0.5 * text:red"), search_index(index, terms)
    assert said.hits == same.hits
    assert said.query == "+ image of row 7 - text 'blue' + 0.5 x text 'red'"
    assert 7 not in {hit["id"] for hit in said.hits}
    words = search_index(index, "a red circle: what else")
    assert words.query == "+ text 'a red circle: what else'"
    with pytest.raises(ModalityError, match="no modality 'imag'.*Did you mean 'image'"):
        search_index(index, "imag:7 - text:blue")


def test_filters(index) -> None:
    hits = search_index(index, [Term("text", "a red circle")], where="shape = 'bar'", k=30).hits
    assert len(hits) == 20
    assert {hit["metadata"]["shape"] for hit in hits} == {"bar"}


@pytest.mark.parametrize(
    ("terms", "options", "error", "message"),
    [
        ([], {}, ConfigError, "something to ask"),
        ([Term("text", "x")], {"k": 0}, ConfigError, "k >= 1"),
        ([Term("text", "  ")], {}, ConfigError, "at least one character"),
        ([Term("text", "red"), Term("text", "red", -1)], {}, ConfigError, "cancel"),
        ([Term("audio", "x.wav")], {}, ModalityError, "a recording: none of its modalities is of kind 'sound'"),
        ([Term("image", "nowhere.png")], {}, DataError, r"nowhere\.png does not exist"),
        ([Term("image", "paper.pdf")], {}, DataError, "no picture"),
        ([Term("row", "99")], {}, ModalityError, "no entry with id 99"),
        ([Term("row", "abc")], {}, ModalityError, "whole numbers"),
        ([Term("row", "3", name="sound")], {}, ModalityError, "has no 'sound'"),
        ([Term("modality", "x", name="txt")], {}, ModalityError, "Did you mean 'text'"),
        ([Term("text", "red")], {"target": ["imag"]}, ModalityError, "Did you mean 'image'"),
        ([Term("text", "red")], {"where": "shap = 'bar'"}, ModalityError, "shap"),
        ([Term("text", "red")], {"where": "shape = "}, ModalityError, "shape"),
    ],
)  # fmt: skip
def test_refused(index, terms, options, error, message) -> None:
    with pytest.raises(error, match=message):
        search_index(index, terms, **options)

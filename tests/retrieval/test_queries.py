"""The query language: what it reads, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.core.errors import ConfigError, DataError, ModalityError
from polymodal.retrieval.queries import QueryTerm, is_query, key_of, numbers_of, parse_query


def plain(query: str) -> list[tuple[float, str, str]]:
    return [(t.weight, t.name, t.value) for t in parse_query(query)]


def test_terms_signs_and_weights() -> None:
    expected = [(1.0, "image", "42"), (-1.0, "text", "blue"), (0.5, "text", "dark red")]
    assert plain("image:42 - text:blue + 0.5 * text:dark red") == expected
    assert plain("  image:42 - text:blue + .5*text: dark red ") == expected
    assert plain("- text:blue") == [(-1.0, "text", "blue")]
    assert plain("2 * row:#7 + image:a b/c-d.png") == [(2.0, "row", "7"), (1.0, "image", "a b/c-d.png")]
    assert plain("text:größer + bild.rgb:é") == [(1.0, "text", "größer"), (1.0, "bild.rgb", "é")]


def test_quotes_hold_what_would_otherwise_be_read() -> None:
    assert plain("text:'blue - text:red' + text:\"it's\"") == [
        (1.0, "text", "blue - text:red"),
        (1.0, "text", "it's"),
    ]
    assert plain("text:'it''s'") == [(1.0, "text", "it's")]
    assert plain("text:'tis the season") == [(1.0, "text", "'tis the season")]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "at its end: NAME:VALUE was required"),
        ("blue", r"at 'blue' \(character 1\): NAME:VALUE"),
        ("text:", "NAME:VALUE was required"),
        ("text:red + ", "not clear what 'red \\+' means"),
        ("text:red + blue", "not clear what 'red \\+ blue' means: write NAME: after the sign, as in text:"),
    ],
)
def test_refused(query: str, message: str) -> None:
    with pytest.raises(ModalityError, match=message):
        parse_query(query)


def test_what_a_value_means_follows_from_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.touch()

    def term(value: str, form: str = "bare", name: str = "m") -> QueryTerm:
        return QueryTerm(1.0, name, value, form)  # type: ignore[arg-type]

    assert term("42").meaning("grid") == "row"
    assert term(str(file)).meaning("grid") == "file"
    assert term(str(file)).meaning("text") == "text"
    assert term("a.png", "quoted").meaning("grid") == "file"
    assert term("1, 2").meaning("vector") == "numbers"
    assert term("1").meaning("vector") == "row"
    assert term("blue", "id").meaning("text") == "row"
    assert term("blue", name="row").meaning("text") == "row"


def test_is_it_a_query() -> None:
    names = ["image", "text"]
    assert is_query("image:42 - text:blue", names)
    assert is_query("row:3", names)
    assert is_query("imag:42 - text:blue", names)  # a slip, to be told so
    assert is_query("text:red + blue", names)
    assert not is_query("a red car", names)
    assert not is_query("note: a red car", names)
    assert not is_query("a text: blue", names)


def test_ids_and_numbers(tmp_path: Path) -> None:
    assert key_of("7", "int") == 7
    assert key_of("7", "text") == "7"
    with pytest.raises(ModalityError, match="whole numbers, got 'x'"):
        key_of("x", "int")
    np.save(tmp_path / "v.npy", np.arange(3.0))
    assert numbers_of(str(tmp_path / "v.npy"), "m").tolist() == [0, 1, 2]
    assert numbers_of("1, -2.5", "m").tolist() == [1, -2.5]
    with pytest.raises(ConfigError, match="A value of 'm' is a .npy file or numbers"):
        numbers_of("red", "m")
    with pytest.raises(DataError, match="does not exist"):
        numbers_of("nowhere.npy", "m")
    (tmp_path / "bad.npy").write_bytes(b"no")
    with pytest.raises(DataError, match="holds something else"):
        numbers_of(str(tmp_path / "bad.npy"), "m")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds something else"):
        numbers_of(str(tmp_path / "objects.npy"), "m")

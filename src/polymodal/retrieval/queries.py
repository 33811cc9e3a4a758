"""Vector arithmetic as a query language: `"image:42 - text:blue + 0.5 * text:'dark red'"`. Parsed, never executed.

    query  = [sign] term { sign term }          sign: + or -, with spaces around it
    term   = [number *] name : value            name: a modality, or row (all modalities of an entry)
    value  = #id | 'text' | "text" | anything up to the next sign; with a sign between spaces in it, it needs quotes

What a bare value means follows from the kind of its modality: to a text modality it is a text; to any other a file that exists, numbers
with commas between, or else the id of an entry of the index. `#` always means an id, quotes never do.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from polymodal.core.errors import ConfigError, DataError, ModalityError
from polymodal.core.typing import Kind

ROW = "row"
"""The name that asks for all modalities of an entry."""

_HEAD = r"(?:(?P<weight>\d+(?:\.\d*)?|\.\d+)\s*[*×]\s*)?(?P<name>[^\W\d][\w.-]*):"
_NEXT = r"\s[+-]\s+(?:[\d.]+\s*[*×]\s*)?[^\W\d][\w.-]*:"
_TERM = re.compile(_HEAD + rf"""\s*(?P<value>'(?:[^']|'')*'|"(?:[^"]|"")*"|.*?)\s*(?=$|{_NEXT})""", re.DOTALL)
_SIGN = re.compile(r"\s*(?P<sign>[+-])\s*")
_LOOSE = re.compile(r"\s[+-](\s|$)")
_EXAMPLE = 'For example: "image:42 - text:blue + 0.5 * text:red".'

Meaning = Literal["text", "row", "file", "numbers"]


@dataclass(frozen=True)
class QueryTerm:
    """One part of a query.

    Attributes:
        weight: Its share; negative leads away from it.
        name: A modality, or "row".
        value: What stands after the colon, without quotes or #.
        form: How it was written: "id" after #, "quoted", or "bare".
    """

    weight: float
    name: str
    value: str
    form: Literal["id", "quoted", "bare"]

    def meaning(self, kind: Kind) -> Meaning:
        """What the value is, to a modality of this kind."""
        if self.form == "id" or self.name == ROW:
            return "row"
        if kind == "text":
            return "text"
        if Path(self.value).suffix and Path(self.value).expanduser().is_file():
            return "file"
        if kind in ("vector", "sequence") and "," in self.value:
            return "numbers"
        return "file" if self.form == "quoted" else "row"


def parse_query(query: str) -> list[QueryTerm]:
    """The terms of a query, in order.

    Raises:
        ModalityError: it cannot be read; says where.

    Examples:
        >>> [(t.weight, t.name, t.value) for t in parse_query("image:42 - 2 * text:deep blue")]
        [(1.0, 'image', '42'), (-2.0, 'text', 'deep blue')]
    """
    terms: list[QueryTerm] = []
    at = 0
    text = query.strip()
    while at < len(text) or not terms:
        sign = _SIGN.match(text, at)
        if sign is None and terms:
            raise _unreadable(text, at, "+ or -")
        at = sign.end() if sign else at
        found = _TERM.match(text, at)
        if found is None or not found["value"]:
            raise _unreadable(text, at, "NAME:VALUE")
        terms.append(_term(found, -1.0 if sign and sign["sign"] == "-" else 1.0))
        at = found.end()
    return terms


def is_query(text: str, names: Collection[str]) -> bool:
    """Whether a text is meant as an expression over the modalities `names`: some term names one, or "row"."""
    try:
        return any(term.name in names or term.name == ROW for term in parse_query(text))
    except ModalityError:
        return bool(re.match(rf"\s*[+-]?\s*({'|'.join(map(re.escape, (*names, ROW)))}):", text))


def key_of(value: str, kind: str) -> str | int:
    """An id as the index keeps it: "text" or "integer" ids.

    Raises:
        ModalityError: the ids are whole numbers, and this is none.
    """
    if kind == "text":
        return value
    try:
        return int(value)
    except ValueError:
        raise ModalityError(
            f"The ids of this index are whole numbers, got {value!r}. "
            "A text goes to a text modality, numbers have commas between, and a file must exist."
        ) from None


def numbers_of(value: str, name: str) -> np.ndarray:
    """One value of a modality of numbers: the array of a `.npy` file, or numbers with commas between.

    Raises:
        DataError: a file that is not there, or holds something else.
        ConfigError: neither a file nor numbers.
    """
    path = Path(value).expanduser()
    if path.suffix.lower() != ".npy":
        try:
            return np.array([float(part) for part in value.split(",")])
        except ValueError:
            raise ConfigError(
                f"A value of {name!r} is a .npy file or numbers with commas between, got {value!r}."
            ) from None
    if not path.is_file():
        raise DataError(f"{path} does not exist. Check the path.")
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise DataError(
            f"{path} needs one array of numbers as numpy.save writes it, and holds something else."
        ) from None
    return array


def _term(found: re.Match[str], sign: float) -> QueryTerm:
    weight = sign * float(found["weight"] or 1.0)
    value = found["value"]
    if value[0] in "'\"" and len(value) > 1 and value[-1] == value[0]:
        return QueryTerm(weight, found["name"], value[1:-1].replace(value[0] * 2, value[0]), "quoted")
    if value[0] == "#" and len(value) > 1:
        return QueryTerm(weight, found["name"], value[1:], "id")
    if _LOOSE.search(value):
        raise ModalityError(
            f"In the query {found.string!r} it is not clear what {value!r} means: write NAME: after the sign, as in "
            f"{found['name']}:... + {found['name']}:..., or put quotes around the value."
        )
    return QueryTerm(weight, found["name"], value, "bare")


def _unreadable(text: str, at: int, wanted: str) -> ModalityError:
    rest = text[at : at + 30]
    where = f"at {rest!r} (character {at + 1})" if rest else "at its end"
    return ModalityError(f"The query {text!r} cannot be read {where}: {wanted} was required. {_EXAMPLE}")

"""Filters on metadata: a mapping, or a small, safe part of SQL's WHERE. Nothing is evaluated as code.

    {"script": "greek"}                      equal
    {"script": ["greek", "latin"]}           one of
    {"script": None}                         missing
    "script = 'greek' AND NOT (year < 1900 OR title LIKE '%draft%')"

Columns may be compared (=, !=, <>, <, <=, >, >=), tested by IN, BETWEEN, LIKE, IS NULL, and joined by AND, OR, NOT.
A row whose value is missing satisfies no comparison, as in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError, suggest

Where = Mapping[str, Any] | str
Mask = Callable[[Any], Any]
"""Arrow table -> nullable Boolean column."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<quoted>"(?:[^"]|"")+"|`[^`]+`)|(?P<word>[^\W\d]\w*)|(?P<sign><>|!=|<=|>=|==|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_COMPARE = {
    "=": "equal",
    "==": "equal",
    "!=": "not_equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_KEYWORDS = {"and", "or", "not", "in", "is", "null", "like", "between", "true", "false"}


def select(table: Any, where: Where) -> np.ndarray:
    """True on the rows of an Arrow table that satisfy `where`.

    Args:
        table: The columns that may be named.
        where: A mapping column -> value, list of values, or None; or a condition in SQL's words.

    Raises:
        ModalityError: a column that does not exist (the ones there are named), a condition that cannot be read, a
            value of another type than the column.

    Relations:
        * `{"a": 1, "b": [2, 3]}` selects what `"a = 1 AND b IN (2, 3)"` does.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(where, Mapping):
        mask = _from_mapping(where)
    elif isinstance(where, str):
        mask = _Parser(where).parse()
    else:
        raise ModalityError(
            f'where needs a mapping such as {{"script": "greek"}} or a condition such as "script = \'greek\'", got '
            f"{type(where).__name__}."
        )
    try:
        chosen = pc.fill_null(mask(table), False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ModalityError(
            f"The filter {where!r} compares values of different types ({str(error).splitlines()[0]}). "
            f"The columns are {_types(table)}."
        ) from None
    return np.asarray(chosen.to_numpy(zero_copy_only=False), dtype=bool)


def _types(table: Any) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


def _column(table: Any, name: str) -> Any:
    import pyarrow as pa

    if name not in table.column_names:
        raise ModalityError(
            f"Unknown metadata {name!r}; the entries have {table.column_names}.{suggest(name, table.column_names)}"
        )
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _from_mapping(where: Mapping[str, Any]) -> Mask:
    parts = [_among(name, value) for name, value in where.items()]

    def mask(table: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        chosen = pa.array(np.ones(len(table), dtype=bool))
        for part in parts:
            chosen = pc.and_kleene(chosen, part(table))
        return chosen

    return mask


def _among(name: str, value: Any) -> Mask:
    if value is None:
        return _null(name)
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return _in(name, list(value))
    return _compare(name, "=", value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _compare(name: str, sign: str, value: Any) -> Mask:
    def mask(table: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        return getattr(pc, _COMPARE[sign])(_column(table, name), pa.scalar(_plain(value)))

    return mask


def _in(name: str, values: list[Any]) -> Mask:
    def mask(table: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        column = _column(table, name)
        wanted = pa.array([_plain(v) for v in values if v is not None])
        if not len(wanted):
            return pa.array(np.zeros(len(table), dtype=bool))
        found = pc.is_in(column, value_set=wanted.cast(column.type))
        return pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))

    return mask


def _null(name: str) -> Mask:
    def mask(table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.is_null(_column(table, name))

    return mask


def _like(name: str, pattern: str) -> Mask:
    def mask(table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.match_like(_column(table, name), pattern)

    return mask


def _both(a: Mask, b: Mask, function: str) -> Mask:
    def mask(table: Any) -> Any:
        import pyarrow.compute as pc

        return getattr(pc, function)(a(table), b(table))

    return mask


def _not(a: Mask) -> Mask:
    def mask(table: Any) -> Any:
        import pyarrow.compute as pc

        return pc.invert(a(table))

    return mask


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.error(f"{text[at:].strip()[:20]!r}")
            kind = str(found.lastgroup)
            value = found.group(kind)
            if kind == "word" and value.lower() in _KEYWORDS:
                kind, value = "key", value.lower()
            self.tokens.append((kind, value))
            at = found.end()
        self.at = 0

    def error(self, what: str) -> ModalityError:
        return ModalityError(
            f"The filter {self.text!r} cannot be read at {what}. Write conditions such as \"script = 'greek' AND year >= 1990\" "
            "(=, !=, <, <=, >, >=, IN (...), BETWEEN a AND b, LIKE 'a%', IS NULL, AND, OR, NOT)."
        )

    def parse(self) -> Mask:
        mask = self.either()
        if self.at < len(self.tokens):
            raise self.error(f"{self.tokens[self.at][1]!r}")
        return mask

    def peek(self, *values: str) -> bool:
        return (
            self.at < len(self.tokens)
            and self.tokens[self.at][0] in ("key", "sign")
            and self.tokens[self.at][1] in values
        )

    def take(self, *values: str) -> bool:
        here = self.peek(*values)
        self.at += here
        return here

    def expect(self, value: str) -> None:
        if not self.take(value):
            raise self.error(f"{self.tokens[self.at][1]!r}" if self.at < len(self.tokens) else "its end")

    def next(self, *kinds: str) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise self.error("its end")
        token = self.tokens[self.at]
        if token[0] not in kinds:
            raise self.error(f"{token[1]!r}")
        self.at += 1
        return token

    def either(self) -> Mask:
        mask = self.all()
        while self.take("or"):
            mask = _both(mask, self.all(), "or_kleene")
        return mask

    def all(self) -> Mask:
        mask = self.negation()
        while self.take("and"):
            mask = _both(mask, self.negation(), "and_kleene")
        return mask

    def negation(self) -> Mask:
        if self.take("not"):
            return _not(self.negation())
        if self.take("("):
            mask = self.either()
            self.expect(")")
            return mask
        return self.condition()

    def condition(self) -> Mask:
        kind, name = self.next("word", "quoted")
        if kind == "quoted":
            name = name[1:-1].replace('""', '"')
        if self.take("is"):
            negative = self.take("not")
            self.expect("null")
            return _not(_null(name)) if negative else _null(name)
        if self.take("not"):
            return _not(self.test(name))
        return self.test(name)

    def test(self, name: str) -> Mask:
        if self.take("in"):
            self.expect("(")
            values = [self.literal()]
            while self.take(","):
                values.append(self.literal())
            self.expect(")")
            return _in(name, values)
        if self.take("like"):
            return _like(name, str(self.literal()))
        if self.take("between"):
            low = self.literal()
            self.expect("and")
            return _both(_compare(name, ">=", low), _compare(name, "<=", self.literal()), "and_kleene")
        _, sign = self.next("sign")
        if sign not in _COMPARE:
            raise self.error(f"{sign!r}")
        return _compare(name, sign, self.literal())

    def literal(self) -> Any:
        kind, value = self.next("text", "number", "key")
        if kind == "text":
            return value[1:-1].replace("''", "'")
        if kind == "number":
            return float(value) if any(c in value for c in ".eE") else int(value)
        if value in ("true", "false"):
            return value == "true"
        raise self.error(f"{value!r}")

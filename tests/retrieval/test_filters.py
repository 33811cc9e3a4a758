"""The filter language: parity with SQL (DuckDB's cousin in the standard library), and sentences for what it refuses."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.retrieval.filters import select

TABLE = pa.table(
    {
        "script": ["greek", "latin", None, "greek", "cyrillic", "o'clock"],
        "year": pa.array([1990, 2000, 2010, None, 1980, 1990]),
        "size": pa.array([0.5, -1.5, None, 2.0, 3.25, 0.0]),
        "bold": pa.array([True, False, True, None, False, True]),
    }
)
CONDITIONS = [
    "script = 'greek'",
    "script != 'greek'",
    "script <> 'greek' and year >= 1990",
    "NOT script = 'greek'",
    "not (script = 'greek' or year < 1990)",
    "script IN ('greek', 'latin')",
    "script not in ('greek')",
    "year BETWEEN 1985 AND 2005 AND size > -2",
    "script LIKE 'gr%' OR script like '_atin'",
    "script NOT LIKE '%e%'",
    "script IS NULL",
    "year is not null and bold = true",
    "size < 1 and size > -1.5e0",
    "script = 'o''clock'",
    '"year" = 1990 or year = 2010 and size is null',
    "year > 1985.5",
    "size = 2",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_as_a_database_answers(condition: str) -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute("create table t (n integer, script text, year integer, size real, bold integer)")
        db.execute("pragma case_sensitive_like = on")
        db.executemany(
            "insert into t values (?, ?, ?, ?, ?)",
            [(i, *row.values()) for i, row in enumerate(TABLE.to_pylist())],
        )
        expected = {n for (n,) in db.execute(f"select n from t where {condition}")}
    db.close()
    assert set(np.flatnonzero(select(TABLE, condition))) == expected


def test_a_mapping_is_the_same_said_shorter() -> None:
    for mapping, condition in [
        ({"script": "greek"}, "script = 'greek'"),
        ({"script": ["greek", "latin"], "year": 2000}, "script in ('greek', 'latin') and year = 2000"),
        ({"script": None}, "script is null"),
        ({"bold": np.True_}, "bold = true"),
        ({"year": np.int64(1990)}, "year = 1990"),
        ({}, "year = 1 or not year = 1 or year is null"),
    ]:
        np.testing.assert_array_equal(select(TABLE, mapping), select(TABLE, condition))
    assert not select(TABLE, {"script": []}).any()


@pytest.mark.parametrize(
    "condition",
    ["", "script", "script =", "script = greek", "(script = 'a'", "script = 'a' or", "script = 'a' script = 'b'",
     "script = 'a'; drop table entries", "script in ()", "1 = 1", "__import__('os')", "script = 'a", "script ) 'a'"],
)  # fmt: skip
def test_what_cannot_be_read_is_quoted(condition: str) -> None:
    with pytest.raises(ModalityError, match="cannot be read at"):
        select(TABLE, condition)


def test_unknown_columns_and_types_are_named() -> None:
    with pytest.raises(ModalityError, match="'skript'.*Did you mean 'script'"):
        select(TABLE, {"skript": "greek"})
    for wrong in ({"year": "old"}, "script > 3", {"year": ["old"]}, "year like 'a'"):
        with pytest.raises(ModalityError, match="different types.*'year': 'int64'"):
            select(TABLE, wrong)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=30))
def test_any_text_gives_rows_or_a_sentence(text: str) -> None:
    with suppress(ModalityError):
        select(TABLE, text)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.text(max_size=10))
def test_any_value_can_be_quoted(value: str) -> None:
    table = pa.table({"name": [value, value + "x"]})
    quoted = value.replace("'", "''")
    assert select(table, f"name = '{quoted}'").tolist() == [True, False]

"""The rules by which columns become modalities."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polymodal.core.errors import DataError
from polymodal.datasets.readers_columns import plan_columns


def plan(**columns):
    return plan_columns(pa.table(columns), where="t.csv")


def test_file_columns_are_named_for_what_they_hold() -> None:
    p = plan(photo_file_name=["a.png", "b.jpg"], sound=["a.wav", None], text=["u", "v"])
    assert p.modalities["photo"] == ("files", ["photo_file_name"])
    assert p.modalities["sound"] == ("files", ["sound"])


def test_two_columns_of_one_short_name_keep_their_own() -> None:
    p = plan(file=["a.png"], path=["b.png"])
    assert set(p.modalities) == {"file", "path"}


def test_keys_and_counters_are_not_learned_from() -> None:
    p = plan(mouse=[1, 2, 3], x=[0.5, 0.1, 0.2], id=["u", "v", "w"])
    assert p.modalities == {"table": ("numbers", ["x"])}
    assert p.id == "id"
    assert p.metadata == ["mouse"]
    assert any("mouse" in note for note in p.notes)


def test_id_that_repeats_is_no_key() -> None:
    assert plan(x=[1.5, 2], id=[1, 1]).id is None


def test_gaps_are_no_group() -> None:
    assert set(plan(x_0=[1.5, 1], x_2=[2.5, 1]).modalities) == {"table"}


def test_columns_that_do_not_go_together() -> None:
    with pytest.raises(DataError, match="'m' needs columns that go together"):
        plan_columns(pa.table({"a": ["x"], "b": [1]}), where="t", modalities={"m": ["a", "b"]})
    with pytest.raises(DataError, match="'m' needs one column of paths"):
        plan_columns(pa.table({"a": ["x.png"], "b": ["y z"]}), where="t", modalities={"m": ["a", "b"]})

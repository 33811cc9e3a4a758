from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.datasets import Dataset


def tiny(n: int = 12) -> Dataset:
    data = Modalities({"x": np.arange(2.0 * n).reshape(n, 2), "text": [f"row {i}" for i in range(n)]})
    return Dataset(data, {"who": np.array(list("aabbccddeeff"))[:n], "label": np.arange(n) % 3}, name="tiny")


def test_rows_and_columns_may_be_chosen_in_either_order():
    d = tiny()
    for rows in (slice(2, 7), np.array([3, 1, 1]), np.arange(12) % 2 == 0, 4, [0, 5], []):
        part = d[rows]
        index = (
            np.atleast_1d(np.arange(12)[rows]) if not isinstance(rows, list) or rows else np.array([], int)
        )
        assert part["label"].tolist() == d["label"][index].tolist()
        assert part.data.ids.tolist() == index.tolist()
        assert len(part) == len(index)
        assert part.name == "tiny"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 4), min_size=3, max_size=40).filter(lambda g: len(set(g)) > 1), st.integers(0, 99)
)
def test_split_holds_out_whole_groups_and_keeps_every_row(groups, seed):
    n = len(groups)
    d = Dataset(Modalities({"x": np.ones((n, 1))}), {"g": np.array(groups)})
    train, test = d.split(group="g", test_size=0.3, random_state=seed)
    assert not set(train["g"]) & set(test["g"])
    assert sorted([*train.data.ids, *test.data.ids]) == list(range(n))
    assert len(train)
    assert len(test)
    assert (np.diff(train.data.ids) > 0).all()


def test_split_sizes():
    d = tiny()
    assert len(d.split(test_size=0.25, random_state=0)[1]) == 3
    assert len(d.split(test_size=5, random_state=0)[1]) == 5
    assert len(set(d.split(group="who", test_size=0.5, random_state=0)[1]["who"])) == 3
    by_array = d.split(group=d["who"], test_size=2, random_state=3)[1]
    assert by_array["who"].tolist() == d.split(group="who", test_size=2, random_state=3)[1]["who"].tolist()
    a, b = (d.split(random_state=7)[1].data.ids.tolist() for _ in range(2))
    assert a == b


def test_split_shares_the_stores():
    d = tiny()
    train, test = d.split(random_state=0)
    assert train.data["x"].store is test.data["x"].store is d.data["x"].store


@pytest.mark.parametrize("size", [0, -0.1, 12, 1.5, float("nan")])
def test_sizes_that_leave_a_part_empty_are_refused(size):
    with pytest.raises(ModalityError, match="test_size"):
        tiny().split(test_size=size)


def test_errors_name_the_column():
    d = tiny()
    with pytest.raises(ModalityError, match=r"'lable'.*Did you mean 'label'"):
        d["lable"]
    with pytest.raises(ModalityError, match=r"'text' is a modality"):
        d["text"]
    with pytest.raises(ModalityError, match=r"\{'who': 2\}"):
        Dataset(d.data, {"who": np.array(["a", "b"])})
    with pytest.raises(ModalityError, match="one group per row"):
        d.split(group=np.zeros(3))


def test_repr_says_what_there_is():
    assert "tiny" in repr(tiny())
    assert "label, who" in repr(tiny())

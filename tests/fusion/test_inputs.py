"""Absent values never enter arithmetic; modality dropout never hides everything."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.fusion._inputs import fill_absent, hide_at_random

DIMS = {"a": 2, "b": 3}


def test_absent_values_become_zero_and_absent_names_too() -> None:
    a = torch.tensor([[1.0, 2.0], [float("nan"), 1e9]])
    values, has = fill_absent({"a": a}, {"a": torch.tensor([True, False])}, DIMS)
    assert values["a"].tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert values["b"].tolist() == [[0.0] * 3] * 2
    assert has["b"].tolist() == [False, False]


@pytest.mark.parametrize(
    ("inputs", "present", "match"),
    [
        ({"sound": torch.ones(2, 2)}, None, "sound"),
        ({}, None, "at least one"),
        ({"a": torch.ones(2, 3)}, None, r"'a' needs shape \(2, 2\)"),
        ({"a": torch.ones(2, 2), "b": torch.ones(3, 3)}, None, "'b'"),
        ({"a": torch.ones(2, 2)}, {"a": torch.ones(2)}, "Booleans"),
    ],
)
def test_bad_input_is_named(inputs, present, match: str) -> None:
    with pytest.raises(ModalityError, match=match):
        fill_absent(inputs, present, DIMS)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(share=st.floats(0, 1), seed=st.integers(0, 1000), n_names=st.integers(1, 4))
def test_dropout_hides_only_what_is_there_and_never_all(share: float, seed: int, n_names: int) -> None:
    torch.manual_seed(seed)
    has = torch.rand(30, n_names) < 0.7
    kept = hide_at_random({str(i): has[:, i] for i in range(n_names)}, share)
    after = torch.stack(list(kept.values()), dim=1)
    assert not (after & ~has).any()
    assert torch.equal(after.any(dim=1), has.any(dim=1))


def test_dropout_touches_about_its_share_of_the_rows() -> None:
    torch.manual_seed(0)
    names = {str(i): torch.ones(20_000, dtype=torch.bool) for i in range(3)}
    touched = ~torch.stack(list(hide_at_random(names, 0.4).values())).all(dim=0)
    assert float(touched.float().mean()) == pytest.approx(
        0.4 * 7 / 8, abs=0.01
    )  # 1/8 of the draws hide nothing
    assert hide_at_random(names, 0.0) == names

"""Chains of equal values."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from polymodal.core.links import linked_rows


def test_a_chain_joins_and_missing_does_not() -> None:
    image = np.array([0, 0, 1, 2, -1, -1])
    text = np.array([0, 1, 1, -1, 2, -1])
    assert linked_rows([image, text]).tolist() == [0, 0, 0, 1, 2, 3]


def test_one_modality_gives_its_codes_renumbered() -> None:
    assert linked_rows([np.array([7, 3, 7, 5])]).tolist() == linked_rows([np.array([2, 0, 2, 1])]).tolist()


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), min_size=1, max_size=12))
def test_equals_the_closure_by_hand(pairs) -> None:
    codes = np.array(pairs)
    labels = linked_rows([codes[:, 0], codes[:, 1]])
    n = len(codes)
    joined = np.eye(n, dtype=bool)
    for code in codes.T:
        joined |= (code[:, None] == code) & (code[:, None] >= 0)
    for _ in range(n):
        joined = (joined.astype(int) @ joined) > 0
    assert np.array_equal(labels[:, None] == labels, joined)
    assert set(labels) == set(range(labels.max() + 1))

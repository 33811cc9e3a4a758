"""Sequences of different lengths."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from polymodal import Ragged
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import array_of_rows

lists = st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=6)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(lists, st.data())
def test_it_is_the_list_it_was_made_of(sequences, draw) -> None:
    ragged = Ragged.of([np.array(s, dtype=float) for s in sequences])
    assert [s.tolist() for s in ragged] == sequences
    rows = draw.draw(st.lists(st.integers(0, len(sequences) - 1), max_size=6))
    assert [s.tolist() for s in ragged[rows]] == [sequences[i] for i in rows]
    assert ragged.lengths.tolist() == [len(s) for s in sequences]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(lists, st.none() | st.integers(0, 7))
def test_padding_keeps_every_step_and_marks_the_rest(sequences, length) -> None:
    values, mask = Ragged.of([np.array(s, dtype=float) for s in sequences]).pad(length, fill=99)
    longest = max(map(len, sequences)) if length is None else length
    assert values.shape == mask.shape == (len(sequences), longest)
    assert [row[m].tolist() for row, m in zip(values, mask, strict=True)] == [s[:longest] for s in sequences]
    assert (values[~mask] == 99).all()


def test_steps_may_have_axes_of_their_own() -> None:
    ragged = Ragged.of([np.zeros((2, 3, 4)), np.ones((1, 3, 4))])
    assert ragged.step_shape == (3, 4)
    assert ragged.pad()[0].shape == (2, 2, 3, 4)


def test_no_sequences() -> None:
    assert len(Ragged.of([])) == 0
    assert len(Ragged.of([[1.0], [2.0]])[[]]) == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Ragged.of([np.zeros((2, 3)), np.zeros((2, 4))]), "one shape"),
        (lambda: Ragged.of([1.0, 2.0]), "bare number"),
        (lambda: Ragged(np.zeros(3), np.array([0, 2])), "rise from 0"),
        (lambda: Ragged(np.zeros(3), np.array([0, 4, 3])), "rise from 0"),
    ],
)
def test_bad_input(make, words) -> None:
    with pytest.raises(ModalityError, match=words):
        make()


def test_a_row_out_of_range() -> None:
    with pytest.raises(IndexError):
        Ragged.of([[1.0]])[3]


def test_an_array_of_rows_keeps_arrays_of_any_lengths() -> None:
    for rows in ([[1, 2], [3]], [[1, 2], [3, 4]]):
        made = array_of_rows(rows)
        assert made.shape == (2,)
        assert [r.tolist() for r in made[np.array([1, 0])]] == rows[::-1]

"""Honest splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.evaluation.splits import given_split, honest_splits, row_groups, thin_classes


def vectors(n):
    return Modalities({"a": np.arange(float(n))[:, None]})


@given(seed=st.integers(0, 50), share=st.floats(0.1, 0.6))
def test_groups_stay_together_and_classes_stand_on_both_sides(seed, share):
    draws = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(20), 3)
    y = np.repeat(np.array(["x", "y", "z", "x"] * 5), 3)
    splits = honest_splits(
        vectors(60), y, groups=speaker, test_size=share, random_state=int(draws.integers(99))
    )
    assert len(splits) == 5
    for s in splits:
        assert sorted([*s.train, *s.test]) == list(range(60))
        assert not set(speaker[s.train]) & set(speaker[s.test])
        assert set(y[s.train]) == set(y[s.test]) == {"x", "y", "z"}


def test_classes_keep_their_share():
    y = np.repeat([0, 1], [900, 100])
    (s,) = honest_splits(vectors(1000), y, n_splits=1, test_size=0.2)
    assert (y[s.test] == 1).sum() == 20
    assert len(s.test) == 200


def test_quantities_are_dealt_by_size():
    y = np.arange(100.0) ** 3
    (s,) = honest_splits(vectors(100), y, n_splits=1, test_size=0.25)
    assert np.histogram(s.test, bins=[0, 20, 40, 60, 80, 100])[0].tolist() == [5] * 5


def test_captions_of_one_picture_stay_together():
    picture = Modality(np.eye(30), np.repeat(np.arange(30), 4))
    data = Modalities({"picture": picture, "words": np.arange(120.0)[:, None]})
    for s in honest_splits(data, np.tile([0, 1], 60)):
        assert not set(s.train // 4) & set(s.test // 4)


def test_the_seed_decides():
    y = np.tile([0, 1], 20)
    first, again, other = (honest_splits(vectors(40), y, random_state=r) for r in (0, 0, 1))
    assert [s.test.tolist() for s in first] == [s.test.tolist() for s in again]
    assert [s.seed for s in first] == [s.seed for s in again]
    assert [s.test.tolist() for s in first] != [s.test.tolist() for s in other]


def test_a_class_of_one_row_is_taught_and_never_tested():
    y = np.array([0] * 10 + [1] * 10 + [2])
    splits = honest_splits(vectors(21), y)
    assert all(20 in s.train for s in splits)
    assert thin_classes(y, splits) == {"2": 5}
    assert thin_classes(y.astype(float), splits) == {}


def test_what_cannot_be_divided():
    one = Modality(np.eye(1), np.zeros(6, dtype=np.int64))
    with pytest.raises(ModalityError, match="'a'.*tied together"):
        honest_splits(Modalities({"a": one}), np.arange(6) % 2)
    with pytest.raises(ModalityError, match="groups needs one label per row"):
        row_groups(vectors(3), ["a"])
    with pytest.raises(ModalityError, match="test_size"):
        honest_splits(vectors(4), [0, 1, 0, 1], test_size=1.5)
    with pytest.raises(ModalityError, match="one target per row"):
        honest_splits(vectors(4), [0, 1])


def test_a_given_split_is_kept_for_each_seed():
    found = given_split(np.array([True, False, True]), n_seeds=2, seed=7)
    assert [(s.train.tolist(), s.test.tolist(), s.seed) for s in found] == [
        ([0, 2], [1], 7),
        ([0, 2], [1], 8),
    ]
    with pytest.raises(ModalityError, match="both sides"):
        given_split(np.ones(3, dtype=bool))

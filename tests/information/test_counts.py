"""`Plugin`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.information import (
    Plugin,
    conditional_entropy,
    entropy,
    mutual_information,
    mutual_information_of_table,
)
from polymodal.information.counts import codes_of, joined, table_of

seeds = st.integers(0, 10**6)


def labels(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(3, size=n)
    return x, (x + rng.integers(2, size=n)) % 3, rng.integers(2, size=n)


@given(seeds)
def test_equals_the_table_of_shares(seed: int) -> None:
    x, y, _ = labels(seed)
    found = mutual_information(x, y, Plugin("none"))
    assert found.value == pytest.approx(
        mutual_information_of_table(table_of(codes_of(x), codes_of(y))).value, abs=1e-12
    )
    assert found.value <= found.limit + 1e-12


@given(seeds)
def test_identities_of_samples(seed: int) -> None:
    x, y, z = labels(seed)
    method = Plugin()
    assert mutual_information(x, y, method).value == pytest.approx(
        mutual_information(y, x, method).value, abs=1e-12
    )
    assert mutual_information(x, x, method).value == pytest.approx(entropy(x, method).value)
    joint = entropy(np.c_[x, y], method).value
    assert joint == pytest.approx(entropy(y, method).value + conditional_entropy(x, y, method).value)
    both = mutual_information(x, np.c_[y, z], method).value
    split = mutual_information(x, z, method).value + mutual_information(x, y, method, given=z).value
    assert both == pytest.approx(split, abs=1e-12)


def test_closed_form_of_the_correction() -> None:
    x = np.array([0, 0, 1, 2])
    plain = -(0.5 * np.log(0.5) + 0.5 * np.log(0.25))
    assert entropy(x, Plugin("none")).value == pytest.approx(plain)
    assert entropy(x, Plugin()).value == pytest.approx(plain + 2 / 8)


def test_the_correction_finds_nothing_where_there_is_nothing(rng: np.random.Generator) -> None:
    pairs = [(rng.integers(5, size=200), rng.integers(5, size=200)) for _ in range(50)]
    plain = np.mean([mutual_information(x, y, Plugin("none")).value for x, y in pairs])
    corrected = np.mean([mutual_information(x, y, Plugin()).value for x, y in pairs])
    assert plain == pytest.approx(16 / 400, rel=0.2)
    assert abs(corrected) < 0.004


def test_repeated_rows_change_nothing(rng: np.random.Generator) -> None:
    x, y, _ = labels(0)
    twice = mutual_information(np.tile(x, 2), np.tile(y, 2), Plugin("none")).value
    assert twice == pytest.approx(mutual_information(x, y, Plugin("none")).value)


def test_texts_and_bins(rng: np.random.Generator) -> None:
    words = np.array(["cat", "dog", "cat", "bird"] * 10)
    objects = words.astype(object)
    number = np.tile(np.array([1, 2, 1, 3]), 10)
    assert mutual_information(words, number, Plugin("none"), unit="bits").value == pytest.approx(1.5)
    assert mutual_information(objects, number, Plugin("none"), unit="bits").value == pytest.approx(1.5)
    assert entropy(rng.normal(size=400), Plugin("none", bins=4), unit="bits").value == pytest.approx(2)


def test_one_class_and_the_label_itself() -> None:
    _, y, _ = labels(0)
    assert mutual_information(np.zeros(60, dtype=int), y, Plugin()).value == pytest.approx(0, abs=1e-12)
    assert mutual_information(y, y, Plugin("none")).value == pytest.approx(entropy(y, Plugin("none")).value)
    assert entropy(np.zeros(60), Plugin()).value == 0


def test_refusals(rng: np.random.Generator) -> None:
    x = rng.normal(size=30)
    with pytest.raises(ModalityError, match="x that repeat, but all 30 rows differ"):
        mutual_information(x, np.zeros(30, dtype=int), Plugin())
    with pytest.raises(ModalityError, match="40 bins for 30 rows"):
        mutual_information(x, np.zeros(30, dtype=int), Plugin(bins=40))
    with pytest.raises(ModalityError, match="at least 2 bins"):
        Plugin(bins=1)


def test_codes_are_dense() -> None:
    assert sorted(set(joined(np.array([0, 5, 5]), np.array([2, 2, 7])).tolist())) == [0, 1, 2]
    assert table_of(np.array([0, 1]), np.array([1, 0])).tolist() == [[0, 0.5], [0.5, 0]]

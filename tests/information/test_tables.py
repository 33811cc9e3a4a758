"""Entropies of given probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.information import (
    conditional_entropy_of_table,
    conditional_mutual_information_of_table,
    entropy_of_table,
    information_content,
    kl_divergence,
    mutual_information_of_table,
)

seeds = st.integers(0, 10**6)


def random_table(seed: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(int(np.prod(shape)), 0.5)).reshape(shape)
    p[p < rng.choice([0, 0.02])] = 0
    return p / p.sum()


def test_closed_forms() -> None:
    assert entropy_of_table(np.full(8, 1 / 8), unit="bits").value == pytest.approx(3)
    assert entropy_of_table(np.array([0.5, 0.25, 0.125, 0.125]), unit="bits").value == pytest.approx(1.75)
    assert information_content(1 / 8, unit="bits").value == pytest.approx(3)
    assert information_content(np.exp(-2.0)).value == pytest.approx(2)
    # Cover and Thomas 2006, example 2.2.1
    p = np.array([[4, 2, 1, 1], [2, 4, 1, 1], [2, 2, 2, 2], [8, 0, 0, 0]]).T / 32
    assert entropy_of_table(p.sum(1), unit="bits").value == pytest.approx(7 / 4)
    assert entropy_of_table(p.sum(0), unit="bits").value == pytest.approx(2)
    assert conditional_entropy_of_table(p, unit="bits").value == pytest.approx(11 / 8)
    assert entropy_of_table(p, unit="bits").value == pytest.approx(27 / 8)
    assert mutual_information_of_table(p, unit="bits").value == pytest.approx(3 / 8)
    # example 2.3.1: r = 1/2, s = 1/4
    half, quarter = np.array([0.5, 0.5]), np.array([0.75, 0.25])
    assert kl_divergence(half, quarter, unit="bits").value == pytest.approx(0.2075, abs=5e-5)
    assert kl_divergence(quarter, half, unit="bits").value == pytest.approx(0.1887, abs=5e-5)


def test_an_exact_value_is_its_own_interval() -> None:
    found = mutual_information_of_table(np.eye(2) / 2, unit="bits")
    assert (found.value, found.low, found.high, found.bound, found.unit) == (1, 1, 1, "exact", "bits")
    assert found.limit == pytest.approx(1)


@given(seeds)
def test_chain_rules(seed: int) -> None:
    p = random_table(seed, 3, 4)
    joint, of_y = entropy_of_table(p).value, entropy_of_table(p.sum(0)).value
    assert joint == pytest.approx(of_y + conditional_entropy_of_table(p).value)
    of_x = entropy_of_table(p.sum(1)).value
    found = mutual_information_of_table(p).value
    assert found == pytest.approx(of_x - conditional_entropy_of_table(p).value, abs=1e-12)
    assert found == pytest.approx(of_x + of_y - joint, abs=1e-12)
    assert found == pytest.approx(kl_divergence(p, np.outer(p.sum(1), p.sum(0))).value, abs=1e-12)


@given(seeds)
def test_chain_rule_of_mutual_information(seed: int) -> None:
    p = random_table(seed, 2, 3, 3)
    both = mutual_information_of_table(p.reshape(2, 9)).value
    of_z = mutual_information_of_table(p.sum(1)).value
    assert both == pytest.approx(of_z + conditional_mutual_information_of_table(p).value, abs=1e-12)


@given(seeds)
def test_bounds_and_symmetry(seed: int) -> None:
    p = random_table(seed, 4, 3)
    of_x, of_y = entropy_of_table(p.sum(1)).value, entropy_of_table(p.sum(0)).value
    found = mutual_information_of_table(p)
    assert 0 <= found.value <= found.limit + 1e-12
    assert found.limit == pytest.approx(min(of_x, of_y))
    assert mutual_information_of_table(p.T).value == pytest.approx(found.value, abs=1e-12)
    assert entropy_of_table(p).value <= of_x + of_y + 1e-12  # subadditivity
    assert 0 <= conditional_entropy_of_table(p).value <= of_x + 1e-12
    assert of_x <= np.log(4) + 1e-12


@given(seeds)
def test_data_processing(seed: int) -> None:
    p = random_table(seed, 4, 3)
    channel = np.random.default_rng(seed).dirichlet(np.ones(3), size=3)
    assert mutual_information_of_table(p @ channel).value <= mutual_information_of_table(p).value + 1e-12


@given(seeds)
def test_content_and_divergence(seed: int) -> None:
    p, q = random_table(seed, 5), random_table(seed + 1, 5)
    mean = sum(x * information_content(float(x)).value for x in p if x > 0)
    assert mean == pytest.approx(entropy_of_table(p).value)
    assert kl_divergence(p, q).value >= 0
    assert kl_divergence(p, p).value == 0


def test_contents_of_independent_events_add_up() -> None:
    whole = information_content(0.2 * 0.3).value
    assert whole == pytest.approx(information_content(0.2).value + information_content(0.3).value)


def test_independent_and_determined() -> None:
    independent = np.outer([0.2, 0.8], [0.5, 0.3, 0.2])
    assert mutual_information_of_table(independent).value == pytest.approx(0, abs=1e-12)
    assert conditional_entropy_of_table(np.diag([0.2, 0.3, 0.5])).value == 0
    assert kl_divergence(np.array([0.5, 0.5]), np.array([1.0, 0.0])).value == np.inf


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([[3.0, 1.0], [2.0, 2.0]], "add up to 1, got 8"),
        ([[0.5, -0.5], [0.5, 0.5]], "from -0.5"),
        ([[np.nan, 0.5], [0.5, 0.0]], "probabilities >= 0"),
        (np.empty((0, 2)), "an empty table"),
    ],
)
def test_what_is_no_table(table: object, says: str) -> None:
    with pytest.raises(ModalityError, match=says):
        mutual_information_of_table(np.asarray(table))


def test_other_refusals() -> None:
    with pytest.raises(ModalityError, match=r"in \(0, 1\], got 0"):
        information_content(0.0)
    with pytest.raises(ModalityError, match="same outcomes"):
        kl_divergence(np.array([0.5, 0.5]), np.array([0.2, 0.3, 0.5]))

"""`KSG`, `Ross`, `KozachenkoLeonenko`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from polymodal.core.errors import ModalityError
from polymodal.information import (
    KSG,
    KozachenkoLeonenko,
    Ross,
    entropy,
    gaussian_mutual_information,
    mutual_information,
)
from polymodal.information.neighbours import count_within, kth_distance


def pair(rng: np.random.Generator, rho: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


def by_definition(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Equation 8 of the paper, with all distances."""
    d_x, d_y = (np.abs(z[:, None] - z[None]).max(2) for z in (x, y))
    d = np.maximum(d_x, d_y)
    epsilon = np.sort(d, axis=1)[:, k]
    n_x, n_y = ((m < epsilon[:, None]).sum(1) - 1 for m in (d_x, d_y))
    return float(digamma(k) + digamma(len(x)) - (digamma(n_x + 1) + digamma(n_y + 1)).mean())


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("features", [(1, 1), (2, 1), (3, 2)])
def test_equals_the_definition(rng: np.random.Generator, k: int, features: tuple[int, int]) -> None:
    z = rng.normal(size=(200, sum(features))) @ rng.normal(size=(sum(features), sum(features)))
    x, y = z[:, : features[0]], z[:, features[0] :]
    found = mutual_information(x, y, KSG(k, standardize=False, noise=0))
    assert found.value == pytest.approx(by_definition(x, y, k), abs=1e-12)


def test_equals_scikit_learn(rng: np.random.Generator) -> None:
    x, y = pair(rng, 0.7, 1000)
    theirs = mutual_info_regression(x[:, None], y, n_neighbors=3, random_state=0)[0]
    assert mutual_information(x, y, KSG()).value == pytest.approx(theirs, abs=1e-6)
    label = np.digitize(y, [-0.5, 0.8])
    theirs = mutual_info_classif(x[:, None], label, n_neighbors=3, random_state=0)[0]
    assert mutual_information(x, label, Ross()).value == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_truth_of_normal_numbers(rng: np.random.Generator, rho: float) -> None:
    x, y = pair(rng, rho, 4000)
    assert mutual_information(x, y, KSG(5)).value == pytest.approx(gaussian_mutual_information(rho), abs=0.04)


def test_dependence_without_correlation(rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, size=2000)
    assert mutual_information(x, x**2 + 0.01 * rng.normal(size=2000), KSG()).value > 1


def test_symmetric_and_units_settled(rng: np.random.Generator) -> None:
    x, y = pair(rng, 0.6, 400)
    found = mutual_information(x, y, KSG(noise=0)).value
    assert mutual_information(y, x, KSG(noise=0)).value == pytest.approx(found, abs=1e-12)
    assert mutual_information(1000 * x, y, KSG(noise=0)).value == pytest.approx(found, abs=1e-12)


def test_rotation_changes_the_estimate_only_a_little(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1500, 2))
    y = x[:, 0] + 0.5 * rng.normal(size=1500)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    before, after = (mutual_information(z, y, KSG()).value for z in (x, x @ turn))
    assert before != after
    assert before == pytest.approx(after, abs=0.1)


def test_conditional(rng: np.random.Generator) -> None:
    z = rng.normal(size=2000)
    x, y = z + 0.5 * rng.normal(size=2000), z + 0.5 * rng.normal(size=2000)
    assert mutual_information(x, y, KSG(5)).value > 0.4
    assert mutual_information(x, y, KSG(5), given=z).value == pytest.approx(0, abs=0.04)
    assert mutual_information(x, y, KSG(), given=np.ones(2000)).value == pytest.approx(
        mutual_information(x, y, KSG()).value
    )
    both = mutual_information(x, np.c_[y, z], KSG(5)).value
    split = mutual_information(x, z, KSG(5)).value + mutual_information(x, y, KSG(5), given=z).value
    assert both == pytest.approx(split, abs=0.1)


def test_degenerate_input(rng: np.random.Generator) -> None:
    x = rng.normal(size=100)
    assert mutual_information(x, np.ones(100), KSG()).value == 0
    same = mutual_information(x, x, KSG(noise=0))
    assert same.value == pytest.approx(same.limit)
    assert same.limit == pytest.approx(digamma(100) - digamma(3))
    rounded = mutual_information(np.round(x), np.round(rng.normal(size=100)), KSG())
    assert np.isfinite(rounded.value)
    with pytest.raises(ModalityError, match="3 rows for k = 3"):
        mutual_information(x[:3], x[:3], KSG())
    with pytest.raises(ModalityError, match="k >= 1"):
        KSG(0)
    with pytest.raises(ModalityError, match="y needs numbers"):
        mutual_information(x, np.array(["a", "b"] * 50), KSG())


def test_ross(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1000, 2))
    label = (x[:, 0] > 0).astype(int)
    assert mutual_information(x[:, :1], label, Ross()).value == pytest.approx(np.log(2), abs=0.01)
    assert mutual_information(x, rng.integers(2, size=1000), Ross()).value == pytest.approx(0, abs=0.03)
    assert mutual_information(x, np.array(["one"] * 1000), Ross()).value == 0
    alone = np.r_[label, 7]
    assert np.isfinite(mutual_information(np.r_[x, x[:1]], alone, Ross()).value)
    with pytest.raises(ModalityError, match="all 1000 rows differ"):
        mutual_information(x, np.arange(1000), Ross())
    with pytest.raises(ModalityError, match="one label only"):
        mutual_information(x, label, Ross(), given=x)


def test_entropy_of_numbers(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4000, 2))
    truth = np.log(2 * np.pi * np.e)
    found = entropy(x, KozachenkoLeonenko(noise=0)).value
    assert found == pytest.approx(truth, abs=0.05)
    assert entropy(3 * x, KozachenkoLeonenko(noise=0)).value == pytest.approx(found + 2 * np.log(3))
    assert entropy(rng.uniform(size=3000) / 10, KozachenkoLeonenko()).value == pytest.approx(
        -np.log(10), abs=0.05
    )
    with pytest.raises(ModalityError, match="one is constant"):
        entropy(np.c_[x[:, :1], np.ones(4000)], KozachenkoLeonenko())


def test_counts_are_strict() -> None:
    points = np.array([[0.0], [1.0], [2.0], [4.0]])
    radius = kth_distance(points, 1)
    assert radius.tolist() == [1, 1, 1, 2]
    assert count_within(points, radius).tolist() == [0, 0, 0, 0]
    square = np.c_[points, points]
    assert count_within(square, kth_distance(square, 2)).tolist() == [1, 0, 1, 1]

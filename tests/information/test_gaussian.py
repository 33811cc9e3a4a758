"""`Gaussian`."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.information import (
    Gaussian,
    conditional_entropy,
    entropy,
    gaussian_mutual_information,
    mutual_information,
)

PLAIN = Gaussian(correct_bias=False)


def pair(rng: np.random.Generator, rho: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


def test_closed_form(rng: np.random.Generator) -> None:
    assert gaussian_mutual_information(0.8) == pytest.approx(0.5108256)
    x, y = pair(rng, 0.8, 500)
    r = np.corrcoef(x, y)[0, 1]
    assert mutual_information(x, y, PLAIN).value == pytest.approx(-0.5 * np.log(1 - r**2))
    assert mutual_information(x, y, PLAIN, unit="bits").bits == pytest.approx(-0.5 * np.log2(1 - r**2))
    assert entropy(x, PLAIN).value == pytest.approx(0.5 * np.log(2 * np.pi * np.e * np.var(x, ddof=1)))


def test_parts_of_the_determinants(rng: np.random.Generator) -> None:
    z = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    x, y = z[:, :2], z[:, 2:]
    by_entropies = entropy(x, PLAIN).value + entropy(y, PLAIN).value - entropy(z, PLAIN).value
    assert mutual_information(x, y, PLAIN).value == pytest.approx(by_entropies)
    corrected = entropy(x, Gaussian()).value + entropy(y, Gaussian()).value - entropy(z, Gaussian()).value
    assert mutual_information(x, y, Gaussian()).value == pytest.approx(corrected)
    assert mutual_information(y, x, Gaussian()).value == pytest.approx(corrected)
    turned = x @ np.array([[2.0, 1.0], [0.0, 3.0]]) + 5
    assert mutual_information(turned, y, PLAIN).value == pytest.approx(by_entropies)


def test_conditional_is_by_partial_correlation(rng: np.random.Generator) -> None:
    z = rng.normal(size=400)
    x, y = z + rng.normal(size=400), z + rng.normal(size=400)
    r = np.linalg.inv(np.corrcoef([x, y, z]))
    partial = -r[0, 1] / np.sqrt(r[0, 0] * r[1, 1])
    found = mutual_information(x, y, PLAIN, given=z)
    assert found.quantity == "conditional mutual information"
    assert found.value == pytest.approx(-0.5 * np.log(1 - partial**2))
    assert mutual_information(x, y, PLAIN, given=x).value == 0


def test_the_correction_is_unbiased(rng: np.random.Generator) -> None:
    """30 rows of 4 + 4 independent features: the plain formula finds a third of a nat."""
    draws = [(rng.normal(size=(30, 4)), rng.normal(size=(30, 4))) for _ in range(100)]
    plain = [mutual_information(x, y, PLAIN).value for x, y in draws]
    corrected = [mutual_information(x, y, Gaussian()).value for x, y in draws]
    assert np.mean(plain) > 0.3
    assert abs(np.mean(corrected)) < 3 * np.std(corrected) / 10


def test_conditional_entropy_of_numbers_may_be_negative(rng: np.random.Generator) -> None:
    x, y = pair(rng, 0.999, 2000)
    found = conditional_entropy(y, x, PLAIN)
    assert found.value < -1
    assert found.value == pytest.approx(0.5 * np.log(2 * np.pi * np.e * (1 - 0.999**2)), abs=0.05)


def test_degenerate_input(rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 2))
    assert mutual_information(x, x @ np.array([[1.0], [2.0]]), Gaussian()).value == np.inf
    assert mutual_information(x, np.ones(50), Gaussian()).value == 0
    doubled = np.c_[x, x[:, 0]]
    y = rng.normal(size=50)
    assert mutual_information(doubled, y, PLAIN).value == pytest.approx(mutual_information(x, y, PLAIN).value)
    with pytest.raises(ModalityError, match="no linear functions of each other"):
        entropy(doubled, Gaussian())
    with pytest.raises(ModalityError, match="more rows than features"):
        mutual_information(rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), Gaussian())
    with pytest.raises(ModalityError, match="y needs numbers"):
        mutual_information(x, np.array(["a", "b"] * 25), Gaussian())
    with pytest.raises(ModalityError, match=r"\[-1, 1\]"):
        gaussian_mutual_information(1.5)
    assert gaussian_mutual_information(-1.0) == np.inf

"""`mutual_information`, `entropy`, `conditional_entropy`: what they ask for and what they answer."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.information import (
    KSG,
    Bootstrap,
    EntropyMethod,
    Gaussian,
    KozachenkoLeonenko,
    MutualInformationMethod,
    Plugin,
    Ross,
    Subsampling,
    conditional_entropy,
    entropy,
    gaussian_mutual_information,
    mutual_information,
)


def test_methods_are_what_the_problems_take() -> None:
    assert all(isinstance(m, MutualInformationMethod) for m in (Plugin(), Gaussian(), KSG(), Ross()))
    assert all(isinstance(m, EntropyMethod) for m in (Plugin(), Gaussian(), KozachenkoLeonenko()))


def test_the_answer_names_unit_and_method(rng: np.random.Generator) -> None:
    x = rng.normal(size=200)
    nats, bits = (
        mutual_information(x, x + rng.normal(size=200), Gaussian(), unit=u) for u in ("nats", "bits")
    )
    assert (nats.unit, bits.unit) == ("nats", "bits")
    assert (nats.quantity, nats.method, nats.n) == ("mutual information", "Gaussian(correct_bias=True)", 200)
    assert np.isnan(nats.low)
    assert np.isnan(nats.level)


def test_bits_are_nats_over_ln_2(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 200))
    nats = mutual_information(x, y, KSG(), unit="nats", interval=Subsampling(n_resamples=10))
    bits = mutual_information(x, y, KSG(), unit="bits", interval=Subsampling(n_resamples=10))
    for key in ("value", "low", "high", "limit"):
        assert getattr(nats, key) == pytest.approx(getattr(bits, key) * np.log(2))


@pytest.mark.parametrize("method", [Gaussian(), KSG()])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    rng: np.random.Generator, method: MutualInformationMethod
) -> None:
    held = 0
    for _ in range(25):
        x = rng.normal(size=200)
        y = 0.6 * x + 0.8 * rng.normal(size=200)
        found = mutual_information(x, y, method, interval=Subsampling(n_resamples=30), random_state=rng)
        held += found.low <= gaussian_mutual_information(0.6) <= found.high
    assert held >= 20


def test_interval_of_independent_labels_holds_zero(rng: np.random.Generator) -> None:
    x, y = rng.integers(3, size=(2, 400))
    found = mutual_information(x, y, Plugin(), interval=Bootstrap(100))
    assert found.low <= 0 <= found.high
    assert found.level == 0.95


def test_the_same_seed_the_same_answer(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 100))
    one, other = (
        mutual_information(x, y, KSG(), interval=Subsampling(n_resamples=5), random_state=3) for _ in range(2)
    )
    assert one == other


def test_entropy_and_conditional_entropy_with_intervals(rng: np.random.Generator) -> None:
    x = rng.normal(size=300)
    y = x + rng.normal(size=300)
    truth = 0.5 * np.log(2 * np.pi * np.e)
    found = entropy(x, Gaussian(), interval=Bootstrap(50))
    assert found.low < truth < found.high
    found = conditional_entropy(y, x, KozachenkoLeonenko(), interval=Subsampling(n_resamples=30))
    assert found.low < truth < found.high
    assert found.quantity == "conditional entropy"


def test_refusals(rng: np.random.Generator) -> None:
    x = rng.normal(size=50)
    with pytest.raises(ModalityError, match=r"one row each.*'x': 50.*'y': 49"):
        mutual_information(x, x[:49], KSG())
    with pytest.raises(ModalityError, match="y needs finite numbers"):
        mutual_information(x, np.full(50, np.nan), KSG())
    with pytest.raises(ModalityError, match="x needs at least two rows"):
        entropy(x[:1], Gaussian())
    for method in (KSG(), Ross()):
        with pytest.raises(ModalityError, match=r"repeats rows, whose distance is 0. Use Subsampling"):
            mutual_information(x, (x > 0).astype(int), method, interval=Bootstrap())
    with pytest.raises(ModalityError, match="repeats rows"):
        entropy(x, KozachenkoLeonenko(), interval=Bootstrap())

"""Calibration error and temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.evaluation import best_temperature, calibration_error, log_loss


def test_by_hand() -> None:
    confidence = np.array([0.55, 0.6, 0.95, 0.9])
    right = np.array([True, False, True, True])
    expected = (abs(1 - 1.15) + abs(2 - 1.85)) / 4  # two bins of two rows
    assert calibration_error(confidence, right, bins=4) == pytest.approx(expected)


def test_relations_of_the_error(rng) -> None:
    confidence, right = rng.uniform(size=200), rng.uniform(size=200) < 0.7
    assert calibration_error(np.ones(200), right) == pytest.approx(1 - right.mean())
    one = calibration_error(confidence, right, bins=1)
    assert one == pytest.approx(abs(right.mean() - confidence.mean()))
    assert calibration_error(confidence, right, bins=9) >= one


def test_relations_of_the_loss(rng) -> None:
    from sklearn.metrics import log_loss as peer

    z, y = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    assert log_loss(np.zeros((50, 4)), y) == pytest.approx(math.log(4))
    p = np.exp(z / 0.3) / np.exp(z / 0.3).sum(1, keepdims=True)
    assert log_loss(z, y, temperature=0.3) == pytest.approx(peer(y, p, labels=range(4)))


def test_temperature_is_found(rng) -> None:
    z = rng.normal(size=(4000, 3))
    p = np.exp(z / 0.25) / np.exp(z / 0.25).sum(1, keepdims=True)
    y = (rng.uniform(size=(4000, 1)) > p.cumsum(1)).sum(1).clip(0, 2)
    found = best_temperature(z, y)
    assert found == pytest.approx(0.25, rel=0.08)
    assert best_temperature(3 * z, y) == pytest.approx(3 * found, rel=1e-4)
    for other in (0.95 * found, 1.05 * found):
        assert log_loss(z, y, temperature=other) > log_loss(z, y, temperature=found)


def test_bad_input() -> None:
    with pytest.raises(ModalityError, match="one answer per row"):
        calibration_error(np.array([0.5]), np.array([True, False]))
    with pytest.raises(ModalityError, match=r"\[0, 1\], got 3"):
        calibration_error(np.array([3.0]), np.array([True]))
    with pytest.raises(ModalityError, match="below 2"):
        best_temperature(np.zeros((2, 2)), np.array([0, 2]))

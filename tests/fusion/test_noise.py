"""Noise of a channel, known or measured; what it tells of y is its signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities, Ragged
from polymodal.core.errors import ModalityError
from polymodal.fusion.noise import (
    channel_variance,
    difference_noise,
    learn_channels,
    measured_noise,
    picture_noise,
    signal_to_noise,
)


def test_white_noise_on_a_line_and_on_a_plane(rng: np.random.Generator) -> None:
    line = np.linspace(0, 50, 20_000)[:, None] * np.array([[1.0, -3.0]])
    noise = difference_noise(line + rng.normal(0, [0.5, 2.0], line.shape))
    np.testing.assert_allclose(noise, [0.25, 4.0], rtol=0.05)
    np.testing.assert_allclose(difference_noise(line), 0, atol=1e-20)
    plane = np.add.outer(np.arange(150.0), 2 * np.arange(150.0))[..., None]
    np.testing.assert_allclose(picture_noise(plane + rng.normal(0, 3.0, plane.shape)), [9.0], rtol=0.05)


def test_too_short_to_tell() -> None:
    assert np.isnan(difference_noise(np.zeros((2, 1)))).all()
    assert np.isnan(picture_noise(np.zeros((2, 5, 1)))).all()
    data = Modalities({"a": Ragged.of([np.zeros((2, 1)), np.ones((1, 1))])})
    with pytest.raises(ModalityError, match="at least 3 steps.*'a'"):
        learn_channels(data, None)


def test_each_row_by_itself_and_shared_values_once(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(5, 8, 8)), "b": Ragged.of(list(rng.normal(size=(5, 9, 2))))})
    for _, column in data.items():
        found = measured_noise(column[np.array([0, 2, 2, 4])])
        np.testing.assert_array_equal(found[1], found[2])
        np.testing.assert_array_equal(found[[0]], measured_noise(column[np.array([0])]))
    assert np.isnan(measured_noise(data.without("b", [1])["b"])[1]).all()


def test_variance_is_over_all_steps(rng: np.random.Generator) -> None:
    steps = [rng.normal(i, 1.0, size=(3 + i, 2)) for i in range(5)]
    variance = channel_variance(Modalities({"a": Ragged.of(steps)})["a"])
    np.testing.assert_allclose(variance, np.vstack(steps).var(axis=0))


def test_ratios_with_known_noise(rng: np.random.Generator) -> None:
    """A loud channel of noise alone, a constant one, and one of ratio 9."""
    n = 40_000
    data = Modalities(
        {
            "loud": 100 * rng.normal(size=(n, 1)),
            "constant": np.ones((n, 1)),
            "clear": 3 * rng.normal(size=(n, 1)) + rng.normal(size=(n, 1)),
        }
    )
    learned = learn_channels(data, {"loud": 1e4, "constant": 1.0, "clear": 1.0})
    ratios = signal_to_noise(data.without("clear", [0]), learned)
    assert ratios["loud"].max() < 0.03
    np.testing.assert_array_equal(ratios["constant"], 0)
    assert ratios["clear"][0] == 0
    np.testing.assert_allclose(ratios["clear"][1:], 9, rtol=0.03)


def test_texts_are_refused() -> None:
    with pytest.raises(ModalityError, match="'a' is text"):
        learn_channels(Modalities({"a": ["x", "y"]}), {"a": 1.0})

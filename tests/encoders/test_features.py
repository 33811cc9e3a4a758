"""Fixed features against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.encoders.features import (
    colour_histogram,
    learn_vocabulary,
    picture_features,
    sequence_features,
    sound_features,
    text_counts,
)


def test_pictures_are_averaged_exactly(rng) -> None:
    x = rng.random((2, 32, 48))
    by_hand = x.reshape(2, 16, 2, 16, 3).mean(axis=(2, 4)).reshape(2, -1)
    np.testing.assert_allclose(picture_features(x), by_hand)
    small = rng.random((2, 5, 7))
    np.testing.assert_allclose(picture_features(small), small.reshape(2, -1))
    np.testing.assert_allclose(picture_features(np.ones((1, 23, 31))), 1)  # shares of pixels add up


def test_bytes_are_0_to_1() -> None:
    assert picture_features(np.full((1, 4, 4), 255, np.uint8)).max() == 1


def test_colour_histogram_of_pure_colours() -> None:
    pixels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=float).reshape(1, 2, 2, 3)
    shares = colour_histogram(pixels)[0] ** 2
    assert shares.sum() == pytest.approx(1)
    assert sorted(shares[shares > 0]) == pytest.approx([0.25, 0.25, 0.5])


def test_sequences() -> None:
    s = Ragged.of([np.array([[0.0], [1], [2]]), np.zeros((0, 1)), np.array([[5.0]])])
    f = sequence_features(s)
    np.testing.assert_allclose(f[0, :5], [1, np.sqrt(2 / 3), 0, 2, 1])
    np.testing.assert_allclose(f[0, 5:13], np.linspace(0, 2, 8))
    assert f[0, 13] == pytest.approx(np.log(3))
    assert (f[1] == 0).all()
    np.testing.assert_allclose(f[2, [0, 1, 4, 12]], [5, 0, 0, 5])


def test_tones_of_different_pitch_differ_in_their_bands() -> None:
    t = np.arange(1600) / 8000
    sounds = Ragged.of([np.sin(2 * np.pi * f * t).astype(np.float32) for f in (200, 2000)], rate=8000.0)
    f = sound_features(sounds)[:, :32]
    assert f[0].argmax() < f[1].argmax()
    with pytest.raises(ModalityError, match="samples per second"):
        sound_features(Ragged.of([np.zeros(9, np.float32)]))


def test_vocabulary_and_counts() -> None:
    texts = ["red cat", "red dog", "blue"]
    vocabulary = learn_vocabulary(texts, 100)
    assert vocabulary["words"] == ["red"]  # what stands in one text only says nothing about others
    counts = text_counts(["red red red", "green"], {"words": ["red"], "pieces": []})
    np.testing.assert_allclose(counts.todense(), [[1 + np.log(3)], [0]])
    assert learn_vocabulary(["cat", "dog"], 100)["words"] == ["cat", "dog"]
    assert learn_vocabulary(["!!", "??"], 100)["words"] == []

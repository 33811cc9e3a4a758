from __future__ import annotations

import numpy as np

from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.interactions._noise import add_noise


def test_noise_of_numbers_has_the_spread_asked_for(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4000, 2)) * [1, 100]
    data = (
        Modalities({"vector": x})["vector"],
        Modalities({"sequence": Ragged.of(np.split(x, 40))})["sequence"],
    )
    for column in data:
        noisy = add_noise(column, 0.5, rng).values()
        change = (noisy if isinstance(noisy, np.ndarray) else noisy.values) - x
        np.testing.assert_allclose(change.std(axis=0), 0.5 * x.std(axis=0), rtol=0.05)
    constant = Modalities({"c": np.ones((5, 2))})["c"]
    np.testing.assert_array_equal(add_noise(constant, 3, rng).values(), 1)


def test_pictures_stay_pictures(rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 256, size=(6, 5, 5, 3), dtype=np.uint8)
    noisy = add_noise(Modalities({"p": pictures})["p"], 1.0, rng)
    assert (noisy.kind, noisy.values().dtype, noisy.values().shape) == ("grid", np.uint8, pictures.shape)
    assert (noisy.values() != pictures).any()
    sounds = Modalities({"s": Ragged.of([rng.uniform(-1, 1, 50) for _ in range(4)], rate=100.0)})["s"]
    heard = add_noise(sounds, 2.0, rng)
    assert heard.kind == "sound"
    assert np.abs(heard.values().values).max() <= 1


def test_words_are_dropped_never_all(rng: np.random.Generator) -> None:
    texts = Modalities({"t": ["a b c d e f g h i j"] * 200 + ["alone"]})["t"]
    counts = [len(t.split()) for t in add_noise(texts, 0.3, rng).values()]
    assert abs(np.mean(counts[:-1]) - 7) < 0.3
    assert [len(t.split()) for t in add_noise(texts, 5.0, rng).values()] == [1] * 201


def test_what_went_in_is_left_alone(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 2))
    before = x.copy()
    add_noise(Modalities({"v": x})["v"], 1.0, rng)
    np.testing.assert_array_equal(x, before)

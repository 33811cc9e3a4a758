from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.core.errors import ModalityError
from polymodal.evaluation import Interval
from polymodal.fusion import LateFusion
from polymodal.interactions import Curve, robustness_curves


def _fitted(rng: np.random.Generator) -> tuple[LateFusion, Modalities, np.ndarray]:
    y = np.arange(120) % 2
    data = Modalities(
        {"a": 2 * y[:, None] + rng.normal(size=(120, 1)), "b": y[:, None] + rng.normal(size=(120, 2))}
    )
    return LateFusion("product").fit(data, y), data, y


def _curve(*values: float, step: float = 0.1) -> Curve:
    return Curve(tuple(step * k for k in range(len(values))), tuple(Interval(v, v, v, 0.95) for v in values))


def test_areas_in_closed_form() -> None:
    """MultiBench's two measures: a trapezoid area, and what is left after moving the other model's curve to the same start."""
    falling, steeper = _curve(1.0, 0.8, 0.6), _curve(0.9, 0.6, 0.3)
    assert falling.area() == pytest.approx(0.1 * (0.9 + 0.7))
    assert falling.effective(steeper) == pytest.approx(0 + (0.8 - 0.7) + (0.6 - 0.4))
    assert falling.effective(falling) == 0
    with pytest.raises(ModalityError, match="same levels"):
        falling.effective(_curve(1.0, 0.5))


def test_the_ends_of_the_curves(rng: np.random.Generator) -> None:
    model, data, y = _fitted(rng)
    found = robustness_curves(model, data, y, noise=(0, 1, 1000))
    for name in ("a", "b"):
        other = {"a": "b", "b": "a"}[name]
        assert found.noise[name].values[0] == found.absence[name].values[0] == model.score(data, y)
        assert found.absence[name].values[-1] == model.score(data.select(other), y)
        assert found.noise[name].values[-1] < found.noise[name].values[0]
    assert found.noise["a"].values[-1] == pytest.approx(
        0.5, abs=0.1
    )  # told something false, the model is lost
    assert found.absence["a"].values[-1] > 0.6  # told nothing, it uses the other one
    assert found.baseline == 0.5
    assert "| a, absence |" in str(found)


def test_a_modality_that_is_not_used_harms_nothing(rng: np.random.Generator) -> None:
    class First:
        def predict(self, data: Modalities) -> np.ndarray:
            return np.asarray(data["a"].values()[:, 0] > 1)

    _, data, y = _fitted(rng)
    found = robustness_curves(First(), data, y == 1)
    assert set(found.noise["b"].values) == {found.noise["b"].values[0]}
    assert found.absence == {}  # a foreign model is not asked about absence
    assert found.noise["a"].values[-1] < found.noise["a"].values[0]


def test_the_picture_shows_noise_and_absence(rng: np.random.Generator) -> None:
    import matplotlib.pyplot as plt

    model, data, y = _fitted(rng)
    left, right = robustness_curves(model, data, y, n_draws=1).plot()
    assert (len(left.lines), len(right.lines)) == (3, 3)
    plt.close("all")


def test_bad_levels_are_named(rng: np.random.Generator) -> None:
    model, data, y = _fitted(rng)
    for levels in ((0.5, 1.0), (0.0,), (0.0, 1.0, 1.0)):
        with pytest.raises(ModalityError, match="noise needs two levels or more"):
            robustness_curves(model, data, y, noise=levels)
    with pytest.raises(ModalityError, match="absence needs .* at most 1"):
        robustness_curves(model, data, y, absence=(0.0, 2.0))
    with pytest.raises(ModalityError, match="n_draws"):
        robustness_curves(model, data, y, n_draws=0)


def test_pictures_and_recordings_of_digits(real_data: Path) -> None:
    folder = real_data / "av_digits"
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as raw:
        pictures = (
            np.frombuffer(raw.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:, ::2, ::2].reshape(-1, 196)
        )
    file = np.load(folder / "fsdd_audio.npz")
    samples, offsets = file["samples"], file["offsets"]

    def spectrum(clip: int) -> np.ndarray:
        sound = samples[offsets[clip] : offsets[clip + 1]].astype(float)
        parts = [np.abs(np.fft.rfft(part, 256))[:40] for part in np.array_split(sound, 6)]
        return np.log1p(np.concatenate(parts))

    def read(split: str, n: int) -> tuple[Modalities, np.ndarray]:
        with (folder / f"pairs_{split}.csv").open() as table:
            rows = list(csv.DictReader(table))[:n]
        image = pictures[[int(r["mnist_index"]) for r in rows]].astype(float)
        sound = np.stack([spectrum(int(r["fsdd_index"])) for r in rows])
        return Modalities({"image": image, "sound": sound}), np.array([r["label"] for r in rows])

    model = LateFusion("product").fit(*read("train", 500))
    found = robustness_curves(model, *read("test", 150), noise=(0, 2), absence=(0, 1), n_draws=1)
    noise, absence = found.noise["sound"].values, found.absence["sound"].values
    assert noise[0] == absence[0] > 0.9
    assert noise[1] < absence[1] - 0.15  # noise that the model believes is worse than silence

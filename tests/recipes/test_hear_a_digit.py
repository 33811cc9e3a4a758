"""Hear a digit, see the digit: a few made sounds and pictures through it."""

from __future__ import annotations

import gzip
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("hear_a_digit")


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Digits that are bars at ten places, and tones of ten pitches, of two speakers; 200 pairs to learn from, 40 to ask."""
    labels = np.arange(240) % 10
    pictures = rng.integers(0, 40, size=(240, 28, 28), dtype=np.uint8)
    for picture, digit in zip(pictures, labels, strict=True):
        picture[:, 2 * digit + 4 : 2 * digit + 7] = 200
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz", "wb") as file:
        file.write(bytes(16) + pictures.tobytes())
    times = np.arange(800) / 8000
    tones = [
        np.sin(2 * np.pi * (300 + 300 * digit) * times) + 0.02 * rng.normal(size=800) for digit in labels
    ]
    np.savez(
        tmp_path / "fsdd_audio.npz",
        samples=(np.concatenate(tones) * 20000).astype(np.int16),
        offsets=np.arange(241) * 800,
        label=labels,
        speaker=(np.arange(240) // 10) % 2,
        speaker_names=np.array(["anna", "theo"]),
    )
    for split, rows in (("train", range(200)), ("test", range(200, 240))):
        lines = [f"{i},{i},{labels[i]}" for i in rows]
        (tmp_path / f"pairs_{split}.csv").write_text(
            "\n".join(["mnist_index,fsdd_index,label", *lines]) + "\n"
        )
    return tmp_path


def test_pairs_share_their_label_and_a_speaker_can_be_held_out(recipe: Any, folder: Path) -> None:
    train, y, test, y_test = recipe.read(folder, None)
    assert (len(train), len(test)) == (200, 40)
    bars = test["picture"].values().reshape(-1, 28, 28)[:, 0]
    np.testing.assert_array_equal((bars.argmax(axis=1) - 4) // 2, y_test)
    assert not set(test["sound"].index) & set(train["sound"].index)
    train, y, test, y_test = recipe.read(folder, "theo")
    assert (len(train), len(y), len(test)) == (100, 100, 120)


def test_spectra_do_not_depend_on_loudness(recipe: Any, rng: np.random.Generator) -> None:
    samples = (rng.normal(size=1600) * 5000).astype(np.int16)
    found = recipe.spectra(np.concatenate([samples, samples // 4]), np.array([0, 1600, 3200]))
    assert found.shape == (2, recipe.FRAMES * recipe.BANDS)
    np.testing.assert_allclose(found[0], found[1], atol=0.05)
    assert found.max() == 0


def test_spread_is_the_variance_within_digits(recipe: Any) -> None:
    labels = np.repeat(np.arange(10), 2)
    pictures = np.stack([labels + np.tile([1.0, -1.0], 10), 5.0 * labels], axis=1)
    assert recipe.spread(pictures, labels) == pytest.approx(1)


def test_it_prints_and_draws(
    recipe: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "drawn.png"
    arguments = ["hear_a_digit.py", str(folder), "--methods", "MMVAE", "--epochs", "4", "--speaker", "theo"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(file)])
    recipe.main()
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[0] == "MMVAE"
    assert all(0 <= float(share) <= 1 for share in line[1:4])
    assert file.stat().st_size > 1000

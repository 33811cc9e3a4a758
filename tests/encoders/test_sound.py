from collections.abc import Callable

import numpy as np
import pytest
import torch

from polymodal.core import Modality, Ragged
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import EncoderModule, SoundEncoder
from polymodal.encoders.sound import Spectrogram, mel_filters

RATE = 4000.0
RECIPE = SoundEncoder(bands=8, width=8, depth=1)


def sounds(rng: np.random.Generator) -> Modality:
    return Modality(
        Ragged.of([0.1 * rng.normal(size=n) for n in (900, 30, 0, 2500, 1)], rate=RATE), np.arange(5)
    )


def test_contract(check_encoder: Callable[..., EncoderModule], rng: np.random.Generator) -> None:
    modality = sounds(rng)
    module = check_encoder(RECIPE, modality)
    batch = module.collate(modality.store)
    assert batch["mask"].sum(1).tolist() == [21, 1, 0, 61, 1]
    poisoned = {**batch, "frames": batch["frames"].masked_fill(~batch["mask"][..., None], 1e9)}
    with torch.no_grad():
        assert torch.equal(module(poisoned), module(batch))


@pytest.mark.parametrize("frequency", [220.0, 700.0, 1500.0])
def test_a_tone_is_loudest_in_its_own_band(frequency: float) -> None:
    spectrogram = Spectrogram(RATE, window=200, hop=100, bands=20, max_samples=10_000)
    time = np.arange(4000) / RATE
    frames = spectrogram(Ragged.of([np.sin(2 * np.pi * frequency * time)], rate=RATE))[0]
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + RATE / 1400), 22) / 2595) - 1)
    nearest = int(np.abs(corners[1:-1] - frequency).argmin())
    assert (np.abs(frames.argmax(1) - nearest) <= 1).all()


def test_power_equals_scipys(rng: np.random.Generator) -> None:
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    samples = rng.normal(size=1000)
    spectrogram = Spectrogram(RATE, window=128, hop=64, bands=6, max_samples=10_000)
    transform = ShortTimeFFT(hann(128, sym=False), hop=64, fs=RATE, mfft=128)
    power = np.abs(transform.stft(samples, p0=1, p1=1 + (1000 - 128) // 64 + 1)) ** 2
    expected = np.log(np.maximum(mel_filters(6, 128, RATE) @ power, 1e-6)).T
    np.testing.assert_allclose(
        spectrogram(Ragged.of([samples], rate=RATE))[0], expected, rtol=1e-4, atol=1e-4
    )


def test_every_band_reads_something() -> None:
    for bands in (4, 40, 200):
        assert (mel_filters(bands, 256, 16_000.0).sum(1) > 0).all()


def test_another_rate_and_wrong_options_are_refused(rng: np.random.Generator) -> None:
    module = RECIPE.build(RECIPE.prepare(sounds(rng)), 2)
    with pytest.raises(ModalityError, match="4000 samples a second"):
        module.collate(Ragged.of([np.zeros(100)], rate=8000.0))
    with pytest.raises(ConfigError, match="hop_seconds"):
        SoundEncoder(hop_seconds=1.0)


def test_blocks_do_not_matter(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    import polymodal.encoders.sound as sound

    modality = sounds(rng)
    whole = RECIPE.spectrogram(RATE)(modality.store)
    monkeypatch.setattr(sound, "_BLOCK_SAMPLES", 1)
    np.testing.assert_allclose(RECIPE.spectrogram(RATE)(modality.store).values, whole.values, rtol=1e-5)

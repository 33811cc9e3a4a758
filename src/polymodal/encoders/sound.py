"""Sounds: log-mel spectrograms through convolutions along time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Float, Kind
from polymodal.encoders.base import (
    EncoderModule,
    PooledModule,
    check_kind,
    check_numbers,
    mean_and_scale,
    value_blocks,
)
from polymodal.nn.attention import trim
from polymodal.nn.convolution import ResidualConv1d
from polymodal.nn.pooling import AttentionPool

_SAMPLE = 512  # sounds read to learn the mean and scale of the mel bands
_BLOCK_SAMPLES = 1 << 23  # samples transformed together: keeps the complex spectra small


def mel_filters(bands: int, n_fft: int, rate: float) -> Float[np.ndarray, "bands bins"]:
    r"""Triangles whose corners are evenly spaced in mel, $m = 2595 \log_{10}(1 + f/700)$, from 0 to `rate` / 2 Hz.

    A band narrower than one bin reads the bin nearest to its centre.
    """
    frequencies = np.linspace(0, rate / 2, n_fft // 2 + 1)
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2) / 2595) - 1)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters = np.maximum(
        0, np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre))
    )
    empty = np.flatnonzero(filters.sum(1) == 0)
    filters[empty, np.abs(frequencies - centre[empty]).argmin(1)] = 1.0
    filled: np.ndarray = filters
    return filled


@dataclass(frozen=True)
class Spectrogram:
    """How samples become log-mel frames: windows of `window` samples, `hop` samples apart, `bands` mel bands."""

    rate: float
    window: int
    hop: int
    bands: int
    max_samples: int

    def __call__(self, sounds: Ragged) -> Ragged:
        """A `Ragged` of (frames, bands) log-mel energies. Only whole windows count; a shorter sound is filled up to one."""
        if sounds.rate != self.rate:
            raise ModalityError(
                f"Sounds had {self.rate:g} samples a second in training, got {sounds.rate}. Resample them "
                f"(Files with AudioReader(sample_rate={self.rate:.0f}) does)."
            )
        lengths = np.minimum(sounds.lengths, self.max_samples)
        frames = np.where(lengths > 0, 1 + np.maximum(lengths - self.window, 0) // self.hop, 0)
        offsets = np.concatenate([[0], np.cumsum(frames)]).astype(np.int64)
        out = np.empty((int(offsets[-1]), self.bands), dtype=np.float32)
        longest = max(self.window, int(lengths.max(initial=0)))
        size = max(1, _BLOCK_SAMPLES // longest)
        for start in range(0, len(sounds), size):
            rows = slice(start, min(start + size, len(sounds)))
            samples, _ = sounds[rows].pad(longest)
            energies = self._log_mel(torch.from_numpy(samples.astype(np.float32)))
            real = np.arange(energies.shape[1]) < frames[rows, None]
            out[offsets[rows.start] : offsets[rows.stop]] = energies.numpy()[real]
        return Ragged(out, offsets)

    def _log_mel(self, samples: Float[Tensor, "u n"]) -> Float[Tensor, "u frames bands"]:
        n_fft = 1 << (self.window - 1).bit_length()
        framed = samples.unfold(1, self.window, self.hop) * torch.hann_window(self.window)
        power = torch.fft.rfft(framed, n=n_fft).abs().square()
        mel = power @ torch.from_numpy(mel_filters(self.bands, n_fft, self.rate).T.astype(np.float32))
        logarithms: Tensor = mel.clamp(min=1e-6).log()
        return logarithms


class SoundModule(PooledModule):
    """Standardised log-mel frames in pairs, residual convolutions along time, attention pooling."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: SoundEncoder) -> None:
        super().__init__()
        self.dim = dim
        self._mean, self._scale = np.asarray(settings["mean"]), np.asarray(settings["scale"])
        self._spectrogram = recipe.spectrogram(settings["rate"])
        self.embed = nn.Linear(2 * recipe.bands, recipe.width)  # two successive frames are one step
        self.blocks = nn.ModuleList(
            ResidualConv1d(recipe.width, dropout=recipe.dropout) for _ in range(recipe.depth)
        )
        self.norm = nn.LayerNorm(recipe.width)
        self.pool = AttentionPool(recipe.width)
        self.head = nn.Linear(recipe.width, dim)

    def collate(self, values: Any) -> dict[str, Tensor]:
        """A `Ragged` of samples -> standardised log-mel frames (u, frames, bands) and a mask."""
        frames = self._spectrogram(values)
        standard = ((frames.values - self._mean) / self._scale).astype(np.float32)
        padded, mask = Ragged(standard, frames.offsets).pad(max(1, int(frames.lengths.max(initial=0))))
        return {"frames": torch.from_numpy(padded), "mask": torch.from_numpy(mask)}

    def states(self, batch: Any) -> tuple[Tensor, Tensor]:
        """What the convolutions make of each pair of frames."""
        t = trim(batch["mask"])
        mask = batch["mask"][:, :t]
        x = batch["frames"][:, :t].masked_fill(~mask[..., None], 0.0)
        x = nn.functional.pad(x, (0, 0, 0, t % 2))
        mask = mask[:, ::2]
        x = self.embed(x.reshape(len(x), mask.shape[1], -1))
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), mask

    def token_seconds(self, batch: Any) -> Tensor:
        """Two hops: a token is a pair of frames."""
        frames: Tensor = batch["frames"]
        return frames.new_full((len(frames),), 2 * self._spectrogram.hop / self._spectrogram.rate)


@dataclass(frozen=True)
class SoundEncoder:
    """Log-mel spectrograms through residual convolutions along time.

    The number of samples a second is read off the store; sounds of another rate are refused.

    Args:
        bands: Mel bands.
        window_seconds: Length of a window.
        hop_seconds: From one window to the next.
        width: Features of a step; a multiple of 4.
        depth: Convolutions along time.
        max_seconds: What follows is not read.
        dropout: Share of features dropped while training, in [0, 1).
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"sound"})

    bands: int = 64
    window_seconds: float = 0.025
    hop_seconds: float = 0.01
    width: int = 128
    depth: int = 3
    max_seconds: float = 30.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, positive=("bands", "width", "depth"), dropout=self.dropout)
        if not 0 < self.hop_seconds <= self.window_seconds <= self.max_seconds:
            raise ConfigError(
                "SoundEncoder needs 0 < hop_seconds <= window_seconds <= max_seconds, got "
                f"{self.hop_seconds}, {self.window_seconds}, {self.max_seconds}."
            )
        if self.width % 4:
            raise ConfigError(f"SoundEncoder needs a width that is a multiple of 4, got {self.width}.")

    def spectrogram(self, rate: float) -> Spectrogram:
        """The transform at so many samples a second."""
        window = max(2, round(self.window_seconds * rate))
        return Spectrogram(
            rate,
            window,
            max(1, round(self.hop_seconds * rate)),
            self.bands,
            max(window, int(self.max_seconds * rate)),
        )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Samples a second, and the mean and scale of each mel band."""
        check_kind(self, modality)
        rates: list[float] = []

        def frames() -> Iterator[np.ndarray]:
            for block in value_blocks(modality, most=_SAMPLE, size=64):
                rates.append(float(block.rate))
                yield self.spectrogram(rates[0])(block).values

        mean, scale = mean_and_scale(frames())
        if len(mean) != self.bands:  # every sound is empty
            mean, scale = [0.0] * self.bands, [1.0] * self.bands
        return {"rate": rates[0], "mean": mean, "scale": scale}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return SoundModule(settings, dim, self)

"""Numbers and places as features that a linear layer can read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polymodal.core.typing import Float


def sine_positions(
    positions: Float[Tensor, "*shape"], dim: int, *, longest: float = 10_000.0
) -> Float[Tensor, "*shape d"]:
    r"""Sines and cosines of each position at `dim / 2` wavelengths from $2\pi$ to $2\pi\,$`longest` (Vaswani et al. 2017).

    Relations:
        * the inner product of two positions depends on their difference alone.
    """
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=positions.device) * (-math.log(longest) / max(half - 1, 1)))
    angles = positions[..., None] * rates.to(positions.dtype)
    features = torch.cat([angles.sin(), angles.cos()], dim=-1)
    return nn.functional.pad(features, (0, dim - 2 * half))


class FourierFeatures(nn.Module):
    r"""$x \to (x, \sin 2^k x, \cos 2^k x)_{k < K}$: fine detail of coordinates for a network that prefers slow functions.

    Args:
        frequencies: K; 0 leaves x as it is.

    References: Tancik et al. 2020, with the fixed frequencies of Mildenhall et al. 2020.
    """

    def __init__(self, frequencies: int = 4) -> None:
        super().__init__()
        self.frequencies = frequencies

    def width(self, features: int) -> int:
        """Features of the result for inputs of so many features."""
        return features * (1 + 2 * self.frequencies)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch k"]:
        """Add the features on the last axis."""
        rates = 2.0 ** torch.arange(self.frequencies, device=x.device, dtype=x.dtype)
        angles = (x[..., None] * rates).flatten(-2)
        return torch.cat([x, angles.sin(), angles.cos()], dim=-1)

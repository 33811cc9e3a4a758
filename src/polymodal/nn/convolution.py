"""Residual convolutions whose result for an item does not depend on the other items of its batch."""

from __future__ import annotations

import math

from torch import Tensor, nn

from polymodal.core.typing import Bool, Float


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation over up to eight groups of at least four channels: unlike a batch norm, each item stands alone."""
    return nn.GroupNorm(math.gcd(8, max(1, channels // 4)), channels)


class ResidualConv2d(nn.Module):
    """Two 3 x 3 convolutions with group normalisation, added to their input (He et al. 2016; Wu and He 2018).

    Args:
        n_in: Channels of the input.
        n_out: Channels of the result.
        stride: 2 halves height and width.
    """

    def __init__(self, n_in: int, n_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm_first = group_norm(n_out)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norm_second = group_norm(n_out)
        same = n_in == n_out and stride == 1
        self.skip: nn.Module = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "u c h w"]) -> Float[Tensor, "u k i j"]:
        """One feature map per item; pictures of one pixel work too."""
        inner = self.norm_second(self.second(self.activation(self.norm_first(self.first(x)))))
        result: Tensor = self.activation(inner + self.skip(x))
        return result


class ResidualConv1d(nn.Module):
    """A wide convolution of each channel along time, then two layers on each step, added to the input (Liu et al. 2022).

    Args:
        dim: Features of a step.
        kernel: Steps the convolution sees; odd.
        dropout: Share of features dropped while training, in [0, 1).

    Relations:
        * padding never enters: an item alone gives what it gives among longer ones.
    """

    def __init__(self, dim: int, *, kernel: int = 7, dropout: float = 0.0) -> None:
        super().__init__()
        self.along = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.step = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )

    def forward(self, x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u t d"]:
        """Steps where `mask` is False count as zeros."""
        there = x.masked_fill(~mask[..., None], 0.0)
        result: Tensor = there + self.step(self.norm(self.along(there.transpose(1, 2)).transpose(1, 2)))
        return result

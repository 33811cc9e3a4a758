"""From a vector to a picture of fixed size: a small map that is doubled until it is large enough."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from polymodal.core.typing import Float
from polymodal.nn.convolution import group_norm

_START = 8  # the first map is at most so many cells high and wide


class Deconvolution2d(nn.Module):
    """A linear map to a coarse grid, then transposed convolutions that each double it (Radford et al. 2016), cut to size.

    Args:
        n_in: Features of a vector.
        channels: Of the picture.
        size: Height and width of the picture in pixels.
        width: Channels of the last map; each map before has twice as many, at most 4 times in all.

    Complexity:
        About 13 million multiplications for a 28 x 28 picture at width 32.

    Relations:
        * pictures of up to 8 x 8 are one linear map and one convolution.
    """

    def __init__(self, n_in: int, channels: int, size: tuple[int, int], *, width: int = 32) -> None:
        super().__init__()
        self.size = size
        steps = 0
        while -(-max(size) // 2**steps) > _START:
            steps += 1
        self.coarse = tuple(-(-side // 2**steps) for side in size)
        widths = [width * 2 ** min(2, steps - i) for i in range(steps + 1)]
        self.grid = (widths[0], *self.coarse)
        self.start = nn.Linear(n_in, math.prod(self.grid))
        layers: list[nn.Module] = [group_norm(widths[0]), nn.ReLU(inplace=True)]
        for before, after in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                group_norm(after),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.Conv2d(width, channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Float[Tensor, "u n_in"]) -> Float[Tensor, "u h w c"]:
        """One picture per vector, channels last."""
        grid = self.start(codes).view(len(codes), *self.grid)
        h, w = self.size
        picture: Tensor = self.layers(grid)[:, :, :h, :w]
        return picture.permute(0, 2, 3, 1)

"""The residual network of the published CLIP models, pooled by attention."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.typing import Float
from polymodal.encoders.clip_dimensions import ImageDimensions


class Bottleneck(nn.Module):
    """Three convolutions around a shortcut; a stride is an average of neighbours before a convolution (He et al. 2019)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.avgpool: nn.Module = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(
                OrderedDict(
                    [
                        ("-1", nn.AvgPool2d(stride)),
                        ("0", nn.Conv2d(channels, out, 1, bias=False)),
                        ("1", nn.BatchNorm2d(out)),
                    ]
                )
            )
        nn.init.zeros_(self.bn3.weight)  # each block starts as its shortcut

    def forward(self, x: Float[Tensor, "u c h w"]) -> Float[Tensor, "u k i j"]:
        """The shortcut and what the convolutions add."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(self.avgpool(y)))
        return functional.relu(y + self.downsample(x), inplace=True)


class AttentionPool2d(nn.Module):
    """One head-wise attention of the mean of a map to the map, without the last projection."""

    def __init__(self, side: int, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        spread = features**-0.5
        self.positional_embedding = nn.Parameter(spread * torch.randn(side**2 + 1, features))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(features, features) for _ in range(3))
        for layer in (self.q_proj, self.k_proj, self.v_proj):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "u c h w"]) -> Float[Tensor, "u c"]:
        """One vector per picture."""
        steps = x.flatten(2).transpose(1, 2)
        steps = torch.cat([steps.mean(1, keepdim=True), steps], dim=1) + self.positional_embedding
        u, t, c = steps.shape
        q = self.q_proj(steps[:, :1]).view(u, 1, self.heads, -1).transpose(1, 2)
        k, v = (
            layer(steps).view(u, t, self.heads, -1).transpose(1, 2) for layer in (self.k_proj, self.v_proj)
        )
        return functional.scaled_dot_product_attention(q, k, v).reshape(u, c)


class CLIPResNet(nn.Module):
    """Three convolutions, four stages of bottlenecks, attention pooling (Radford et al. 2021, section 2.4)."""

    def __init__(self, dimensions: ImageDimensions) -> None:
        super().__init__()
        assert isinstance(dimensions.layers, tuple)
        width = dimensions.width
        half = max(1, width // 2)
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        channels = width
        stages = []
        for i, blocks in enumerate(dimensions.layers):
            out, stride = width * 2**i, 1 if i == 0 else 2
            stages.append(
                nn.Sequential(
                    Bottleneck(channels, out, stride),
                    *(Bottleneck(4 * out, out, 1) for _ in range(blocks - 1)),
                )
            )
            channels = 4 * out
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.attnpool = AttentionPool2d(dimensions.resolution // 32, channels, dimensions.heads)

    def forward(self, pixels: Float[Tensor, "u 3 h w"]) -> Float[Tensor, "u d"]:
        """One vector per standardised picture of the tower's resolution, before the projection."""
        x = pixels
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = functional.relu(norm(conv(x)), inplace=True)
        x = self.avgpool(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        out: Tensor = self.attnpool(x)
        return out

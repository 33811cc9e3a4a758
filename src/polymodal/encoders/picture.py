"""Pictures: a small residual convolutional network, and a vision transformer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modality
from polymodal.core.typing import Float, Kind
from polymodal.encoders.base import (
    EncoderModule,
    PooledModule,
    check_heads,
    check_kind,
    check_numbers,
    mean_and_scale,
    value_blocks,
)
from polymodal.nn.attention import TransformerBlock
from polymodal.nn.convolution import ResidualConv2d, group_norm
from polymodal.nn.pooling import AttentionPool
from polymodal.nn.positions import sine_positions

_SAMPLE = 2048  # pictures read to learn the mean and scale of the channels


class PictureModule(EncoderModule):
    """What picture encoders share: bytes stay bytes until they are on the device, then channels are standardised."""

    def __init__(self, settings: Mapping[str, Any], dim: int, shift: int) -> None:
        super().__init__()
        self.dim, self.channels, self.shift = dim, int(settings["channels"]), shift
        self._mean, self._scale = np.asarray(settings["mean"]), np.asarray(settings["scale"])

    def collate(self, values: Any) -> Tensor:
        """(u, h, w[, c]) -> uint8 as it is, other numbers standardised in float64 and given as float32; (u, h, w, c)."""
        pictures = np.asarray(values)
        if pictures.ndim == 3:
            pictures = pictures[..., None]
        if pictures.shape[-1] != self.channels:
            raise ModalityError(
                f"Pictures had {self.channels} channels in training, got shape {pictures.shape[1:]}."
            )
        if pictures.dtype == np.bool_:
            pictures = pictures.view(np.uint8)
        if pictures.dtype == np.uint8:
            return torch.from_numpy(np.ascontiguousarray(pictures))
        return torch.from_numpy(((pictures - self._mean) / self._scale).astype(np.float32))

    def pixels(self, batch: Tensor) -> Tensor:
        """(u, h, w, c) -> (u, c, h, w) standardised, in channels-last memory; moved by up to `shift` pixels while training."""
        if batch.dtype == torch.uint8:
            mean = torch.as_tensor(self._mean, dtype=torch.float32, device=batch.device)
            scale = torch.as_tensor(self._scale, dtype=torch.float32, device=batch.device)
            batch = (batch.float() - mean) / scale
        if self.training and self.shift:
            batch = random_shift(batch, self.shift)
        return batch.permute(0, 3, 1, 2)


def cut_patches(pictures: Float[Tensor, "u c h w"], side: int) -> tuple[Float[Tensor, "u t p"], int, int]:
    """Square patches in reading order, zeros filled up at the right and the lower edge; and how many rows and columns of them."""
    u, channels, h, w = pictures.shape
    padded = nn.functional.pad(pictures, (0, -w % side, 0, -h % side))
    rows, columns = padded.shape[2] // side, padded.shape[3] // side
    cut = padded.reshape(u, channels, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(u, rows * columns, -1), rows, columns


def random_shift(pictures: Float[Tensor, "u h w c"], most: int) -> Float[Tensor, "u h w c"]:
    """Move each picture by up to `most` pixels in each direction; what leaves on one side repeats the edge of the other."""
    u, h, w, _ = pictures.shape
    down, right = torch.randint(-most, most + 1, (2, u, 1), device=pictures.device)
    rows = (torch.arange(h, device=pictures.device) + down).clamp(0, h - 1)
    columns = (torch.arange(w, device=pictures.device) + right).clamp(0, w - 1)
    items = torch.arange(u, device=pictures.device)[:, None, None]
    return pictures[items, rows[:, :, None], columns[:, None, :]]


def picture_settings(encoder: Any, modality: Modality) -> dict[str, Any]:
    """Channels, their mean and scale over training pictures, and the longer side in pixels."""
    check_kind(encoder, modality)
    shapes: list[tuple[int, ...]] = []

    def pixels() -> Iterator[np.ndarray]:
        for block in value_blocks(modality, most=_SAMPLE, size=256):
            shapes.append(block.shape[1:])
            yield block.reshape(-1, block.shape[3] if block.ndim == 4 else 1)

    if len(modality.shape) > 3:
        raise ModalityError(
            f"{type(encoder).__name__} encodes pictures (height, width) or (height, width, channels), got shape {modality.shape}. "
            "Reshape the values, or use ModuleEncoder with a network of your own."
        )
    mean, scale = mean_and_scale(pixels())
    return {"channels": len(mean), "mean": mean, "scale": scale, "side": max(shapes[0][:2])}


class ConvModule(PictureModule):
    """Stem, three residual stages that each halve the picture and double the channels, and a small map of averages."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: ConvEncoder) -> None:
        super().__init__(settings, dim, recipe.shift)
        stride = 2 ** max(
            0, round(math.log2(max(1, settings["side"]) / 16))
        )  # the first stage sees about 16 x 16
        width = recipe.width
        self.stem = nn.Sequential(
            nn.Conv2d(
                self.channels,
                width,
                max(3, 2 * stride - 1),
                stride=stride,
                padding=max(1, stride - 1),
                bias=False,
            ),
            group_norm(width),
            nn.ReLU(inplace=True),
        )
        widths = [width * 2**i for i in range(3)]
        stages: list[nn.Module] = []
        for i, out in enumerate(widths):
            stages.append(ResidualConv2d(widths[max(0, i - 1)], out, stride=1 if i == 0 else 2))
            stages += [ResidualConv2d(out, out) for _ in range(recipe.depth - 1)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(recipe.pool),
            nn.Flatten(),
            nn.Dropout(recipe.dropout),
            nn.Linear(recipe.pool**2 * widths[-1], dim),
        )

    def forward(self, batch: Float[Tensor, "u h w c"] | Any) -> Float[Tensor, "u dim"]:
        """One vector per picture, of any size."""
        out: Tensor = self.head(self.stages(self.stem(self.pixels(batch))))
        return out

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector per field of the pooled map, in reading order: its share in the vector of the picture, made as large as that.

        With pool=1, the one token is the vector.
        """
        linear = self.head[3]
        assert isinstance(linear, nn.Linear)
        fields = self.head[2](
            self.head[0](self.stages(self.stem(self.pixels(batch)))).flatten(2)
        )  # (u, channels, fields)
        weight = linear.weight.view(self.dim, fields.shape[1], -1)
        tokens = fields.shape[2] ** 0.5 * torch.einsum("ucf,dcf->ufd", fields, weight) + linear.bias
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


@dataclass(frozen=True)
class ConvEncoder:
    """A small residual convolutional network (He et al. 2016), with group normalisation so that each picture stands alone.

    Args:
        width: Channels of the first stage; the third has four times as many.
        depth: Residual blocks of each of the three stages.
        pool: The last map is averaged to so many fields in height and in width: where things stand is kept that finely.
        dropout: Share of pooled features dropped while training, in [0, 1).
        shift: While training, pictures are moved by up to so many pixels in each direction.

    Complexity:
        About 25 million multiplications for a 32 x 32 picture at width 32: 2 ms with gradients on one core.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"grid"})

    width: int = 32
    depth: int = 1
    pool: int = 4
    dropout: float = 0.0
    shift: int = 0

    def __post_init__(self) -> None:
        check_numbers(
            self, positive=("width", "depth", "pool"), not_negative=("shift",), dropout=self.dropout
        )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Channels, their mean and scale, and the longer side."""
        return picture_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return ConvModule(settings, dim, self)


class ViTModule(PooledModule, PictureModule):
    """Square patches as steps of a transformer; attention pooling."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: ViTEncoder) -> None:
        super().__init__(settings, dim, recipe.shift)
        patch = recipe.patch or max(1, settings["side"] // 8)
        self.patch = patch
        self.embed = nn.Linear(self.channels * patch * patch, recipe.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(recipe.width, heads=recipe.heads, dropout=recipe.dropout)
            for _ in range(recipe.depth)
        )
        self.norm = nn.LayerNorm(recipe.width)
        self.pool = AttentionPool(recipe.width, heads=recipe.heads)
        self.head = nn.Linear(recipe.width, dim)

    def states(self, batch: Any) -> tuple[Tensor, Tensor]:
        """What the blocks make of each patch, in reading order."""
        patches, rows, columns = cut_patches(self.pixels(batch), self.patch)
        steps = self.embed(patches)
        steps = steps + plane_positions(rows, columns, steps.shape[-1], steps.device).to(steps.dtype)
        mask = torch.ones(steps.shape[:2], dtype=torch.bool, device=steps.device)
        for block in self.blocks:
            steps = block(steps, mask)
        return self.norm(steps), mask


def plane_positions(rows: int, columns: int, dim: int, device: torch.device) -> Float[Tensor, "t d"]:
    """Half of the features say the row, half the column, of each cell in reading order."""
    half = dim // 2
    i = sine_positions(torch.arange(rows, dtype=torch.float32, device=device), half, longest=100.0)
    j = sine_positions(torch.arange(columns, dtype=torch.float32, device=device), dim - half, longest=100.0)
    return torch.cat(
        [i[:, None].expand(rows, columns, half), j[None].expand(rows, columns, dim - half)], dim=-1
    ).flatten(0, 1)


@dataclass(frozen=True)
class ViTEncoder:
    """A vision transformer (Dosovitskiy et al. 2021) with fixed positions, so that pictures of any size go in.

    Args:
        width: Features of a patch; a multiple of `heads`.
        depth: Transformer blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels; None is an eighth of the picture.
        dropout: Share of features dropped while training, in [0, 1).
        shift: While training, pictures are moved by up to so many pixels in each direction.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"grid"})

    width: int = 128
    depth: int = 4
    heads: int = 4
    patch: int | None = None
    dropout: float = 0.0
    shift: int = 0

    def __post_init__(self) -> None:
        check_numbers(
            self,
            positive=("width", "depth", "heads", *(() if self.patch is None else ("patch",))),
            not_negative=("shift",),
            dropout=self.dropout,
        )
        check_heads(self)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Channels, their mean and scale, and the longer side."""
        return picture_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return ViTModule(settings, dim, self)

"""Sequences step by step: each step (a vector or a picture) becomes a vector, with convolutions along time if wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.modalities import Modality
from polymodal.core.typing import Kind
from polymodal.encoders.base import EncoderModule, check_numbers
from polymodal.encoders.picture import ConvEncoder
from polymodal.encoders.sequence import SequenceModule, sequence_settings
from polymodal.nn.convolution import ResidualConv1d
from polymodal.nn.pooling import masked_mean


class StepModule(SequenceModule):
    """A linear layer or a small convolutional network on each step, then residual convolutions along time."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: StepEncoder) -> None:
        super().__init__(settings, dim, recipe.max_length)
        self.shape = tuple(int(side) for side in settings["shape"])
        if len(self.shape) < 2:
            self.embed: nn.Module = nn.Linear(math.prod(self.shape), dim)
        else:
            channels = self.shape[2] if len(self.shape) > 2 else 1
            plain = {"channels": channels, "mean": [0.0], "scale": [1.0], "side": max(self.shape[:2])}
            self.embed = ConvEncoder(width=recipe.picture_width, pool=2).build(plain, dim)
        self.along = nn.ModuleList(
            ResidualConv1d(dim, kernel=recipe.kernel) for _ in range(recipe.convolutions)
        )

    def collate(self, values: Any) -> dict[str, Tensor]:
        """As other sequences, and the seconds from one step to the next; 0 where the store has no rate."""
        collated = super().collate(values)
        kept = np.minimum(values.lengths, self.max_length)
        thinned = values.lengths / np.maximum(kept, 1)
        seconds = thinned / values.rate if values.rate else np.zeros(len(values))
        return {**collated, "seconds": torch.from_numpy(seconds.astype(np.float32))}

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector per step."""
        steps, mask = self.steps(batch)
        if len(self.shape) < 2:
            x = self.embed(steps)
        else:
            height, width, *channels = self.shape
            pictures = steps[mask].reshape(-1, height, width, *(channels or [1]))
            x = steps.new_zeros(*mask.shape, self.dim)
            if len(pictures):
                x = x.masked_scatter(mask[..., None], self.embed(pictures).to(x.dtype))
        for block in self.along:
            x = block(x, mask)
        return x, mask

    def token_seconds(self, batch: Any) -> Tensor:
        """Of each sequence, with the thinning of long ones."""
        seconds: Tensor = batch["seconds"]
        return seconds

    def forward(self, batch: Any) -> Tensor:
        """The mean of the steps' vectors; zeros of an empty sequence."""
        return masked_mean(*self.tokens(batch))


@dataclass(frozen=True)
class StepEncoder:
    """Each step of a sequence as one vector, for methods that read the steps themselves (`RecurrentFusion`).

    A step of one axis goes through a linear layer; a step that is a picture (height, width[, channels]) through a small
    convolutional network, so that a recurrent method on top is a CNN-RNN hybrid.

    Args:
        convolutions: Residual convolutions along time after that.
        kernel: Steps that each of them sees; odd.
        picture_width: Channels of the first stage for steps that are pictures.
        max_length: Steps read; longer sequences are thinned evenly.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence"})

    convolutions: int = 0
    kernel: int = 7
    picture_width: int = 8
    max_length: int = 1024

    def __post_init__(self) -> None:
        check_numbers(
            self, positive=("kernel", "picture_width", "max_length"), not_negative=("convolutions",)
        )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Mean and scale of each feature, and the shape of a step."""
        return {**sequence_settings(self, modality), "shape": list(modality.shape)}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return StepModule(settings, dim, self)

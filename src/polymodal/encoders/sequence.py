"""Sequences of different lengths: a recurrent network, and a transformer over groups of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Kind
from polymodal.encoders.base import (
    EncoderModule,
    PooledModule,
    check_heads,
    check_kind,
    check_numbers,
    mean_and_scale,
    value_blocks,
)
from polymodal.nn.attention import TransformerBlock, trim
from polymodal.nn.pooling import AttentionPool, masked_mean
from polymodal.nn.positions import sine_positions


def thin(sequences: Ragged, most: int) -> Ragged:
    """Leave at most `most` steps of each sequence, spread evenly over its length, so that its end is still seen. O(steps)."""
    lengths = sequences.lengths
    if lengths.max(initial=0) <= most:
        return sequences
    kept = np.minimum(lengths, most)
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], kept)
    steps = places * np.repeat(lengths, kept) // np.maximum(np.repeat(kept, kept), 1)
    return Ragged(sequences.values[np.repeat(sequences.offsets[:-1], kept) + steps], offsets, sequences.rate)


def sequence_settings(encoder: Any, modality: Modality) -> dict[str, Any]:
    """Mean and scale of each feature over all steps of the training sequences."""
    check_kind(encoder, modality)
    width = math.prod(modality.shape)
    mean, scale = mean_and_scale(block.values.reshape(-1, width) for block in value_blocks(modality))
    if len(mean) != width:  # every sequence is empty
        mean, scale = [0.0] * width, [1.0] * width
    return {"mean": mean, "scale": scale}


class SequenceModule(EncoderModule):
    """What sequence encoders share: standardised steps, padded, with a mask."""

    def __init__(self, settings: Mapping[str, Any], dim: int, max_length: int) -> None:
        super().__init__()
        self.dim, self.max_length = dim, max_length
        self._mean, self._scale = np.asarray(settings["mean"]), np.asarray(settings["scale"])

    def collate(self, values: Any) -> dict[str, Tensor]:
        """A `Ragged` -> standardised float32 steps (u, t, d) and a mask; longer sequences are thinned to `max_length` steps."""
        sequences = thin(values, self.max_length)
        steps = sequences.values.reshape(-1, math.prod(sequences.step_shape))
        if steps.shape[1] != len(self._mean):
            raise ModalityError(
                f"Sequences had {len(self._mean)} features a step in training, got {steps.shape[1]}."
            )
        standard = ((steps - self._mean) / self._scale).astype(np.float32)
        padded, mask = Ragged(standard, sequences.offsets).pad(max(1, int(sequences.lengths.max(initial=0))))
        return {"steps": torch.from_numpy(padded), "mask": torch.from_numpy(mask)}

    @staticmethod
    def steps(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Steps (zeros where padded) and mask, cut to the longest sequence of the batch."""
        t = trim(batch["mask"])
        mask = batch["mask"][:, :t]
        return batch["steps"][:, :t].masked_fill(~mask[..., None], 0.0), mask


class GRUModule(SequenceModule):
    """Gated recurrent layers in both directions; the mean of their states over the steps."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: GRUEncoder) -> None:
        super().__init__(settings, dim, recipe.max_length)
        self.layers = nn.GRU(
            len(self._mean),
            recipe.width,
            num_layers=recipe.depth,
            batch_first=True,
            bidirectional=True,
            dropout=recipe.dropout if recipe.depth > 1 else 0.0,
        )
        self.drop = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(2 * recipe.width, dim)

    def states(self, batch: Any) -> tuple[Tensor, Tensor]:
        """States of both directions after each step (u, t, 2 width), and mask."""
        steps, mask = self.steps(batch)
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.layers(packed)[0], batch_first=True, total_length=steps.shape[1]
        )
        return states, mask

    def forward(self, batch: Any) -> Tensor:
        """One vector per sequence; an empty one gives the bias of the last layer."""
        out: Tensor = self.head(self.drop(masked_mean(*self.states(batch))))
        return out

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector per step. Without dropout, their mean is the vector of the sequence."""
        states, mask = self.states(batch)
        return self.head(self.drop(states)), mask


@dataclass(frozen=True)
class GRUEncoder:
    """Gated recurrent units (Cho et al. 2014) in both directions, for sequences whose order matters step by step.

    Args:
        width: Features of a state, in each direction.
        depth: Layers.
        max_length: Steps read; longer sequences are thinned evenly.
        dropout: Share of features dropped while training, in [0, 1).

    Complexity:
        O(t width^2), one step after the other: slower than `SequenceTransformerEncoder` on long sequences.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence"})

    width: int = 128
    depth: int = 1
    max_length: int = 256
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, positive=("width", "depth", "max_length"), dropout=self.dropout)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Mean and scale of each feature."""
        return sequence_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return GRUModule(settings, dim, self)


class SequenceTransformerModule(PooledModule, SequenceModule):
    """Groups of successive steps as the steps of a transformer; attention pooling."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: SequenceTransformerEncoder) -> None:
        super().__init__(settings, dim, recipe.max_length)
        width, self.group = recipe.width, recipe.group
        self.embed = nn.Linear((len(self._mean) + 1) * recipe.group, width)  # + 1: whether the step is there
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads=recipe.heads, dropout=recipe.dropout) for _ in range(recipe.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.pool = AttentionPool(width, heads=recipe.heads)
        self.head = nn.Linear(width, dim)

    def states(self, batch: Any) -> tuple[Tensor, Tensor]:
        """What the blocks make of each group of steps."""
        steps, mask = self.steps(batch)
        steps = torch.cat([steps, mask[..., None].to(steps.dtype)], dim=-1)
        steps = nn.functional.pad(steps, (0, 0, 0, -steps.shape[1] % self.group))
        mask = mask[:, :: self.group]  # a group is there when its first step is
        x = self.embed(steps.reshape(len(steps), mask.shape[1], -1))
        places = torch.arange(x.shape[1], dtype=torch.float32, device=x.device)
        x = x + sine_positions(places, x.shape[-1], longest=1000.0).to(x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), mask


@dataclass(frozen=True)
class SequenceTransformerEncoder:
    """A transformer (Vaswani et al. 2017) over groups of steps: time series, outlines, movements.

    Args:
        width: Features of a group; a multiple of `heads`.
        depth: Transformer blocks.
        heads: Attention heads.
        group: Successive steps read as one, which divides the cost of attention by its square.
        max_length: Steps read; longer sequences are thinned evenly.
        dropout: Share of features dropped while training, in [0, 1).
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence"})

    width: int = 128
    depth: int = 2
    heads: int = 4
    group: int = 4
    max_length: int = 256
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, positive=("width", "depth", "heads", "group", "max_length"), dropout=self.dropout)
        check_heads(self)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Mean and scale of each feature."""
        return sequence_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return SequenceTransformerModule(settings, dim, self)

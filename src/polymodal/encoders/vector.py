"""Vectors: standardised columns through fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from polymodal.core.modalities import Modality
from polymodal.core.typing import Float, Kind
from polymodal.encoders.base import EncoderModule, check_kind, check_numbers, mean_and_scale, value_blocks
from polymodal.nn.mlp import MLP


class VectorModule(EncoderModule):
    """Standardises in float64 while collating, so that a large mean costs no precision; then an `MLP`."""

    def __init__(self, mean: list[float], scale: list[float], dim: int, recipe: MLPEncoder) -> None:
        super().__init__()
        self.dim = dim
        self._mean, self._scale = np.asarray(mean), np.asarray(scale)
        self.layers = MLP(len(mean), dim, width=recipe.width, depth=recipe.depth, dropout=recipe.dropout)

    def collate(self, values: Any) -> Tensor:
        """(u, d) numbers -> standardised float32."""
        standard = (np.asarray(values, dtype=np.float64) - self._mean) / self._scale
        with np.errstate(over="ignore"):  # what becomes infinite is told by `train` and `infer`
            return torch.from_numpy(standard.astype(np.float32))

    def forward(self, batch: Float[Tensor, "u d"]) -> Float[Tensor, "u dim"]:
        """One vector per row."""
        out: Tensor = self.layers(batch)
        return out


@dataclass(frozen=True)
class MLPEncoder:
    """Fully connected layers over standardised columns.

    Args:
        width: Features of each hidden layer.
        depth: Hidden layers; 0 learns one linear map.
        dropout: Share of hidden features dropped while training, in [0, 1).
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"vector"})

    width: int = 256
    depth: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, positive=("width",), not_negative=("depth",), dropout=self.dropout)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Mean and scale of each column; a constant column has scale 1. One pass over the values."""
        check_kind(self, modality)
        mean, scale = mean_and_scale(value_blocks(modality))
        return {"mean": mean, "scale": scale}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return VectorModule(settings["mean"], settings["scale"], dim, self)

"""Decoders of vector modalities: from a code back to the (standardised) features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.vector import MLPEncoder
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn


class Decoders(nn.Module):
    """One `MLP` per modality, as wide and deep as that modality's encoder.

    Args:
        recipes: Name -> `MLPEncoder`; other names have no decoder.
        settings: Name -> what the recipe learned: the mean and the scale of each feature.
        dim: Features of a code.
    """

    def __init__(
        self, recipes: Mapping[str, MLPEncoder], settings: Mapping[str, Mapping[str, Any]], dim: int
    ) -> None:
        super().__init__()
        self.names: tuple[str, ...] = tuple(sorted(recipes))
        self.means = {name: np.asarray(settings[name]["mean"]) for name in self.names}
        self.scales = {name: np.asarray(settings[name]["scale"]) for name in self.names}
        self.decoders = nn.ModuleList(
            [
                MLP(dim, len(self.means[name]), width=recipes[name].width, depth=recipes[name].depth)
                for name in self.names
            ]
        )

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def forward(self, name: str, codes: Float[Tensor, "n dim"]) -> Float[Tensor, "n d"]:
        """Standardised features of one modality."""
        features: Tensor = self.decoders[self.names.index(name)](codes)
        return features

    def errors(
        self,
        name: str,
        codes: Float[Tensor, "n dim"],
        column: EncodedColumn,
        rows: Bool[Tensor, " n"] | None = None,
    ) -> Float[Tensor, ""]:
        r"""Mean over rows of $|x - D(z)|^2$, x standardised; 0 where no row has the modality.

        Args:
            name: The modality to reconstruct.
            codes: A code for each row of the batch.
            column: That modality's column of the batch.
            rows: Only these rows count; they must have the modality. None: all that have it.
        """
        chosen = column.present if rows is None else rows
        if not bool(chosen.any()):
            return codes.sum() * 0
        wanted = column.values.index_select(0, column.index[chosen])
        error: Tensor = (self(name, codes[chosen]).float() - wanted).square().sum(dim=1).mean()
        return error

    def restore(self, name: str, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Standardised features in the units of the data, as float64."""
        restored: np.ndarray = features.astype(np.float64) * self.scales[name] + self.means[name]
        return restored


def decodable(encoders: Mapping[str, Encoder]) -> dict[str, MLPEncoder]:
    """The recipes of modalities that can be decoded: vectors."""
    return {name: recipe for name, recipe in encoders.items() if isinstance(recipe, MLPEncoder)}


def check_decodable(encoders: Mapping[str, Encoder], *, method: str) -> dict[str, MLPEncoder]:
    """The same where each modality must be a vector.

    Raises:
        ModalityError: names the modalities that are none.
    """
    found = decodable(encoders)
    others = {name: type(recipe).__name__ for name, recipe in encoders.items() if name not in found}
    if others:
        raise ModalityError(
            f"{method} reconstructs vectors encoded by MLPEncoder, got other encoders {others}. "
            "Turn those modalities into vectors first (polymodal.encoders.Vectorize), or set reconstruction=0."
        )
    return found


def decode(module: nn.Module, decoders: Decoders, name: str, codes: np.ndarray) -> np.ndarray:
    """Features of one modality for given codes, in the units of the data, without gradients."""
    module.eval()
    device = next(decoders.parameters()).device
    with torch.inference_mode():
        parts = [
            decoders(name, torch.from_numpy(block).to(device)).float().cpu().numpy()
            for block in np.array_split(codes.astype(np.float32), max(1, len(codes) // 4096))
        ]
    return decoders.restore(name, np.concatenate(parts))

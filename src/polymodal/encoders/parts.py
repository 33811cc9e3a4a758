"""Parts that do not see each other: patches of a picture, steps of a sequence, each through the same layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Kind
from polymodal.encoders.base import EncoderModule, check_kind, check_numbers, mean_and_scale, value_blocks
from polymodal.encoders.picture import PictureModule, cut_patches, picture_settings
from polymodal.encoders.sequence import SequenceModule, sequence_settings
from polymodal.nn.mlp import MLP
from polymodal.nn.pooling import masked_mean


class StepsModule(SequenceModule):
    """The same layers on each step of a sequence; a vector is one step."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: PartsEncoder) -> None:
        super().__init__(settings, dim, recipe.max_length)
        self.layers = MLP(len(self._mean), dim, width=recipe.width, depth=recipe.depth)

    def collate(self, values: Any) -> dict[str, Tensor]:
        """Standardised steps (u, t, d) and a mask."""
        if isinstance(values, Ragged):
            return super().collate(values)
        standard = (np.asarray(values, dtype=np.float64) - self._mean) / self._scale
        with np.errstate(over="ignore"):  # what becomes infinite is told by `train` and `infer`
            steps = torch.from_numpy(standard.astype(np.float32))[:, None]
        return {"steps": steps, "mask": torch.ones(steps.shape[:2], dtype=torch.bool)}

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector a step."""
        steps, mask = self.steps(batch)
        return self.layers(steps), mask

    def forward(self, batch: Any) -> Tensor:
        """The mean of the parts."""
        return masked_mean(*self.tokens(batch))


class PatchesModule(PictureModule):
    """The same layers on each patch of a picture, which does not know where it stands."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: PartsEncoder) -> None:
        super().__init__(settings, dim, shift=0)
        self.patch = recipe.patch or max(1, -(-settings["side"] // 4))
        self.layers = MLP(self.channels * self.patch**2, dim, width=recipe.width, depth=recipe.depth)

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector a patch, in reading order."""
        vectors = self.layers(cut_patches(self.pixels(batch), self.patch)[0])
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    def forward(self, batch: Any) -> Tensor:
        """The mean of the parts."""
        return masked_mean(*self.tokens(batch))


@dataclass(frozen=True)
class PartsEncoder:
    """Layers on each part alone: patches of a picture, steps of a sequence; a vector is one part.

    Its tokens are for methods that say which part goes with which (`polymodal.fission.MultimodalClustering`): no part has seen another.

    Args:
        width: Features of a hidden layer.
        depth: Hidden layers.
        patch: Side of a patch in pixels; None is a quarter of the picture's longer side.
        max_length: Steps read; longer sequences are thinned evenly.

    Relations:
        * the order of steps or patches changes the order of tokens, and nothing else.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence", "vector", "grid"})

    width: int = 64
    depth: int = 1
    patch: int | None = None
    max_length: int = 1 << 30

    def __post_init__(self) -> None:
        optional = () if self.patch is None else ("patch",)
        check_numbers(self, positive=("width", "max_length", *optional), not_negative=("depth",))

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Mean and scale of each feature of a step, or of each channel of the pictures."""
        if modality.kind == "grid":
            return picture_settings(self, modality)
        if modality.kind == "sequence":
            return sequence_settings(self, modality)
        check_kind(self, modality)
        mean, scale = mean_and_scale(value_blocks(modality))
        return {"mean": mean, "scale": scale}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return PatchesModule(settings, dim, self) if "side" in settings else StepsModule(settings, dim, self)

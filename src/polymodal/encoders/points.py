"""Sets of points: what is said of them does not depend on their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from polymodal.core.modalities import Modality
from polymodal.core.typing import Kind
from polymodal.encoders.base import EncoderModule, PooledModule, check_heads, check_numbers
from polymodal.encoders.sequence import SequenceModule, sequence_settings
from polymodal.nn.mlp import MLP
from polymodal.nn.pooling import AttentionPool
from polymodal.nn.positions import FourierFeatures


class PointSetModule(PooledModule, SequenceModule):
    """The same layers on each point, attention pooling, and layers on the pooled vector."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: PointSetEncoder) -> None:
        super().__init__(settings, dim, recipe.max_length)
        width = recipe.width
        self.features = FourierFeatures(recipe.frequencies)
        self.point = MLP(
            self.features.width(len(self._mean)),
            width,
            width=width,
            depth=recipe.depth,
            dropout=recipe.dropout,
        )
        self.pool = AttentionPool(width, heads=recipe.heads)
        self.head = nn.Sequential(
            nn.LayerNorm(width), MLP(width, dim, width=2 * width, depth=1, dropout=recipe.dropout)
        )

    def states(self, batch: Any) -> tuple[Tensor, Tensor]:
        """What the layers make of each point."""
        steps, mask = self.steps(batch)
        return self.point(self.features(steps)), mask


@dataclass(frozen=True)
class PointSetEncoder:
    """Deep sets (Zaheer et al. 2017) with attention pooling (Ilse et al. 2018), over coordinates widened by Fourier features.

    Args:
        width: Features of a point; a multiple of `heads`.
        depth: Hidden layers on each point.
        heads: Weighted means taken side by side.
        frequencies: Sines and cosines of each coordinate at so many doublings of its rate; 0 for none.
        max_length: Points read; larger sets are thinned evenly in their stored order.
        dropout: Share of features dropped while training, in [0, 1).

    Relations:
        * any order of the points gives the same vector (for sets of at most `max_length` points).
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence"})

    width: int = 128
    depth: int = 2
    heads: int = 4
    frequencies: int = 4
    max_length: int = 1024
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(
            self,
            positive=("width", "heads", "max_length"),
            not_negative=("depth", "frequencies"),
            dropout=self.dropout,
        )
        check_heads(self)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Mean and scale of each coordinate."""
        return sequence_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return PointSetModule(settings, dim, self)

"""What fusions of steps share: encoders that keep every step of a sequence."""

from __future__ import annotations

from collections.abc import Mapping

from polymodal.core.modalities import Modalities
from polymodal.core.typing import Kind
from polymodal.encoders.base import Encoder
from polymodal.encoders.picture import ConvEncoder
from polymodal.encoders.steps import StepEncoder
from polymodal.encoders.text import BagOfTokensEncoder
from polymodal.fusion._tokens import TokenFusion


class StepFusion(TokenFusion):
    """Base of fusions that read sequences in their order: plain steps, words and frames; vectors and pictures are one step."""

    def _recipes(self, data: Modalities) -> Mapping[str, Encoder]:
        by_kind: dict[Kind, Encoder] = {
            "sequence": StepEncoder(),
            "text": BagOfTokensEncoder(),
            "grid": ConvEncoder(pool=1),
        }
        usual = {name: by_kind[column.kind] for name, column in data.items() if column.kind in by_kind}
        return {**usual, **(self.encoders or {})}

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.n_components

"""What contrastive coordinations share: vectors of length 1, a learned temperature (and bias), and the loss over pairs of modalities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from polymodal.coordination._learned import UnitModule, embed_rows
from polymodal.coordination._pairs import Pair
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float
from polymodal.nn.towers import Towers
from polymodal.objectives.infonce import info_nce
from polymodal.objectives.pairwise import pairwise_loss
from polymodal.objectives.sigmoid import sigmoid_loss
from polymodal.training.batches import row_codes
from polymodal.training.gradient_cache import Embedded, EmbeddingLoss

ContrastiveLoss = Literal["softmax", "sigmoid"]

MAX_SCALE = 100.0
"""Largest inverse temperature (Radford et al. 2021): beyond it training becomes unstable."""


@dataclass(frozen=True)
class Start:
    """Where the learned numbers of a loss begin."""

    temperature: float
    bias: float | None


STARTS: dict[ContrastiveLoss, Start] = {
    "softmax": Start(0.07, None),  # Radford et al. 2021
    "sigmoid": Start(0.1, -10.0),  # Zhai et al. 2023: log t = log 10
}


class ContrastiveModule(UnitModule):
    """Towers whose vectors have length 1, one learned temperature and, for the sigmoid loss, one learned bias.

    Args:
        towers: One encoder per modality, all of one `dim`.
        temperature: Where the learned temperature starts, > 0.
        bias: Where the learned bias starts; None: the softmax loss, which needs none.

    Attributes:
        log_scale: Log of the inverse temperature, kept at most log 100 while training.
    """

    def __init__(self, towers: Towers, temperature: float = 0.07, bias: float | None = None) -> None:
        super().__init__(towers)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(bias))

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """exp(-log_scale): at least 1 / 100."""
        return (-self.log_scale).exp()

    def clamp_temperature(self) -> None:
        """Bring a runaway scale back; in place, so that the next gradient still arrives (a clamp in the graph would block it)."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(MAX_SCALE))

    def pair_loss(self, a: Tensor, b: Tensor, codes_a: Tensor | None, codes_b: Tensor | None) -> Tensor:
        """`info_nce` or, with a bias, `sigmoid_loss` of two modalities, at the learned temperature."""
        if self.bias is None:
            return info_nce(a, b, temperature=self.temperature, codes_a=codes_a, codes_b=codes_b)
        scale = self.log_scale.exp()
        return sigmoid_loss(a, b, scale=scale, bias=self.bias, codes_a=codes_a, codes_b=codes_b)

    def compare(
        self, rows: Embedded, codes: Mapping[str, Tensor], pairs: Sequence[Pair]
    ) -> Float[Tensor, ""]:
        """The mean of `pair_loss` over pairs of modalities, from unit vectors of all rows.

        Args:
            rows: Vectors and presence.
            codes: Name -> identity codes of the rows.
            pairs: Which modalities to bring together.
        """
        self.clamp_temperature()
        least = 2 if self.bias is None else 1
        loss = pairwise_loss(
            self.pair_loss, rows.vectors, rows.present, codes=codes, pairs=pairs, least=least
        )
        learned = self.log_scale if self.bias is None else self.log_scale + self.bias
        return loss + 0 * learned  # a batch without any pair has a gradient too: zero


def contrastive_loss(data: Modalities, pairs: Sequence[Pair]) -> EmbeddingLoss:
    """The loss of a `ContrastiveModule` on rows of `data`, over the rows of all processes.

    Relations:
        * two processes with half a batch each: the loss and the gradients of one with the whole batch.
    """
    codes_of = row_codes(data)

    def compare(module: nn.Module, rows: Embedded) -> Tensor:
        assert isinstance(module, ContrastiveModule)
        return module.compare(rows, codes_of(rows.rows), pairs)

    return EmbeddingLoss(embed_rows, compare)

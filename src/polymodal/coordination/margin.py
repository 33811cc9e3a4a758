"""Margin coordination: a partner must be nearer than a stranger, by a margin. VSE, VSE++, and FaceNet's choice of strangers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from polymodal.coordination._learned import (
    LearnedCoordination,
    Loss,
    UnitModule,
    embed_rows,
)
from polymodal.coordination._pairs import chosen_pairs
from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.encoders.base import Encoder
from polymodal.nn.towers import Towers
from polymodal.objectives.margin import Negatives, margin_loss
from polymodal.objectives.pairwise import pairwise_loss
from polymodal.training.batches import row_codes
from polymodal.training.gradient_cache import Embedded, EmbeddingLoss
from polymodal.training.options import Training


class MarginCoordination(LearnedCoordination):
    r"""Encoders of two or more modalities that put each partner nearer than strangers, by a margin.

    $$ L = \operatorname{mean}_{(m, m')} \frac1n \sum_i \sum_{j \in N(i)} \max(0, \alpha - s_{ii} + s_{ij}) + (m \leftrightarrow m'),
       \qquad s_{ij} = \cos(f_m(x_i^m), f_{m'}(x_j^{m'})) $$

    N(i) are the strangers of row i in the batch that `negatives` names (`margin_loss`). Unlike CLIP's loss this one is exactly 0
    once the margin is kept: what is settled no longer moves. Rows may lack modalities, and rows that hold equal values are never
    strangers, as in `CLIP`. `transform` gives unit vectors of float32; `score` is the mean reciprocal rank of retrieval over pairs
    of modalities and both directions, in (0, 1].

    Args:
        n_components: Dimensions of the shared space.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        training: How to train.
        margin: alpha >= 0, in units of cosine.
        negatives: "all" strangers (VSE), the "hardest" (VSE++), or the "semi-hard" one (FaceNet).
        pairs: "all", or the name of one modality that each other is paired with.
        random_state: Fixes weights, order of rows, augmentation and held-out rows.

    Attributes:
        module_: `UnitModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: no two modalities meet on two rows, a modality has one value only, or an encoder does not fit.
        ConfigError: `n_components`, `margin` or `negatives` out of range.

    Complexity:
        Of an epoch: one pass of every encoder over the rows, and 4 B n_components operations a row and pair for batches of B.
        The loss holds B x B scores.

    Relations:
        * margin=0 with the same vectors everywhere: loss 0. Batches of one row: loss 0, nothing is learned.
        * `chunk_size` does not change the result without dropout, up to rounding; nor do several processes.

    References: Kiros et al. 2014; Faghri et al. 2018; Schroff et al. 2015.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
        >>> options = Training(max_epochs=30, batch_size=30)
        >>> MarginCoordination(4, training=options, negatives="semi-hard", random_state=0).fit(data).score(data) > 0.5
        True
    """

    module_: UnitModule

    def __init__(
        self,
        n_components: int = 64,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(),  # noqa: B008  # frozen
        margin: float = 0.2,
        negatives: Negatives = "all",
        pairs: Literal["all"] | str = "all",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.training = training
        self.margin = margin
        self.negatives = negatives
        self.pairs = pairs
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[MarginCoordination]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(4, training=training, random_state=0),
            cls(4, training=training, negatives="semi-hard", pairs="alpha", random_state=0),
        ]

    def _make_module(self, towers: Towers) -> UnitModule:
        return UnitModule(towers)

    def _make_loss(self, data: Modalities) -> Loss:
        codes_of, pairs = row_codes(data), chosen_pairs(data.names, self.pairs)
        margin, negatives = self.margin, self.negatives

        def hinges(a: Tensor, b: Tensor, codes_a: Tensor | None, codes_b: Tensor | None) -> Tensor:
            # the mean over rows, so that the learning rate does not depend on the batch
            return margin_loss(
                a, b, margin=margin, negatives=negatives, codes_a=codes_a, codes_b=codes_b, reduction="mean"
            )

        def compare(module: nn.Module, rows: Embedded) -> Tensor:
            del module
            return pairwise_loss(hinges, rows.vectors, rows.present, codes=codes_of(rows.rows), pairs=pairs)

        return EmbeddingLoss(embed_rows, compare)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 <= self.margin < math.inf:
            raise ConfigError(
                f"MarginCoordination needs a margin of at least 0, got {self.margin!r}. Try 0.2."
            )
        if self.negatives not in get_args(Negatives):
            raise ConfigError(
                f"MarginCoordination needs negatives to be one of {list(get_args(Negatives))}, got {self.negatives!r}."
            )

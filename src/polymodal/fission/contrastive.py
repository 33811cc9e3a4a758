"""The shared part by contrastive, forward and inverse prediction; the private part by what is left to reconstruct."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders, check_decodable
from polymodal.fission._contrastive import TEMPERATURE, ContrastiveFission, unit
from polymodal.fission._learned import DEFAULT_TRAINING, Loss
from polymodal.fission._shared_private import (
    Overlap,
    Parts,
    Penalty,
    SharedPrivateModule,
    check_penalty,
    check_weights,
)
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.infonce import pairwise_info_nce
from polymodal.training.batches import Batch, row_codes
from polymodal.training.options import Training


class PredictiveModule(SharedPrivateModule):
    """Shared parts of length 1, private parts, decoders of other modalities from the shared part and of the own from both."""

    def __init__(
        self, shared: Towers, private: Towers, overlap: Overlap, forward_to: Decoders, decoders: Decoders
    ) -> None:
        super().__init__(shared, private)
        self.overlap, self.forward_to, self.decoders = overlap, forward_to, decoders

    def parts(self, columns: Mapping[str, EncodedColumn]) -> Parts:
        """Both parts of the modalities given; zeros where a row lacks one."""
        raw = super().parts(columns)
        return Parts({name: unit(v) for name, v in raw.shared.items()}, raw.private, raw.present)

    def predicted(self, parts: Parts, batch: Batch) -> Float[Tensor, ""]:
        """Forward prediction: mean squared error of every modality from the shared part of every other, of standardised numbers."""
        found = []
        for source, wanted in permutations(parts.shared, 2):
            both = parts.present[source] & parts.present[wanted]
            error = self.forward_to.errors(wanted, parts.shared[source], batch.columns[wanted], both)
            found.append(error / len(self.forward_to.means[wanted]))
        return torch.stack(found).mean()

    def restored(self, parts: Parts, batch: Batch) -> Float[Tensor, ""]:
        """Mean squared error of every modality from both its parts; no gradient goes to the shared ones."""
        found = [
            self.decoders.errors(name, torch.cat([parts.shared[name].detach(), p], 1), batch.columns[name])
            / len(self.decoders.means[name])
            for name, p in parts.private.items()
        ]
        return torch.stack(found).mean()


def inverse_prediction(parts: Parts) -> Float[Tensor, ""]:
    r"""Mean over pairs of modalities, and rows that have both, of $|s_a - s_b|^2$."""
    found = []
    for a, b in permutations(parts.shared, 2):
        both = parts.present[a] & parts.present[b]
        gap = (parts.shared[a] - parts.shared[b])[both].square().sum(1)
        found.append(gap.sum() / both.sum().clamp(min=1))
    return torch.stack(found).mean()


class PredictiveFission(ContrastiveFission):
    r"""A shared part that predicts the other modalities and is predicted by them, and private parts that keep the rest.

    $$ L = L_{\text{InfoNCE}}(s_a, s_b) + \lambda_f \tfrac{1}{d_b} \|x_b - R_b(s_a)\|^2 + \lambda_i \|s_a - s_b\|^2
       + \operatorname{mean}_m \tfrac1{d_m} \|x_m - D_m(\bar s_m, p_m)\|^2 + \lambda_d \operatorname{mean}_m \mathrm{overlap}(p_m, s_m) $$

    averaged over ordered pairs of modalities. The other view takes the place of the signal that self-supervision learns from: the
    first two terms raise what s knows of it, $I(s_a; x_b)$; the third lowers what s holds besides, $H(s_a | x_b)$. What one modality alone
    knows is of no use to these three, so it is left to its private part by the last two, which are ours: the bar stops the gradient.
    Shared parts have length 1; `"shared"` is their mean over the modalities that a row has. `score` is
    1 - InfoNCE / log n of the shared parts, averaged over pairs of modalities: 1 when every row finds its partner, 0 for chance.

    Args:
        n_shared: Dimensions of the shared part: one more than the numbers it should tell, since its length is fixed.
        n_private: Dimensions of each private part.
        encoders: Name -> `MLPEncoder`; modalities left out take the default one. Both parts have their own.
        training: How to train.
        penalty: The overlap: "decorrelation", "difference", "club" or "adversarial".
        forward: lambda_f >= 0.
        inverse: lambda_i >= 0.
        difference: lambda_d >= 0.
        random_state: Fixes weights, order of rows and held-out rows.

    Attributes:
        module_: `PredictiveModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: an encoder that is no `MLPEncoder`, or a modality called "shared".
        ConfigError: a parameter out of range.

    Complexity:
        Two passes of each encoder and m of each decoder a row for m modalities; the contrast is O(b^2) in the batch.

    Relations:
        * equal shared parts: inverse prediction costs 0; opposite ones: 4.
        * transform of some modalities: their private parts as in transform of all.

    References: Tsai et al. 2021, "Self-supervised learning from a multi-view perspective" (the first three terms).
    """

    requires: ClassVar[Requirements] = Requirements(
        min_modalities=2, kinds=frozenset({"vector"}), missing=True
    )

    module_: PredictiveModule

    def __init__(
        self,
        n_shared: int = 8,
        *,
        n_private: int = 8,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = DEFAULT_TRAINING,
        penalty: Penalty = "decorrelation",
        forward: float = 1.0,
        inverse: float = 1.0,
        difference: float = 10.0,
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.training = training
        self.penalty = penalty
        self.forward = forward
        self.inverse = inverse
        self.difference = difference
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[PredictiveFission]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(3, n_private=2, training=training, random_state=0)]

    def _make_module(self, build: Callable[[int], Towers]) -> PredictiveModule:
        recipes = check_decodable(self.encoders_, method=type(self).__name__)
        shared, private = build(self.n_shared), build(self.n_private)
        overlap = Overlap(
            shared.names if self.difference else (), self.n_shared, self.n_private, self.penalty
        )
        forward_to = Decoders(recipes if self.forward else {}, self.settings_, self.n_shared)
        decoders = Decoders(recipes, self.settings_, self.n_shared + self.n_private)
        return PredictiveModule(shared, private, overlap, forward_to, decoders)

    def _make_loss(self, data: Modalities) -> Loss:
        codes_of = row_codes(data)
        forward, inverse, difference = self.forward, self.inverse, self.difference

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, PredictiveModule)
            parts = module.parts(batch.columns)
            codes = codes_of(batch.rows)
            total = pairwise_info_nce(parts.shared, parts.present, temperature=TEMPERATURE, codes=codes)
            total = total + module.restored(parts, batch)
            if forward:
                total = total + forward * module.predicted(parts, batch)
            if inverse:
                total = total + inverse * inverse_prediction(parts)
            if difference:
                found = module.overlap(parts)
                total = total + difference * found.penalty + found.fit
            return total

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_penalty(self.penalty, method=type(self).__name__)
        check_weights(
            type(self).__name__, forward=self.forward, inverse=self.inverse, difference=self.difference
        )

"""CLIP: one encoder per modality, trained so that what belongs together lies together in one space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from polymodal.coordination._contrast import STARTS, ContrastiveLoss, ContrastiveModule, contrastive_loss
from polymodal.coordination._learned import LearnedCoordination, Loss
from polymodal.coordination._pairs import chosen_pairs
from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.encoders.base import Encoder
from polymodal.nn.towers import Towers
from polymodal.training.options import Training


class CLIP(LearnedCoordination):
    r"""Contrastive encoders of two or more modalities: what belongs together lies together, everything else apart.

    $$ L = \operatorname{mean}_{(m, m')} \tfrac12\big[CE(S/\tau) + CE(S^\top/\tau)\big], \qquad
       S_{ij} = \cos(f_m(x_i^m), f_{m'}(x_j^{m'})) $$

    Rows may lack modalities: each pair of modalities learns from the rows that have both. Rows that hold equal values
    (five captions of a picture, one caption of two pictures) are each other's positives, never negatives. `transform`
    gives unit vectors of float32, so that a dot product is the cosine. `score` is the mean reciprocal rank of retrieval
    over pairs of modalities and both directions, in (0, 1].

    Args:
        n_components: Dimensions of the shared space.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        training: How to train. A held-out share (`validation`) never holds values that training sees.
        loss: "softmax" (CLIP) or "sigmoid" (SigLIP).
        temperature: Where the learned temperature starts, > 0; it stays at or above 0.01. None: as published, 0.07 for the
            softmax, 0.1 for the sigmoid (whose bias starts at -10).
        pairs: "all", or the name of one modality that each other is paired with (all that is needed where others
            never meet).
        random_state: Fixes weights, order of rows, augmentation and held-out rows.

    Attributes:
        module_: `ContrastiveModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        temperature_: Learned temperature.
        bias_: Learned bias of the sigmoid loss; None for the softmax.
        history_: Losses per epoch.

    Raises:
        ModalityError: no two modalities meet on two rows, a modality has one value only, or an encoder does not fit.
        ConfigError: `n_components` or `temperature` out of range, or another `loss`.

    Complexity:
        Of an epoch: one pass of every encoder over the rows, and 8 B n_components operations a row and pair for batches
        of B. The loss's memory is linear in B; with `Training(chunk_size=...)` that of the encoders does not depend on B.

    Relations:
        * transform of some modalities equals the same columns of transform of all.
        * a picture stored once with five captions equals the same picture stored five times, up to rounding.
        * `chunk_size` does not change the result without dropout, up to rounding; nor do several processes.

    References:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision" (figure 3).
        Zhai et al. 2023 (sigmoid loss). Girdhar et al. 2023 (one modality that binds the others).

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> clip = CLIP(4, training=Training(max_epochs=30, batch_size=30), random_state=0)
        >>> data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
        >>> clip.fit(data).score(data) > 0.5
        True
    """

    module_: ContrastiveModule
    temperature_: float
    bias_: float | None = None

    def __init__(
        self,
        n_components: int = 64,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(),  # noqa: B008  # frozen
        loss: ContrastiveLoss = "softmax",
        temperature: float | None = None,
        pairs: Literal["all"] | str = "all",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.training = training
        self.loss = loss
        self.temperature = temperature
        self.pairs = pairs
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[CLIP]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(4, training=training, random_state=0),
            cls(4, training=training, loss="sigmoid", pairs="alpha", random_state=0),
        ]

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _make_module(self, towers: Towers) -> ContrastiveModule:
        start = STARTS[self.loss]
        temperature = start.temperature if self.temperature is None else self.temperature
        return ContrastiveModule(towers, temperature, start.bias)

    def _make_loss(self, data: Modalities) -> Loss:
        return contrastive_loss(data, chosen_pairs(data.names, self.pairs))

    def _settle(self, data: Modalities) -> None:
        self.module_.clamp_temperature()
        self.temperature_ = float(self.module_.temperature.detach())
        self.bias_ = None if self.module_.bias is None else float(self.module_.bias.detach())

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.loss not in STARTS:
            raise ConfigError(f"CLIP needs loss to be one of {list(STARTS)}, got {self.loss!r}.")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ConfigError(f"CLIP needs a temperature above 0, got {self.temperature!r}. Try 0.07.")

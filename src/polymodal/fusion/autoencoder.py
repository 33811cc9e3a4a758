"""A multimodal autoencoder: one code from any part of the modalities, from which all of them are made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fusion._generative import DEFAULT_TRAINING, GenerativeFusion, GenerativeModule, Likelihoods
from polymodal.fusion._inputs import hide_at_random
from polymodal.nn.pooling import masked_mean
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.training.batches import Batch
from polymodal.training.options import Training


class AutoencoderModule(GenerativeModule):
    """The code is the mean of what the modalities of a row say."""

    def __init__(self, towers: Towers, decoders: Decoders, modality_dropout: float) -> None:
        super().__init__(towers, decoders)
        self.modality_dropout = modality_dropout

    def code(
        self, vectors: Mapping[str, Float[Tensor, "n k"]], present: Mapping[str, Bool[Tensor, " n"]]
    ) -> Float[Tensor, "n k"]:
        """From the modalities that `present` leaves."""
        names = sorted(vectors)
        steps = torch.stack([vectors[name].float() for name in names], dim=1)
        return masked_mean(steps, torch.stack([present[name] for name in names], dim=1))

    def forward(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, "n k"]:
        """The code of each row; zeros for one that has nothing."""
        return self.code(*self.towers(columns))

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Minus the mean log likelihood of all modalities of a row, each divided by its count of numbers."""
        vectors, present = self.towers(batch.columns)
        share = self.modality_dropout if self.training else 0.0
        codes = self.code(vectors, hide_at_random(present, share))
        weights = {name: 1 / size for name, size in self.decoders.sizes.items()}
        return -self.log_likelihood(codes, batch.columns, weights=weights).mean()


class MultimodalAutoencoder(GenerativeFusion):
    r"""One code from whatever modalities a row has; every modality is made again from it.

    $$ z = \frac{1}{|A|} \sum_{m \in A} E_m(x_m), \qquad L = - \sum_m \tfrac{1}{d_m} \log p(x_m | D_m(z)) $$

    over the modalities that the row has, where A is all of them, or on a share of the rows of each step a random part. So each part
    learns to say what the others hold. There is no placeholder for a modality that is missing: it is not encoded, and not rebuilt.
    `generate` makes any modality from any part; `score` is the share of variance that each row's code explains, averaged over modalities.

    Args:
        n_components: Dimensions of the code.
        encoders: Name -> encoder recipe of vectors, pictures of one size, or texts; modalities left out take
            `polymodal.encoders.default_encoder`. A decoder is as wide as its encoder; of texts it makes the words.
        likelihoods: Name -> "gaussian", "laplace", "bernoulli", "categorical" or an object of `polymodal.objectives`. Left out: values
            that are all 0 or 1 are Bernoulli (one 1 in each row: categorical), all others normal with a learned scale.
        modality_dropout: Share of the rows whose code comes from a random part of their modalities, in [0, 1].
        training: How to train.
        random_state: Fixes weights, hidden modalities and the order of rows.

    Attributes:
        module_: Encoders and decoders on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        decoder_settings_: Name -> what the decoder needs, its likelihood among it.
        history_: Losses per epoch.

    Raises:
        ModalityError: a modality that cannot be made again, or values that a likelihood cannot read.
        ConfigError: a parameter out of range.

    Relations:
        * one modality, linear encoders and decoders (`MLPEncoder(depth=0)`): the span of the principal components.
        * a modality that a row lacks changes nothing, whatever its stored value.

    References:
        Ngiam et al. 2011, "Multimodal deep learning" (bimodal autoencoder, trained with modalities left out).
    """

    module_: AutoencoderModule

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        likelihoods: Likelihoods | None = None,
        modality_dropout: float = 0.5,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.likelihoods = likelihoods
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[MultimodalAutoencoder]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(2, training=training, random_state=0)]

    def _make_module(self, build: Callable[[int], Towers], decoders: Decoders) -> AutoencoderModule:
        return AutoencoderModule(build(self.n_components), decoders, self.modality_dropout)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 <= self.modality_dropout <= 1:
            raise ConfigError(f"modality_dropout must be a share in [0, 1], got {self.modality_dropout!r}.")

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        self._check_some_present(data)

        def rebuilt(module: AutoencoderModule, batch: Batch) -> dict[str, Tensor]:
            codes, found = module(batch.columns), {}
            for name, column in batch.columns.items():
                decoder = module.decoders[name]
                targets = decoder.targets(column)
                found[f"target {name}"] = targets.flatten(1)
                found[f"error {name}"] = decoder.errors(decoder(codes), targets)
            return found

        found = self._infer(data, rebuilt)
        shares = []
        for name, column in data.items():
            wanted = found[f"target {name}"][column.present].astype(np.float64)
            total = ((wanted - wanted.mean(axis=0)) ** 2).sum() if len(wanted) else 0.0
            if total > 0:
                shares.append(1 - float(found[f"error {name}"][column.present].sum()) / float(total))
        return float(np.mean(shares)) if shares else 0.0

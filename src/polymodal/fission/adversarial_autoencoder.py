"""An adversarial autoencoder of several modalities: shared and private codes that a discriminator cannot tell from a normal prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fission._generative import GenerativeFission, GenerativeModule, cross_errors
from polymodal.fission._learned import DEFAULT_TRAINING, Loss, mean_of_present
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.prior_matching import matching_game
from polymodal.training.batches import Batch
from polymodal.training.options import Training


class AdversarialModule(GenerativeModule):
    """Towers that give both codes, decoders, and a discriminator of all codes of a row."""

    def __init__(self, towers: Towers, decoders: Decoders, n_shared: int, n_private: int) -> None:
        super().__init__(towers, decoders)
        self.sizes = (n_shared, n_private)
        self.discriminator = MLP(n_shared + n_private * len(towers.names), 1, width=64, depth=2)

    def codes(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Name -> what each modality says of the shared code, name -> private code, name -> presence."""
        vectors, present = self.towers(columns)
        cut = {name: vector.float().split(self.sizes, dim=1) for name, vector in vectors.items()}
        return {name: c[0] for name, c in cut.items()}, {name: c[1] for name, c in cut.items()}, present

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[Float[Tensor, "n k"], dict[str, Float[Tensor, "n q"]]]:
        """The mean of the shared codes that a row has, and private codes."""
        said, private, present = self.codes(columns)
        return mean_of_present(said, present), private


def adversarial_autoencoder_loss(
    module: AdversarialModule, batch: Batch, *, adversary: float, cross: float
) -> Float[Tensor, ""]:
    """The loss of `AdversarialAutoencoder`: reconstruction a feature, and both sides of the game in nats."""
    said, private, present = module.codes(batch.columns)
    shared = mean_of_present(said, present)
    errors = cross_errors(module, batch.columns, shared, said, private, cross=cross)
    # a private code that a row lacks is a draw from the prior: nothing for the discriminator to see
    parts = [
        torch.where(present[name][:, None], private[name], torch.randn_like(private[name]))
        for name in sorted(private)
    ]
    codes = torch.cat([shared, *parts], dim=1)
    encoder, discriminator = matching_game(module.discriminator, codes, torch.randn_like(codes))
    return errors + adversary * encoder + discriminator


class AdversarialAutoencoder(GenerativeFission):
    r"""An autoencoder whose shared and private codes, side by side, follow a standard normal as far as a discriminator can tell.

    $$ L_E = \sum_m \tfrac{1}{d_m} |x_m - D_m(s, p_m)|^2 + \frac{c}{M} \sum_{m, k} \tfrac{1}{d_k} |x_k - D_k(s_m, p_k)|^2
       - \lambda \log D(s, p_1, \ldots, p_M) $$

    s is the mean of the $s_m$ that a row has. The discriminator D learns beside it, on draws from the prior against codes, with its
    usual loss; the encoders' side is the non-saturating one. Under a perfect match all coordinates of all codes are independent, so
    nothing can be in two of them; on few rows and short trainings the game only gets
    part of the way. `score` is the share of variance that is rebuilt, averaged over modalities.

    Args:
        n_shared: Dimensions of the shared code.
        n_private: Dimensions of each private code.
        encoders: Name -> encoder of a vector or a picture; its decoder is as wide (and, of a vector, as deep).
        adversary: lambda >= 0, weight of the encoders' side of the game.
        cross: c >= 0, weight of rebuilding all modalities from one's shared code.
        training: How to train.
        random_state: Fixes weights, draws and the order of rows.

    Attributes:
        module_: Encoders, decoders and discriminator on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> mean and scale of the features.
        decoder_settings_: Name -> what the decoder needs.
        history_: Losses per epoch, the discriminator's included: they need not fall.

    Raises:
        ModalityError: an encoder whose values cannot be made again, or a modality called "shared".
        ConfigError: a parameter out of range.

    Relations:
        * training with adversary > 0 moves the codes towards mean 0 and variance 1; with adversary = 0 nothing does.
        * the encoders' side changes no gradient of decoders or discriminator.

    References:
        Makhzani, Shlens, Jaitly, Goodfellow and Frey 2016, "Adversarial autoencoders". Matching a prior disentangles coordinates no more
        than a plain VAE does: Locatello et al. 2019.
    """

    module_: AdversarialModule

    def __init__(
        self,
        n_shared: int = 4,
        *,
        n_private: int = 4,
        encoders: Mapping[str, Encoder] | None = None,
        adversary: float = 0.1,
        cross: float = 1.0,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.adversary = adversary
        self.cross = cross
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[AdversarialAutoencoder]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(2, n_private=2, training=training, random_state=0)]

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        return self._explained(data)

    def _make_module(self, build: Callable[[int], Towers]) -> AdversarialModule:
        towers = build(self.n_shared + self.n_private)
        return AdversarialModule(towers, self._make_decoders(), self.n_shared, self.n_private)

    def _make_loss(self, data: Modalities) -> Loss:
        del data

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, AdversarialModule)
            return adversarial_autoencoder_loss(module, batch, adversary=self.adversary, cross=self.cross)

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("adversary", "cross"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"AdversarialAutoencoder needs {name} >= 0, got {getattr(self, name)!r}.")

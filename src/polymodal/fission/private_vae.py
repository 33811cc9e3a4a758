"""A variational autoencoder of several modalities with shared and private latents (DMVAE), in beta and total-correlation forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fission._generative import GenerativeFission, GenerativeModule, squared_errors
from polymodal.fission._learned import DEFAULT_TRAINING, Loss
from polymodal.nn.experts import product_of_experts
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.elbo import divergence_terms, draw_normal, normal_divergence
from polymodal.training.batches import Batch
from polymodal.training.options import Training
from polymodal.training.seeding import seeded

SMALLEST = 1e-4
"""Least variance of the noise of a standardised feature, and of a posterior: a likelihood without bound teaches nothing."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Diagonal normals of each row of a batch: name -> (mean, log variance). Rows that lack a modality hold anything finite."""

    shared: dict[str, tuple[Tensor, Tensor]]
    private: dict[str, tuple[Tensor, Tensor]]
    present: dict[str, Tensor]

    def joint(self, *names: str) -> tuple[Tensor, Tensor]:
        """The shared part seen from some modalities, with the prior as one more expert."""
        means = {name: self.shared[name][0] for name in names}
        spreads = {name: self.shared[name][1] for name in names}
        return product_of_experts(means, spreads, {name: self.present[name] for name in names})


class PrivateVAEModule(GenerativeModule):
    """Towers that give means and log variances of both parts, decoders, and the noise of each modality."""

    def __init__(self, towers: Towers, decoders: Decoders, n_shared: int, n_private: int) -> None:
        super().__init__(towers, decoders)
        self.sizes = (n_shared, n_shared, n_private, n_private)
        self.log_noise = nn.Parameter(torch.zeros(len(decoders.names)))

    def noise(self, name: str) -> Tensor:
        """Log variance of the noise of each standardised feature of one modality."""
        return self.log_noise[self.decoders.names.index(name)].clamp_min(math.log(SMALLEST))

    def posterior(self, columns: Mapping[str, EncodedColumn]) -> Posterior:
        """What each modality says of the shared part and of its own."""
        vectors, present = self.towers(columns)
        shared, private = {}, {}
        for name, vector in vectors.items():
            mean, spread, own_mean, own_spread = vector.float().split(self.sizes, dim=1)
            low, high = math.log(SMALLEST), -math.log(SMALLEST)
            shared[name] = mean, spread.clamp(low, high)
            private[name] = own_mean, own_spread.clamp(low, high)
        return Posterior(shared, private, present)

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[Float[Tensor, "n k"], dict[str, Float[Tensor, "n q"]]]:
        """Posterior means."""
        found = self.posterior(columns)
        return found.joint(*sorted(found.shared))[0], {name: m for name, (m, _) in found.private.items()}


def row_bounds(
    module: PrivateVAEModule,
    columns: Mapping[str, EncodedColumn],
    found: Posterior,
    seen: Sequence[tuple[str, ...]],
    beta: float,
) -> tuple[Float[Tensor, "draws n"], dict[str, Tensor]]:
    r"""The bound on each row's log density (of standardised values, in nats), from one draw each, and the draws (draws, n, ...).

    $$ \sum_m \log p(x_m | s, p_m) - \beta \, KL(q(s | x_{seen}), N) - \beta \sum_m KL(q(p_m | x_m), N) $$

    over the modalities that the row has. All draws are decoded in one pass.

    Args:
        module: Decoders and noise.
        columns: The batch.
        found: Its posteriors.
        seen: For each draw the modalities that tell the shared part.
        beta: Weight of the divergences; 1 gives a lower bound.
    """
    joint = {names: found.joint(*names) for names in seen}
    drawn = [
        {"shared": draw_normal(*joint[names])}
        | {name: draw_normal(*normal) for name, normal in found.private.items()}
        for names in seen
    ]
    draws = {part: torch.stack([one[part] for one in drawn]) for part in drawn[0]}
    divergences = {names: normal_divergence(*normal) for names, normal in joint.items()}
    bound = -beta * torch.stack([divergences[names] for names in seen])
    for name, normal in found.private.items():
        errors = squared_errors(module, name, draws["shared"], draws[name], columns[name])
        noise = module.noise(name)
        size = module.decoders.sizes[name]
        likelihood = -0.5 * (errors * (-noise).exp() + size * (noise + math.log(2 * math.pi)))
        own = likelihood - beta * normal_divergence(*normal)
        bound = bound + torch.where(found.present[name], own, 0.0)
    return bound, draws


def private_vae_loss(
    module: PrivateVAEModule, batch: Batch, *, beta: float, cross: float, total_correlation: float
) -> Float[Tensor, ""]:
    """The loss of `PrivateVAE`, in nats a feature."""
    found = module.posterior(batch.columns)
    names = tuple(sorted(found.shared))
    seen = [names, *((name,) for name in names if cross)]
    bounds, draws = row_bounds(module, batch.columns, found, seen, beta)
    loss = -bounds[0].mean()
    here = torch.stack([found.present[name] for name in names])
    if cross:
        alone = bounds[1:] / here.sum(dim=0).clamp_min(1)
        loss = loss - cross * torch.where(here, alone, 0.0).sum(dim=0).mean()
    whole = here.all(dim=0)
    if total_correlation and int(whole.sum()) > 1:
        joint = [found.joint(*names), *(found.private[name] for name in names)]
        means, spreads = (torch.cat([part[i] for part in joint], dim=1)[whole] for i in (0, 1))
        codes = torch.cat([draws[part][0] for part in ("shared", *names)], dim=1)[whole]
        terms = divergence_terms(codes, means, spreads, n_rows=1)
        loss = loss + total_correlation * terms.total_correlation
    return loss / sum(module.decoders.sizes.values())


class PrivateVAE(GenerativeFission):
    r"""A variational autoencoder whose latents are one shared vector and one private vector a modality.

    $$ L = -\mathrm{ELBO}_\beta(x_1, \ldots, x_M) - \frac{c}{M} \sum_m \mathrm{ELBO}_\beta(\text{all} \,|\, s \sim q(s | x_m))
       + \gamma\, TC(q(s, p_1, \ldots, p_M)) $$

    The shared posterior is a product of the modalities' experts and the prior; a modality that a row lacks is an expert less. In
    the second term one modality alone tells the shared part from which all are rebuilt, so what only one has must go to its
    private part. Noise variances are learned, one a modality. `transform` gives posterior means; `score` is the mean lower bound
    on log density in nats a row, in the units of the data.

    Neither a plain VAE nor beta = 1 disentangles the coordinates of a part: normal priors look the same after a rotation. Measure it
    (`measure_disentanglement`).

    Args:
        n_shared: Dimensions of the shared part.
        n_private: Dimensions of each private part.
        encoders: Name -> encoder of a vector or a picture; its decoder is as wide (and, of a vector, as deep).
        beta: Weight of the divergences, >= 0; above 1 is a beta-VAE, and then the loss bounds nothing.
        total_correlation: gamma >= 0, weight of the total correlation of all latents on rows that have every modality: the beta of
            beta-TCVAE, less 1.
        cross: c >= 0, weight of the second term.
        training: How to train.
        random_state: Fixes weights, draws and the order of rows.

    Attributes:
        module_: Encoders, decoders and noise on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> mean and scale of the features.
        decoder_settings_: Name -> what the decoder needs.
        history_: Losses per epoch.

    Raises:
        ModalityError: an encoder whose values cannot be made again, or a modality called "shared".
        ConfigError: a parameter out of range.

    Relations:
        * linear encoders and decoders (`MLPEncoder(depth=0)`): the bound is below the exact log density of the learned
          model, and close to it.
        * a modality that is absent from a row changes nothing in it, whatever its stored value.

    References:
        Lee and Pavlovic 2021, "Private-shared disentangled multimodal VAE". Wu and Goodman 2018 (products of experts). Higgins et al. 2017
        (beta-VAE). Chen, Li, Grosse and Duvenaud 2018 (beta-TCVAE). Locatello et al. 2019 (no disentanglement without bias or labels).
    """

    module_: PrivateVAEModule

    def __init__(
        self,
        n_shared: int = 4,
        *,
        n_private: int = 4,
        encoders: Mapping[str, Encoder] | None = None,
        beta: float = 1.0,
        total_correlation: float = 0.0,
        cross: float = 1.0,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.beta = beta
        self.total_correlation = total_correlation
        self.cross = cross
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[PrivateVAE]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(2, n_private=2, training=training, random_state=0),
            cls(2, n_private=1, total_correlation=2.0, cross=0.0, training=training, random_state=0),
        ]

    def bounds(
        self, data: Modalities | Mapping[str, Any], *, n_draws: int = 16, random_state: RandomState = 0
    ) -> Float[np.ndarray, " n"]:
        """Lower bound on the log density of what each row has, in nats and the units of the data: the mean over draws.

        0 where a row has nothing.
        """
        frame = self._check_known(data)
        names = tuple(sorted(frame.names))

        def mean(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, PrivateVAEModule)
            found = module.posterior(batch.columns)
            drawn = [  # one after the other: many draws at once would be large
                row_bounds(module, batch.columns, found, [names], 1.0)[0] for _ in range(n_draws)
            ]
            return {"bound": torch.cat(drawn).mean(dim=0)}

        with seeded(random_state):
            found = self._infer(frame, mean).get("bound", np.zeros(0)).astype(np.float64)
        for name, column in frame.items():
            found -= column.present * self.module_.decoders[name].log_units
        return found

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        some: np.ndarray = np.logical_or.reduce(list(data.present.values()))
        return float(self.bounds(data)[some].mean())

    def _make_module(self, build: Callable[[int], Towers]) -> PrivateVAEModule:
        towers = build(2 * (self.n_shared + self.n_private))
        return PrivateVAEModule(towers, self._make_decoders(), self.n_shared, self.n_private)

    def _make_loss(self, data: Modalities) -> Loss:
        del data

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, PrivateVAEModule)
            return private_vae_loss(
                module, batch, beta=self.beta, cross=self.cross, total_correlation=self.total_correlation
            )

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("beta", "total_correlation", "cross"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"PrivateVAE needs {name} >= 0, got {getattr(self, name)!r}.")

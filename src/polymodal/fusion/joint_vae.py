"""JMVAE: a variational autoencoder with an encoder of all modalities together, and one of each that is drawn to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import DECODABLE_KINDS, Decoders
from polymodal.fusion._generative import DEFAULT_TRAINING, Likelihoods
from polymodal.fusion._variational import (
    EXAMPLE_TRAINING,
    LEAST_LOG_VARIANCE,
    VariationalFusion,
    VariationalModule,
)
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.elbo import draw_normal, normal_divergence
from polymodal.objectives.normal_mixture import NormalMixture
from polymodal.training.options import Training

_JOINT_WIDTH = 128  # features that each modality gives to the joint encoder


def product_of_posteriors(
    means: Mapping[str, Float[Tensor, "n k"]],
    log_variances: Mapping[str, Float[Tensor, "n k"]],
    present: Mapping[str, Bool[Tensor, " n"]],
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    r"""Mean and log variance of $\prod_m q_m(z | x_m) / N(z; 0, 1)^{M - 1}$: posteriors that each hold the prior already.

    $$ \sigma^{-2} = 1 + \sum_m (\sigma_m^{-2} - 1), \qquad \mu = \sigma^2 \sum_m \mu_m \sigma_m^{-2} $$

    A variance above that of the prior counts as 1. A row without any modality is N(0, 1).

    Relations:
        * one posterior: itself.
        * exact posteriors of modalities that are independent given z: the exact posterior of all.
    """
    names = sorted(means)
    here = torch.stack([present[name] for name in names])[:, :, None]
    spreads = torch.stack([log_variances[name] for name in names]).masked_fill(~here, 0.0).clamp_max(0.0)
    centres = torch.stack([means[name] for name in names]).masked_fill(~here, 0.0)
    precisions = (-spreads).exp()
    precision = 1 + (precisions - 1).sum(dim=0)
    return (centres * precisions).sum(dim=0) / precision, -precision.log()


class JointModule(VariationalModule):
    """A posterior of all modalities by a network of its own; of fewer, by the product of theirs."""

    def __init__(
        self,
        towers: Towers,
        decoders: Decoders,
        joint: Towers,
        head: MLP,
        *,
        beta: float,
        rescale: bool,
        alpha: float,
    ) -> None:
        super().__init__(towers, decoders, beta=beta, rescale=rescale)
        self.joint, self.head, self.alpha = joint, head, alpha

    def together(self, columns: Mapping[str, EncodedColumn]) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log variance that the joint encoder gives, and which rows have every modality: only there they mean anything."""
        vectors, present = self.joint(columns)
        complete = torch.stack([present[name] for name in self.joint.names]).all(dim=0)
        mean, spread = (
            self.head(torch.cat([vectors[name] for name in self.joint.names], dim=1)).float().chunk(2, dim=1)
        )
        return mean, spread.clamp(LEAST_LOG_VARIANCE, -LEAST_LOG_VARIANCE), complete

    def posterior(self, columns: Mapping[str, EncodedColumn]) -> NormalMixture:
        """One normal a row."""
        mean, spread = product_of_posteriors(*self.experts(columns))
        if set(columns) == set(self.joint.names):
            joint_mean, joint_spread, complete = self.together(columns)
            mean = torch.where(complete[:, None], joint_mean, mean)
            spread = torch.where(complete[:, None], joint_spread, spread)
        return NormalMixture.single(mean, spread)

    def objective(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, " n"]:
        """The bound of each row; less, where it is complete, what its modalities' posteriors are from the joint one."""
        means, spreads, present = self.experts(columns)
        part_mean, part_spread = product_of_posteriors(means, spreads, present)
        joint_mean, joint_spread, complete = self.together(columns)
        mean = torch.where(complete[:, None], joint_mean, part_mean)
        spread = torch.where(complete[:, None], joint_spread, part_spread)
        likelihood = self.weighted_likelihood(draw_normal(mean, spread), columns)
        bound = likelihood - self.beta * normal_divergence(mean, spread)
        for name in sorted(means):
            apart = normal_divergence(mean, spread, means[name], spreads[name])
            bound = bound - self.alpha * torch.where(complete, apart, 0.0)
        return bound


class JMVAE(VariationalFusion):
    r"""A multimodal variational autoencoder with one encoder of all modalities together and one of each.

    $$ E_{q(z | x)} \sum_m \log p(x_m | z) - \beta\, KL(q(z | x), N(0, 1)) - \alpha \sum_m KL(q(z | x), q_m(z | x_m)) $$

    on rows that have every modality; the last term teaches each modality's encoder the joint posterior. A row that lacks some cannot be
    read by the joint encoder: there the posterior is the product of its modalities' posteriors, over the prior for each but the first, and
    the bound on what it has is raised. Some rows must be complete. `transform` gives the posterior mean; `generate` makes any
    modality from any part, `sample` all from the prior; `score` is the mean importance-weighted bound, in nats a row.

    Args:
        n_components: Dimensions of the code.
        encoders: Name -> encoder recipe of vectors, pictures of one size, or texts; modalities left out take
            `polymodal.encoders.default_encoder`. A decoder is as wide as its encoder; of texts it makes the words.
        likelihoods: Name -> "gaussian", "laplace", "bernoulli", "categorical" or an object of `polymodal.objectives`. Left out: values
            that are all 0 or 1 are Bernoulli (one 1 in each row: categorical), all others normal with a learned scale.
        beta: Weight of the divergence, >= 0. At 1 training raises a lower bound on log p(x); above 1, a looser one.
        rescale: Whether, in training, each log likelihood is multiplied by the largest count of numbers among the modalities over its
            own, so that small ones count as much. What is raised then bounds nothing; `bound` and `score` do without it.
        alpha: Weight of the last term, >= 0. A large one makes single modalities generate better and rows be rebuilt worse.
        training: How to train.
        random_state: Fixes weights, draws and the order of rows.

    Attributes:
        module_: Encoders and decoders on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        decoder_settings_: Name -> what the decoder needs, its likelihood among it.
        history_: Losses per epoch, in nats a number.

    Raises:
        ModalityError: a modality that cannot be made again, or values that a likelihood cannot read.
        ConfigError: a parameter out of range.

    Relations:
        * the product of exact posteriors of single modalities is the exact posterior of all.
        * a modality that a row lacks changes nothing in it, whatever its stored value.

    References:
        Suzuki, Nakayama and Matsuo 2016, "Joint multimodal learning with deep generative models" (JMVAE-kl).
    """

    requires = Requirements(min_modalities=2, kinds=DECODABLE_KINDS, missing=True)

    module_: JointModule

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        likelihoods: Likelihoods | None = None,
        beta: float = 1.0,
        rescale: bool = False,
        alpha: float = 0.1,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            n_components,
            encoders=encoders,
            likelihoods=likelihoods,
            beta=beta,
            rescale=rescale,
            training=training,
            random_state=random_state,
        )
        self.alpha = alpha

    @classmethod
    def _examples(cls) -> list[JMVAE]:
        return [cls(2, training=EXAMPLE_TRAINING, random_state=0)]

    def _make_module(self, build: Callable[[int], Towers], decoders: Decoders) -> JointModule:
        towers = build(2 * self.n_components)
        joint = build(_JOINT_WIDTH)
        head = MLP(_JOINT_WIDTH * len(joint.names), 2 * self.n_components, width=2 * _JOINT_WIDTH)
        return JointModule(
            towers, decoders, joint, head, beta=self.beta, rescale=self.rescale, alpha=self.alpha
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_not_negative("alpha")

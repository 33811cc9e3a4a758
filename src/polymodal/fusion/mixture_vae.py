"""MMVAE: a variational autoencoder whose posterior is the mixture of what each modality says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from polymodal.core.random import RandomState
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fusion._generative import DEFAULT_TRAINING, Likelihoods
from polymodal.fusion._layer import check_count
from polymodal.fusion._variational import EXAMPLE_TRAINING, VariationalFusion, VariationalModule, log_prior
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.elbo import draw_normal, importance_weighted_bound
from polymodal.objectives.normal_mixture import NormalMixture
from polymodal.training.options import Training


class MixtureModule(VariationalModule):
    """The posterior is an even mixture of what the modalities of a row say."""

    def __init__(
        self, towers: Towers, decoders: Decoders, *, beta: float, rescale: bool, n_samples: int
    ) -> None:
        super().__init__(towers, decoders, beta=beta, rescale=rescale)
        self.n_samples = n_samples

    def posterior(self, columns: Mapping[str, EncodedColumn]) -> NormalMixture:
        """One component for each modality of a row, in the order of names."""
        means, spreads, present = self.experts(columns)
        names = sorted(means)
        return NormalMixture.even(
            *(torch.stack([part[name] for name in names]) for part in (means, spreads, present))
        )

    def objective(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, " n"]:
        """The importance-weighted bound from draws of each component, averaged over the components."""
        mixture = self.posterior(columns)
        shape = (self.n_samples, *mixture.means.shape)
        codes = draw_normal(mixture.means.expand(shape), mixture.log_variances.expand(shape))
        there = mixture.log_weights.isfinite()  # (components, n): what is not there is not decoded
        kept = {name: there & column.present for name, column in columns.items()}
        likelihood = self.weighted_likelihood(codes, columns, kept)
        divergence = mixture.log_density(codes) - log_prior(codes)
        bounds = importance_weighted_bound(likelihood - self.beta * divergence)
        return (mixture.log_weights.exp() * bounds).sum(dim=0)


class MMVAE(VariationalFusion):
    r"""A multimodal variational autoencoder whose posterior is a mixture of experts.

    $$ q(z | x) = \frac1{|A|} \sum_{m \in A} q_m(z | x_m), \qquad
       \frac1{|A|} \sum_{m \in A} E_{z_1, \ldots, z_K \sim q_m} \log \frac1K
       \sum_{k} \frac{p(z_k) \prod_{j \in A} p(x_j | z_k)}{q(z_k | x)} $$

    over the modalities A that a row has. Every modality has to be rebuilt from every single one, which is what generation asks for; what
    only one of them knows cannot be rebuilt from the others, so pictures come out smoother than with `MVAE`. `transform` gives the
    mean of the mixture; `generate` makes any modality from any part, `sample` all from the prior; `score` is the mean
    importance-weighted bound, in nats a row.

    Args:
        n_components: Dimensions of the code.
        encoders: Name -> encoder recipe of vectors, pictures of one size, or texts; modalities left out take
            `polymodal.encoders.default_encoder`. A decoder is as wide as its encoder; of texts it makes the words.
        likelihoods: Name -> "gaussian", "laplace", "bernoulli", "categorical" or an object of `polymodal.objectives`. Left out: values
            that are all 0 or 1 are Bernoulli (one 1 in each row: categorical), all others normal with a learned scale.
        beta: Weight of the divergence, >= 0. At 1 training raises a lower bound on log p(x); above 1, a looser one.
        rescale: Whether, in training, each log likelihood is multiplied by the largest count of numbers among the modalities over its
            own, so that small ones count as much. What is raised then bounds nothing; `bound` and `score` do without it.
        n_samples: K >= 1, draws from each component. Costs K |A| passes of the decoders a step.
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
        * one modality, K = 1: a variational autoencoder. The mean of the objective rises with K.
        * the posterior given one modality is that modality's expert.
        * a modality that a row lacks changes nothing in it, whatever its stored value.

    References:
        Shi, Siddharth, Paige and Torr 2019, "Variational mixture-of-experts autoencoders for multi-modal deep generative models"
        (there with Laplace experts; here they are normal, as is the prior).
    """

    module_: MixtureModule

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        likelihoods: Likelihoods | None = None,
        beta: float = 1.0,
        rescale: bool = False,
        n_samples: int = 1,
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
        self.n_samples = n_samples

    @classmethod
    def _examples(cls) -> list[MMVAE]:
        return [
            cls(2, training=EXAMPLE_TRAINING, random_state=0),
            cls(2, n_samples=3, training=EXAMPLE_TRAINING, random_state=0),
        ]

    def _make_module(self, build: Callable[[int], Towers], decoders: Decoders) -> MixtureModule:
        towers = build(2 * self.n_components)
        return MixtureModule(towers, decoders, beta=self.beta, rescale=self.rescale, n_samples=self.n_samples)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_count("n_samples", self.n_samples)

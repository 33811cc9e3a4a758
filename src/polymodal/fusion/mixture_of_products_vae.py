"""MoPoE: a variational autoencoder whose posterior is a mixture over all parts of the modalities, each a product of experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations

import torch
from torch import Tensor

from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float
from polymodal.encoders.decoders import DECODABLE_KINDS, Decoders
from polymodal.fusion._variational import EXAMPLE_TRAINING, VariationalFusion, VariationalModule
from polymodal.nn.experts import product_of_experts
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.elbo import normal_divergence
from polymodal.objectives.normal_mixture import NormalMixture


def mixture_of_products(
    means: Mapping[str, Float[Tensor, "n k"]],
    log_variances: Mapping[str, Float[Tensor, "n k"]],
    present: Mapping[str, Bool[Tensor, " n"]],
    *,
    full: int,
    parts: Sequence[Sequence[str]] | None = None,
) -> NormalMixture:
    """One product of experts for each non-empty part of the modalities, with equal weights over the parts that a row has whole.

    Args:
        means: Name -> mean of each expert.
        log_variances: Name -> logarithm of its variance.
        present: Name -> which rows have it.
        full: How many modalities there are: the part of so many has the prior N(0, 1) as one more expert, as in the authors' program.
        parts: Which parts; None: all 2^M - 1.

    Relations:
        * only the part of all: the posterior of `MVAE`, on rows that have all.
        * only single modalities, of more than one: the posterior of `MMVAE`.
    """
    names = sorted(means)
    chosen = (
        chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1))
        if parts is None
        else parts
    )
    found, there = [], []
    for part in chosen:
        product = product_of_experts(
            {name: means[name] for name in part},
            {name: log_variances[name] for name in part},
            {name: present[name] for name in part},
            prior=len(part) == full,
        )
        found.append(product)
        there.append(torch.stack([present[name] for name in part]).all(dim=0))
    centres, spreads = (torch.stack([product[i] for product in found]) for i in (0, 1))
    return NormalMixture.even(centres, spreads, torch.stack(there))


class MixtureOfProductsModule(VariationalModule):
    """The posterior is an even mixture of the products of all parts of what a row has."""

    def posterior(self, columns: Mapping[str, EncodedColumn]) -> NormalMixture:
        """Up to 2^M - 1 components a row."""
        return mixture_of_products(*self.experts(columns), full=len(self.towers.names))

    def objective(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, " n"]:
        """One draw of the mixture rebuilds all; the divergence is the mean of the components', which is not smaller than the mixture's."""
        mixture = self.posterior(columns)
        likelihood = self.weighted_likelihood(mixture.draw(1)[0], columns)
        divergences = normal_divergence(mixture.means, mixture.log_variances)
        return likelihood - self.beta * (mixture.log_weights.exp() * divergences).sum(dim=0)


class MoPoE(VariationalFusion):
    r"""A multimodal variational autoencoder whose posterior is a mixture over all parts of the modalities, each a product of experts.

    $$ q(z | x) = \frac1S \sum_{\emptyset \ne B \subseteq A} q_B(z | x_B), \quad q_B \propto \prod_{m \in B} q_m(z | x_m),
       \quad S = 2^{|A|} - 1, \qquad
       E_q \sum_{m \in A} \log p(x_m | z) - \frac\beta S \sum_B KL(q_B, N(0, 1)) $$

    over the modalities A that a row has: a lower bound, for the divergence of a mixture is at most the mean of its components'. The part of
    all fitted modalities has the prior as one more expert. Between `MVAE` (one product) and `MMVAE` (only single modalities).
    `transform` gives the mean of the mixture; `generate` makes any modality from any part, `sample` all from the prior; `score` is
    the mean importance-weighted bound, in nats a row.

    Args:
        n_components: Dimensions of the code.
        encoders: Name -> encoder recipe of vectors, pictures of one size, or texts; modalities left out take
            `polymodal.encoders.default_encoder`. A decoder is as wide as its encoder; of texts it makes the words.
        likelihoods: Name -> "gaussian", "laplace", "bernoulli", "categorical" or an object of `polymodal.objectives`. Left out: values
            that are all 0 or 1 are Bernoulli (one 1 in each row: categorical), all others normal with a learned scale.
        beta: Weight of the divergence, >= 0. At 1 training raises a lower bound on log p(x); above 1, a looser one.
        rescale: Whether, in training, each log likelihood is multiplied by the largest count of numbers among the modalities over its
            own, so that small ones count as much. What is raised then bounds nothing; `bound` and `score` do without it.
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
        * one modality: a variational autoencoder, the same as `MVAE`.
        * two modalities: the mixture of both experts and of the product of `MVAE`.
        * a modality that a row lacks changes nothing in it, whatever its stored value.

    Complexity:
        One pass of the decoders a step; 2^M - 1 products: at most 10 modalities.

    References:
        Sutter, Daunhawer and Vogt 2021, "Generalized multimodal ELBO".
    """

    requires = Requirements(min_modalities=1, max_modalities=10, kinds=DECODABLE_KINDS, unpaired=True)

    module_: MixtureOfProductsModule

    @classmethod
    def _examples(cls) -> list[MoPoE]:
        return [cls(2, training=EXAMPLE_TRAINING, random_state=0)]

    def _make_module(self, build: Callable[[int], Towers], decoders: Decoders) -> MixtureOfProductsModule:
        towers = build(2 * self.n_components)
        return MixtureOfProductsModule(towers, decoders, beta=self.beta, rescale=self.rescale)

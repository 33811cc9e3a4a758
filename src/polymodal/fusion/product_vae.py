"""MVAE: a variational autoencoder whose posterior is the product of what each modality says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from polymodal.core.errors import ConfigError
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fusion._generative import DEFAULT_TRAINING, Likelihoods, alone
from polymodal.fusion._inputs import hide_at_random
from polymodal.fusion._variational import EXAMPLE_TRAINING, VariationalFusion, VariationalModule
from polymodal.nn.experts import product_of_experts
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.elbo import draw_normal, normal_divergence
from polymodal.objectives.normal_mixture import NormalMixture
from polymodal.training.options import Training


def sub_samples(
    present: Mapping[str, Bool[torch.Tensor, " n"]], n_subsets: int
) -> list[dict[str, Bool[torch.Tensor, " n"]]]:
    """What the terms of the objective see of each row: all it has, each modality alone where it has several, and random parts.

    Args:
        present: Name -> which rows have it.
        n_subsets: Random parts of each row, drawn where there are more than two modalities.
    """
    several = torch.stack([present[name] for name in sorted(present)]).sum(dim=0) > 1
    singles = [
        {other: mask & several for other, mask in alone(present, name).items()}
        for name in (sorted(present) if len(present) > 1 else ())
    ]
    drawn = [hide_at_random(present, 1.0) for _ in range(n_subsets if len(present) > 2 else 0)]
    return [dict(present), *singles, *drawn]


class ProductModule(VariationalModule):
    """The posterior is a product of experts, of which the prior is one."""

    def __init__(
        self, towers: Towers, decoders: Decoders, *, beta: float, rescale: bool, n_subsets: int
    ) -> None:
        super().__init__(towers, decoders, beta=beta, rescale=rescale)
        self.n_subsets = n_subsets

    def posterior(self, columns: Mapping[str, EncodedColumn]) -> NormalMixture:
        """One normal a row."""
        return NormalMixture.single(*product_of_experts(*self.experts(columns)))

    def objective(self, columns: Mapping[str, EncodedColumn]) -> Float[torch.Tensor, " n"]:
        """Sum of the bounds on what `sub_samples` leaves of each row."""
        means, spreads, present = self.experts(columns)
        parts = sub_samples(present, self.n_subsets)
        products = [product_of_experts(means, spreads, part) for part in parts]
        mean, spread = (torch.stack([product[i] for product in products]) for i in (0, 1))
        kept = {name: torch.stack([part[name] for part in parts]) for name in present}
        likelihood = self.weighted_likelihood(draw_normal(mean, spread), columns, kept)
        return (likelihood - self.beta * normal_divergence(mean, spread)).sum(dim=0)


class MVAE(VariationalFusion):
    r"""A multimodal variational autoencoder whose posterior is a product of experts.

    $$ q(z | x_A) \propto N(z; 0, 1) \prod_{m \in A} q_m(z | x_m), \qquad
       \mathrm{ELBO}(A) = E_q \sum_{m \in A} \log p(x_m | z) - \beta\, KL(q(z | x_A), N(0, 1)) $$

    Training raises ELBO(all that a row has) + sum over its modalities of ELBO(that one) + ELBO of random parts, so every expert is also
    trained alone. A modality that a row lacks is an expert less, and is not rebuilt. `transform` gives the posterior mean; `generate` makes
    any modality from any part, `sample` all from the prior; `score` is the mean importance-weighted bound, in nats a row.

    Experts that are sure outvote the others in a product: what is generated from one modality is mostly less good than with `MMVAE`
    or `MoPoE`, the bound mostly better.

    Args:
        n_components: Dimensions of the code.
        encoders: Name -> encoder recipe of vectors, pictures of one size, or texts; modalities left out take
            `polymodal.encoders.default_encoder`. A decoder is as wide as its encoder; of texts it makes the words.
        likelihoods: Name -> "gaussian", "laplace", "bernoulli", "categorical" or an object of `polymodal.objectives`. Left out: values
            that are all 0 or 1 are Bernoulli (one 1 in each row: categorical), all others normal with a learned scale.
        beta: Weight of the divergence, >= 0. At 1 training raises a lower bound on log p(x); above 1, a looser one.
        rescale: Whether, in training, each log likelihood is multiplied by the largest count of numbers among the modalities over its
            own, so that small ones count as much. What is raised then bounds nothing; `bound` and `score` do without it.
        n_subsets: Random parts of each row in the objective, >= 0; with two modalities there are none besides the others.
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
        * linear decoders and the exact posterior of each modality: the product is the exact posterior of all, and the bound log p(x).
        * a modality that a row lacks changes nothing in it, whatever its stored value.

    References:
        Wu and Goodman 2018, "Multimodal generative models for scalable weakly-supervised learning".
    """

    module_: ProductModule

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        likelihoods: Likelihoods | None = None,
        beta: float = 1.0,
        rescale: bool = False,
        n_subsets: int = 1,
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
        self.n_subsets = n_subsets

    @classmethod
    def _examples(cls) -> list[MVAE]:
        return [cls(2, training=EXAMPLE_TRAINING, random_state=0)]

    def _make_module(self, build: Callable[[int], Towers], decoders: Decoders) -> ProductModule:
        towers = build(2 * self.n_components)
        return ProductModule(towers, decoders, beta=self.beta, rescale=self.rescale, n_subsets=self.n_subsets)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if isinstance(self.n_subsets, bool) or not isinstance(self.n_subsets, int) or self.n_subsets < 0:
            raise ConfigError(
                f"MVAE needs n_subsets to be a whole number of at least 0, got {self.n_subsets!r}."
            )

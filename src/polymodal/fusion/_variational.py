"""What multimodal variational autoencoders share: posteriors, bounds on the likelihood, draws. Abstract."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float, Shaped
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders, decode
from polymodal.fusion._generative import DEFAULT_TRAINING, GenerativeFusion, GenerativeModule, Likelihoods
from polymodal.fusion._layer import check_count
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.elbo import importance_weighted_bound, normal_log_density
from polymodal.objectives.normal_mixture import NormalMixture
from polymodal.training.batches import Batch
from polymodal.training.options import Training
from polymodal.training.seeding import seeded

LEAST_LOG_VARIANCE = math.log(1e-4)
"""Least log variance of what one modality says; the largest is minus this."""

SCORE_DRAWS = 8

Experts = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


class VariationalModule(GenerativeModule):
    """Encoders give a mean and a log variance; a method says how they become one posterior.

    Args:
        towers: Their vectors have 2 k features.
        decoders: Of codes of k features.
        beta: Weight of the divergence.
        rescale: Whether likelihoods are weighted against their count of numbers.
    """

    def __init__(self, towers: Towers, decoders: Decoders, *, beta: float, rescale: bool) -> None:
        super().__init__(towers, decoders)
        self.beta = beta
        largest = max(decoders.sizes.values())
        self.weights = {name: largest / size if rescale else 1.0 for name, size in decoders.sizes.items()}
        self.numbers = sum(size * self.weights[name] for name, size in decoders.sizes.items())

    def experts(self, columns: Mapping[str, EncodedColumn]) -> Experts:
        """Name -> mean and name -> log variance of what each modality says, (n, k), and name -> presence."""
        vectors, present = self.towers(columns)
        means, spreads = {}, {}
        for name, vector in vectors.items():
            means[name], spread = vector.float().chunk(2, dim=1)
            spreads[name] = spread.clamp(LEAST_LOG_VARIANCE, -LEAST_LOG_VARIANCE)
        return means, spreads, present

    @abstractmethod
    def posterior(self, columns: Mapping[str, EncodedColumn]) -> NormalMixture:
        """Of each row's code, given the modalities it has."""

    @abstractmethod
    def objective(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, " n"]:
        """What training raises: the bound on each row, in nats, or a sum of bounds."""

    def forward(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, "n k"]:
        """Posterior means."""
        return self.posterior(columns).mean()

    def weighted_likelihood(
        self,
        codes: Float[Tensor, "*draws n k"],
        columns: Mapping[str, EncodedColumn],
        kept: Mapping[str, Bool[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*draws n"]:
        """`log_likelihood` as training weighs it."""
        return self.log_likelihood(codes, columns, kept, weights=self.weights)

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Minus the objective, in nats a number."""
        return -self.objective(batch.columns).mean() / self.numbers


def log_prior(codes: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """Log density of N(0, 1), in nats."""
    return normal_log_density(codes, torch.zeros_like(codes), codes.new_zeros(1))


def log_weights(
    module: VariationalModule, columns: Mapping[str, EncodedColumn], *, n_samples: int
) -> Float[Tensor, "draws n"]:
    r"""$\log p(x, z) - \log q(z | x)$ of draws from each row's posterior, x being what the row has; decoded one draw at a time."""
    posterior = module.posterior(columns)
    codes = posterior.draw(n_samples)
    likelihood = torch.stack([module.log_likelihood(draw, columns) for draw in codes])
    return likelihood + log_prior(codes) - posterior.log_density(codes)


class VariationalFusion(GenerativeFusion):
    """Base of multimodal variational autoencoders. A method writes `_make_module`, and stores parameters of its own."""

    module_: VariationalModule

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        likelihoods: Likelihoods | None = None,
        beta: float = 1.0,
        rescale: bool = False,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.likelihoods = likelihoods
        self.beta = beta
        self.rescale = rescale
        self.training = training
        self.random_state = random_state

    def generate(
        self,
        data: Modalities | Mapping[str, Any],
        *,
        target: str,
        n_samples: int | None = None,
        random_state: RandomState = None,
    ) -> Shaped[np.ndarray, "..."]:
        """`target` of each row, from any non-empty part of the modalities, in the units of the data.

        Args:
            data: Rows.
            target: A fitted modality. Where a row has it itself, that is a reconstruction.
            n_samples: None: one expected value a row, at the posterior mean, (n, ...). A number: so many draws of the code, each with
                its expected value, (n_samples, n, ...).
            random_state: Fixes the draws.

        Raises:
            ModalityError: a target that was not fitted, or rows without any modality.
        """
        if n_samples is None:
            return super().generate(data, target=target)
        check_count("n_samples", n_samples)
        frame = self._check_source(data, target)

        def draw(module: VariationalModule, batch: Batch) -> dict[str, Tensor]:
            return {"z": module.posterior(batch.columns).draw(n_samples).transpose(0, 1)}

        with seeded(random_state):
            codes = self._infer(frame, draw).get("z", np.empty((0, n_samples, self.n_components)))
        flat = codes.transpose(1, 0, 2).reshape(-1, self.n_components)
        made = decode(self.module_, self.module_.decoders, target, flat)
        return made.reshape(n_samples, len(frame), *made.shape[1:])

    def sample(self, n_samples: int = 1, *, random_state: RandomState = None) -> Modalities:
        """Rows that nobody saw: codes from the prior N(0, 1), and the expected value of every modality for each."""
        self._check_fitted()
        check_count("n_samples", n_samples)
        with seeded(random_state):
            codes = torch.randn(n_samples, self.n_components).numpy()
        made = {name: decode(self.module_, self.module_.decoders, name, codes) for name in self.modalities_}
        return Modalities({name: list(v) if v.dtype == object else v for name, v in made.items()})

    def bound(
        self, data: Modalities | Mapping[str, Any], *, n_samples: int = 1, random_state: RandomState = 0
    ) -> Float[np.ndarray, " n"]:
        r"""Importance-weighted bound on the log density of what each row has, $\log \frac1K \sum_k p(x, z_k) / q(z_k | x)$.

        In nats and in the units of the data; in the mean below log p(x), and rising with the draws. `beta` and `rescale` do not enter.

        Args:
            data: Rows.
            n_samples: K, draws from the posterior; 1 estimates the evidence lower bound.
            random_state: Fixes the draws.

        Raises:
            ModalityError: rows without any modality.

        Complexity:
            K passes of the decoders.
        """
        frame = self._check_known(data)
        self._check_some_present(frame)
        check_count("n_samples", n_samples)

        def bounds(module: VariationalModule, batch: Batch) -> dict[str, Tensor]:
            weights = log_weights(module, batch.columns, n_samples=n_samples)
            return {"bound": importance_weighted_bound(weights)}

        with seeded(random_state):
            found = self._infer(frame, bounds).get("bound", np.zeros(0))
        return found.astype(np.float64)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        return float(self.bound(data, n_samples=SCORE_DRAWS).mean())

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_not_negative("beta")


EXAMPLE_TRAINING = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)

"""How likely values are under what a decoder says of them: normal, Laplace, yes-or-no, and one-of-many, in nats.

A likelihood is a frozen dataclass without weights. Its functions take values and parameters whose last axis is all numbers of one
value, flat; a scale that is learned is the caller's parameter.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polymodal.core.errors import ConfigError, suggest
from polymodal.core.typing import Float
from polymodal.objectives.elbo import normal_log_density

LikelihoodName = Literal["gaussian", "laplace", "bernoulli", "categorical"]

SMALLEST_SCALE = 1e-2
"""Least learned scale, in standard deviations of a feature: a density without bound teaches nothing but its scale."""


class Likelihood(ABC):
    """Base of likelihoods.

    Attributes:
        standard: Whether values and parameters are standardised: numbers of mean 0 and variance 1. Otherwise they are what the
            likelihood is about: shares, counts, one-hot vectors.
    """

    standard: ClassVar[bool]
    scale: float | None = 1.0
    each: bool = False

    @abstractmethod
    def log_prob(
        self,
        values: Float[Tensor, "... d"],
        parameters: Float[Tensor, "... d"],
        log_scale: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """Log density, or log probability, of each value: the last axis is summed, the others broadcast.

        Args:
            values: What was seen.
            parameters: What a decoder gives.
            log_scale: Logarithm of the scale: one number, or one a feature. Read by normal and Laplace only.
        """

    @abstractmethod
    def expect(self, parameters: np.ndarray) -> np.ndarray:
        """The expected value."""


@dataclass(frozen=True)
class _Located(Likelihood):
    """A location that a decoder gives, and a scale.

    Args:
        scale: Standard deviation (normal) or mean distance (Laplace) of a standardised number, > 0; None learns it.
        each: Whether every feature has a learned scale of its own, instead of one for the modality.
    """

    standard: ClassVar[bool] = True

    scale: float | None = None
    each: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise ConfigError(f"{name} needs scale > 0, or None to learn it, got {self.scale!r}.")
        if self.each and self.scale is not None:
            raise ConfigError(
                f"{name} learns a scale for each feature or is given one, got scale={self.scale!r} and each=True."
            )

    def expect(self, parameters: np.ndarray) -> np.ndarray:
        """The location."""
        return parameters


class GaussianLikelihood(_Located):
    r"""$\log N(x; \mu, \sigma^2)$, summed over the numbers of a value.

    Args:
        scale: $\sigma$ of a standardised number, > 0; None learns it.
        each: Whether every feature has a learned $\sigma$ of its own.

    Relations:
        * scale = 1: minus half the squared error, up to a constant.
        * a learned scale ends at the root of the mean squared error.

    References:
        Rybkin, Daniilidis and Levine 2021, "Simple and effective VAE training with calibrated decoders" (learned scale).
    """

    def log_prob(
        self,
        values: Float[Tensor, "... d"],
        parameters: Float[Tensor, "... d"],
        log_scale: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """Log density."""
        return normal_log_density(values, parameters, 2 * log_scale)


class LaplaceLikelihood(_Located):
    r"""$-|x - \mu| / b - \log 2b$, summed over the numbers of a value: large errors cost less than under a normal.

    Args:
        scale: b of a standardised number, > 0; None learns it.
        each: Whether every feature has a learned b of its own.

    Relations:
        * `torch.distributions.Laplace.log_prob`, summed.
        * a learned scale ends at the mean absolute error.
    """

    def log_prob(
        self,
        values: Float[Tensor, "... d"],
        parameters: Float[Tensor, "... d"],
        log_scale: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """Log density."""
        error = (values - parameters).abs() * (-log_scale).exp()
        return -(error + log_scale + math.log(2)).sum(dim=-1)


@dataclass(frozen=True)
class BernoulliLikelihood(Likelihood):
    r"""$x \log p + (1 - x) \log (1 - p)$, $p = \operatorname{sigmoid}(\text{parameter})$, summed.

    A probability where x is 0 or 1. Shades in between (grey pixels as shares of white) cost their cross-entropy, which is no
    density: such a bound compares models of the same data, and nothing else.

    Relations:
        * `torch.distributions.Bernoulli(logits=...).log_prob`, summed.
    """

    standard: ClassVar[bool] = False

    def log_prob(
        self,
        values: Float[Tensor, "... d"],
        parameters: Float[Tensor, "... d"],
        log_scale: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """Log probability."""
        del log_scale
        wanted, logits = torch.broadcast_tensors(values, parameters)  # type: ignore[no-untyped-call]
        return -functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(dim=-1)

    def expect(self, parameters: np.ndarray) -> np.ndarray:
        """Probabilities."""
        from scipy.special import expit

        found: np.ndarray = expit(parameters)
        return found


@dataclass(frozen=True)
class CategoricalLikelihood(Likelihood):
    r"""$\sum_k x_k \log p_k$, p = softmax of the parameters: of a one-hot vector, or of the words of a text, whose counts are x.

    Relations:
        * one-hot x: minus `torch.nn.functional.cross_entropy`.
        * counts: the log probability of that sequence of words, drawn one by one.
    """

    standard: ClassVar[bool] = False

    def log_prob(
        self,
        values: Float[Tensor, "... d"],
        parameters: Float[Tensor, "... d"],
        log_scale: Float[Tensor, "..."],
    ) -> Float[Tensor, "..."]:
        """Log probability."""
        del log_scale
        return (values * parameters.log_softmax(dim=-1)).sum(dim=-1)

    def expect(self, parameters: np.ndarray) -> np.ndarray:
        """Probabilities."""
        from scipy.special import softmax

        found: np.ndarray = softmax(parameters, axis=-1)
        return found


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": GaussianLikelihood,
    "laplace": LaplaceLikelihood,
    "bernoulli": BernoulliLikelihood,
    "categorical": CategoricalLikelihood,
}


def likelihood_of(given: Likelihood | str) -> Likelihood:
    """A likelihood by name, with its defaults; objects stay as they are.

    Raises:
        ConfigError: an unknown name.
    """
    if isinstance(given, Likelihood):
        return given
    if given not in LIKELIHOODS:
        raise ConfigError(
            f"A likelihood is one of {list(LIKELIHOODS)}, or an object such as GaussianLikelihood(scale=0.5); got {given!r}."
            + suggest(given, LIKELIHOODS)
        )
    return LIKELIHOODS[given]()

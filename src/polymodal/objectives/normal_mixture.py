"""`NormalMixture`: what several posteriors say of the same hidden vectors, each of them with its weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polymodal.core.typing import Float
from polymodal.objectives.elbo import draw_normal, normal_log_density


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """For each of n rows a mixture of s diagonal normals in k dimensions.

    Attributes:
        means: (s, n, k).
        log_variances: (s, n, k); finite also where a component has no weight.
        log_weights: (s, n), logarithms of weights that add up to 1 over s; minus infinity for a component that a row has not.

    Relations:
        * one component: that normal.
        * equal components: that normal, whatever the weights.
    """

    means: Float[Tensor, "s n k"]
    log_variances: Float[Tensor, "s n k"]
    log_weights: Float[Tensor, "s n"]

    @classmethod
    def single(cls, mean: Float[Tensor, "n k"], log_variance: Float[Tensor, "n k"]) -> NormalMixture:
        """One normal a row."""
        return cls(mean[None], log_variance[None], mean.new_zeros(1, len(mean)))

    @classmethod
    def even(
        cls, means: Float[Tensor, "s n k"], log_variances: Float[Tensor, "s n k"], there: Tensor
    ) -> NormalMixture:
        """The same weight for every component that a row has, (s, n) `there`; rows that have none share out all of them."""
        some = there | ~there.any(dim=0)
        weights = some.to(means.dtype) / some.sum(dim=0)
        return cls(means, log_variances, weights.log())

    def mean(self) -> Float[Tensor, "n k"]:
        """The mean of each row's mixture."""
        return (self.log_weights.exp()[..., None] * self.means).sum(dim=0)

    def choose(self, n_draws: int) -> Tensor:
        """(n_draws, n) components, drawn by weight."""
        if len(self.means) == 1:
            return torch.zeros((n_draws, self.means.shape[1]), dtype=torch.long, device=self.means.device)
        return torch.multinomial(self.log_weights.exp().T, n_draws, replacement=True).T

    def draw(self, n_draws: int) -> Float[Tensor, "draws n k"]:
        """Draws, differentiable in the means and variances of the components they come from."""
        chosen = self.choose(n_draws)
        rows = torch.arange(chosen.shape[1], device=chosen.device)
        return draw_normal(self.means[chosen, rows], self.log_variances[chosen, rows])

    def log_density(self, codes: Float[Tensor, "... n k"]) -> Float[Tensor, "... n"]:
        """Log density of the mixture, in nats."""
        each = normal_log_density(codes[..., None, :, :], self.means, self.log_variances)
        return (each + self.log_weights).logsumexp(dim=-2)

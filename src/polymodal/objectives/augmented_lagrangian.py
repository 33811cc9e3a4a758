"""A constraint that holds at the end of training, not one that is traded against the loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Float


class AugmentedLagrangian(nn.Module):
    r"""Minimise L subject to c = 0, by the method of multipliers.

    $$ L + \mu^\top c + \tfrac{\rho}{2} \|c\|^2, \qquad \mu \leftarrow \mu + \rho\, \bar c $$

    The multipliers ASCEND: they are buffers, moved here and never by the optimiser. $L + \mu^\top c$ has its solution at a saddle,
    so descending in $\mu$ too runs away from it. While training, every `interval`-th call moves them by the mean $\bar c$ of the
    calls since; in evaluation nothing moves. The penalty grows where a move did not shrink the violation enough.

    Args:
        n_constraints: Entries of c.
        penalty: rho at the start, > 0.
        growth: What rho is multiplied by after a move that leaves more than `shrink` of the violation, >= 1.
        shrink: In (0, 1).
        tolerance: Size of the violation below which rho does not grow: rounding and the noise of batches never vanish.
        interval: Calls between moves, enough for the optimiser to follow.
        max_penalty: Where rho stops growing.

    Attributes:
        multiplier: mu, (n_constraints,).
        penalty: rho, a scalar.

    Raises:
        ConfigError: an argument out of range.

    Relations:
        * at a solution, grad L + sum_k mu_k grad c_k = 0: the multipliers are the Lagrange multipliers.
        * c = 0 gives L.
        * before the first move: L with the quadratic penalty rho / 2 |c|^2.

    References: Hestenes 1969; Powell 1969; Nocedal and Wright 2006, chapter 17.
    """

    multiplier: Tensor
    penalty: Tensor
    _total: Tensor
    _calls: Tensor
    _last: Tensor

    def __init__(
        self,
        n_constraints: int = 1,
        *,
        penalty: float = 1.0,
        growth: float = 2.0,
        shrink: float = 0.9,
        tolerance: float = 1e-4,
        interval: int = 10,
        max_penalty: float = 1e4,
    ) -> None:
        super().__init__()
        if (
            n_constraints < 1
            or interval < 1
            or not 0 < penalty <= max_penalty
            or growth < 1
            or not 0 < shrink < 1
        ):
            raise ConfigError(
                "AugmentedLagrangian needs n_constraints and interval of at least 1, 0 < penalty <= max_penalty, growth >= 1 and "
                f"shrink in (0, 1); got {n_constraints}, {interval}, {penalty}, {max_penalty}, {growth} and {shrink}."
            )
        self.growth, self.shrink, self.tolerance = growth, shrink, tolerance
        self.interval, self.max_penalty = interval, max_penalty
        self.register_buffer("multiplier", torch.zeros(n_constraints))
        self.register_buffer("penalty", torch.tensor(float(penalty)))
        self.register_buffer("_total", torch.zeros(n_constraints))
        self.register_buffer("_calls", torch.tensor(0))
        self.register_buffer("_last", torch.tensor(math.inf))

    def forward(self, objective: Float[Tensor, ""], constraints: Float[Tensor, " k"]) -> Float[Tensor, ""]:
        """What to descend in everything but the multipliers."""
        mu, rho = self.multiplier, self.penalty  # as they were: the graph keeps them when they move below
        loss = objective + (mu * constraints).sum() + rho / 2 * constraints.square().sum()
        if self.training:
            self._total = self._total + constraints.detach()
            self._calls = self._calls + 1
            if int(self._calls) >= self.interval:
                self._move(self._total / self._calls)
        return loss

    @torch.no_grad()
    def _move(self, violation: Tensor) -> None:
        self.multiplier = self.multiplier + self.penalty * violation
        size = torch.linalg.vector_norm(violation)
        if bool((size > self.shrink * self._last) & (size > self.tolerance)):
            self.penalty = (self.penalty * self.growth).clamp(max=self.max_penalty)
        self._last = size
        self._total, self._calls = torch.zeros_like(self._total), torch.zeros_like(self._calls)

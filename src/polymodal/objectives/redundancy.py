"""How much one part of a representation says about another, as something to descend: a learned bound, or a learned opponent.

All hold a small network that has to keep up with the parts. Each call gives two terms: `penalty`, whose gradient reaches the
parts alone, and `fit`, whose gradient reaches the network alone. One optimiser descends `weight * penalty + fit`, so the
weight of the penalty does not slow the network. A weight so large that the parts outrun the network makes the penalty blind.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from polymodal.core.typing import Float, Int


class Redundancy(NamedTuple):
    """`penalty` trains the parts, `fit` trains the network that measures them."""

    penalty: Float[Tensor, ""]
    fit: Float[Tensor, ""]


class ClubPenalty(nn.Module):
    r"""CLUB: an upper bound of the mutual information of two parts, by a normal $q(b \mid a)$ fitted to them.

    $$ \hat I = \frac1n \sum_i \log q(b_i \mid a_i) - \frac1{n^2} \sum_{ij} \log q(b_j \mid a_i), \qquad
       \text{fit} = -\frac1n \sum_i \log q(b_i \mid a_i) $$

    An upper bound only when q is the true conditional; where q is poor it may be far too small, even below 0. The second sum
    needs no pairs: it depends on the first two moments of b.

    Args:
        n_a: Features of a.
        n_b: Features of b.
        width: Hidden features of q.

    Relations:
        * gradient of `penalty` is 0 in the network's parameters, that of `fit` in a and b.
        * bivariate normals of correlation r: tends to r^2 / (1 - r^2) nats, more than the truth -ln(1 - r^2) / 2.

    Complexity:
        O(n) for given sizes.

    References: Cheng et al. 2020, "CLUB: a contrastive log-ratio upper bound of mutual information".
    """

    def __init__(self, n_a: int, n_b: int, *, width: int = 64) -> None:
        super().__init__()
        self.layers = _network(n_a, 2 * n_b, width)

    def forward(self, a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Redundancy:
        """Both terms in nats; 0 without rows."""
        if not len(a):
            return Redundancy((a.sum() + b.sum()) * 0, (a.sum() + b.sum()) * 0)
        mean, log_variance = self._normal(_frozen(self.layers, a))
        matched = (b - mean).square()
        shuffled = (mean - b.mean(0)).square() + b.var(0, correction=0)
        penalty = ((shuffled - matched) * (-log_variance).exp() / 2).sum(1).mean()
        mean, log_variance = self._normal(self.layers(a.detach()))
        squares = (b.detach() - mean).square() * (-log_variance).exp()
        fit = ((squares + log_variance + math.log(2 * math.pi)) / 2).sum(1).mean()
        return Redundancy(penalty, fit)

    @staticmethod
    def _normal(outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = outputs.chunk(2, dim=1)
        return mean, 8 * torch.tanh(
            raw / 8
        )  # variances in e^-8 .. e^8: a part that is constant cannot blow it up


class NceClubPenalty(nn.Module):
    r"""NCE-CLUB: the difference of means of a critic that InfoNCE made optimal; given classes, of the conditional dependence.

    $$ \hat I = \max\Big(0, \frac1n \sum_i f(a_i, b_i) - \frac1n \sum_i \frac{1}{|C_i|} \sum_{j \in C_i} f(a_i, b_j)\Big), \qquad
       \text{fit} = -\frac1n \sum_i \log \frac{e^{f(a_i, b_i)}}{\sum_{j \in C_i} e^{f(a_i, b_j)}} $$

    (fit averaged over both directions). C_i are all rows, or those of the class of i: then products of marginals are drawn from
    within the class, which is what conditioning on it means. The critic is $f(a, b) = g(a) \cdot h(b) / \sqrt w$, so all pairs cost one
    product of matrices. The bound ends at 0, where the critic sees nothing; below it only the critic would be fooled.

    Args:
        n_a: Features of a.
        n_b: Features of b.
        n_classes: Classes of the condition, which the critic also reads; 0: no condition.
        width: Features of g and h.

    Relations:
        * an optimal critic: the Jeffreys divergence of joint and product, at least the mutual information; r^2 / (1 - r^2) nats
          for bivariate normals, as CLUB.
        * gradient of `penalty` is 0 in the critic's parameters, that of `fit` in a and b.
        * a row alone in its class adds nothing.

    Complexity:
        O(n^2 width).

    References: Liang et al. 2023, "Factorized contrastive learning".
    """

    def __init__(self, n_a: int, n_b: int, *, n_classes: int = 0, width: int = 32) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.left = _network(n_a + n_classes, width, width)
        self.right = _network(n_b + n_classes, width, width)

    def forward(
        self, a: Float[Tensor, "n p"], b: Float[Tensor, "n q"], classes: Int[Tensor, " n"] | None = None
    ) -> Redundancy:
        """Both terms in nats; 0 without rows."""
        if not len(a):
            return Redundancy((a.sum() + b.sum()) * 0, (a.sum() + b.sum()) * 0)
        left, right = self._inputs(a, b, classes)
        scores = self._scores(_frozen(self.left, left), _frozen(self.right, right))
        allowed = _same(classes, len(a), a.device)
        apart = scores.masked_fill(~allowed, 0.0).sum(1) / allowed.sum(1)
        penalty = (scores.diagonal() - apart).mean().clamp_min(0)
        return Redundancy(penalty, self.contrast(a.detach(), b.detach(), classes))

    def contrast(
        self, a: Float[Tensor, "n p"], b: Float[Tensor, "n q"], classes: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        """`fit` with gradients in a and b as well: descend it to raise the (conditional) dependence."""
        left, right = self._inputs(a, b, classes)
        scores = self._scores(self.left(left), self.right(right))
        scores = scores.masked_fill(~_same(classes, len(a), a.device), -torch.inf)
        both = scores.log_softmax(1).diagonal() + scores.log_softmax(0).diagonal()
        return -both.mean() / 2

    def _inputs(self, a: Tensor, b: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        if classes is None:
            return a, b
        known = nn.functional.one_hot(classes, self.n_classes).to(a.dtype)
        return torch.cat([a, known], 1), torch.cat([b, known], 1)

    @staticmethod
    def _scores(left: Tensor, right: Tensor) -> Tensor:
        scores: Tensor = left @ right.T / math.sqrt(left.shape[1])
        return scores


class AdversarialPenalty(nn.Module):
    r"""An opponent predicts b from a; a learns to make it fail.

    $$ \text{fit} = \frac1{nq} \sum_{ij} (\tilde b_{ij} - f(a_i)_j)^2, \qquad \text{penalty} = \max(0, 1 - \text{fit}) $$

    with $\tilde b$ standardised over the batch and held fixed: 1 - fit is the share of variance predicted, and the penalty's gradient
    in a is that of `fit` behind `reverse_gradient` while the opponent does better than the mean; then it stops, where plain reversal
    would go on pushing a to wherever the opponent errs most.

    Args:
        n_a: Features of a, which learns to say nothing about b.
        n_b: Features of b, which does not move.
        width: Hidden features of the opponent.

    Relations:
        * gradient of `penalty` in a: minus the gradient of `fit` in a, while fit < 1; in the network: 0.
        * blind to shift and scale of any column of b.

    References: Ganin et al. 2016, "Domain-adversarial training of neural networks"; Schmidhuber 1992 (predictability minimisation).
    """

    def __init__(self, n_a: int, n_b: int, *, width: int = 64) -> None:
        super().__init__()
        self.layers = _network(n_a, n_b, width)

    def forward(self, a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Redundancy:
        """Both terms, in shares of the variance of b; 0 without rows."""
        if not len(a):
            return Redundancy((a.sum() + b.sum()) * 0, (a.sum() + b.sum()) * 0)
        target = b.detach() - b.detach().mean(0)
        spread = target.square().mean(0).sqrt()
        target = target / spread.clamp_min(1e-6)
        penalty = (1 - (target - _frozen(self.layers, a)).square().mean()).clamp_min(0)
        return Redundancy(penalty, (target - self.layers(a.detach())).square().mean())


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Float[Tensor, "*shape"], strength: float = 1.0) -> Float[Tensor, "*shape"]:
    """`x`, whose gradient arrives multiplied by -strength: what lies behind it climbs the loss that what lies before it descends.

    References: Ganin and Lempitsky 2015, "Unsupervised domain adaptation by backpropagation".
    """
    reversed_: Tensor = _Reverse.apply(x, strength)  # type: ignore[no-untyped-call]
    return reversed_


def _network(n_in: int, n_out: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, n_out)
    )


def _same(classes: Tensor | None, n: int, device: torch.device) -> Tensor:
    """(n, n) True where two rows have one class; everywhere without classes."""
    if classes is None:
        return torch.ones(n, n, dtype=torch.bool, device=device)
    return classes[:, None] == classes[None]


def _frozen(layers: nn.Module, x: Tensor) -> Tensor:
    """The network's output; the gradient passes through to x and leaves the network alone."""
    held = {name: parameter.detach() for name, parameter in layers.named_parameters()}
    result: Tensor = torch.func.functional_call(layers, held, (x,))
    return result

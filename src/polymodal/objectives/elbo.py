"""Terms of the evidence lower bound with diagonal normals, in nats, and the parts of its divergence (total correlation)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from polymodal.core.typing import Float


def normal_log_density(
    x: Float[Tensor, "... d"], mean: Float[Tensor, "... d"], log_variance: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    r"""$\log N(x; \mu, \operatorname{diag} \sigma^2)$ in nats, summed over the last axis; the others broadcast.

    Relations:
        * `torch.distributions.Normal.log_prob`, summed.
    """
    error = (x - mean).square() * (-log_variance).exp()
    return -0.5 * (error + log_variance + math.log(2 * math.pi)).sum(dim=-1)


def normal_divergence(
    mean: Float[Tensor, "*n d"],
    log_variance: Float[Tensor, "*n d"],
    other_mean: Float[Tensor, "*n d"] | None = None,
    other_log_variance: Float[Tensor, "*n d"] | None = None,
) -> Float[Tensor, "*n"]:
    r"""Kullback-Leibler divergence of diagonal normals in nats, summed over the last axis; from N(0, 1) where no other is given.

    $$ KL = \tfrac12 \sum_i \frac{\sigma_i^2 + (\mu_i - m_i)^2}{s_i^2} - 1 - \log \frac{\sigma_i^2}{s_i^2} $$

    Returns:
        At least 0; 0 only for equal normals.

    Relations:
        * N(mu, 1) from N(0, 1): |mu|^2 / 2.
        * the evidence lower bound is E log p(x | z) less this; it equals log p(x) for the exact posterior.
    """
    m = torch.zeros_like(mean) if other_mean is None else other_mean
    v = torch.zeros_like(mean) if other_log_variance is None else other_log_variance
    gap = log_variance - v
    return 0.5 * (gap.exp() + (mean - m).square() * (-v).exp() - 1 - gap).sum(dim=-1)


def draw_normal(mean: Float[Tensor, "*n d"], log_variance: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """One draw each, differentiable in mean and log variance: mean + sigma * noise."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def importance_weighted_bound(log_weights: Float[Tensor, "draws ..."]) -> Float[Tensor, "..."]:
    r"""$\log \tfrac1K \sum_k w_k$, $w_k = p(x, z_k) / q(z_k | x)$, $z_k \sim q$: in the mean a lower bound on $\log p(x)$.

    Args:
        log_weights: $\log w$ of K draws, in nats.

    Relations:
        * one draw: its log weight, whose mean is the evidence lower bound.
        * in the mean it rises with K, towards log p(x); for the exact posterior every draw gives log p(x).

    References:
        Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders".
    """
    return log_weights.logsumexp(dim=0) - math.log(len(log_weights))


class DivergenceTerms(NamedTuple):
    """What the mean divergence of codes from N(0, 1) is made of, in nats.

    Attributes:
        rows: Information of a code about its row, I(z; row).
        total_correlation: KL of q(z) from the product of its coordinates' q(z_i).
        coordinates: Sum over coordinates of KL(q(z_i), N(0, 1)).
    """

    rows: Tensor
    total_correlation: Tensor
    coordinates: Tensor


def divergence_terms(
    codes: Float[Tensor, "n d"],
    mean: Float[Tensor, "n d"],
    log_variance: Float[Tensor, "n d"],
    *,
    n_rows: int,
) -> DivergenceTerms:
    r"""The three terms of beta-TCVAE, estimated on a batch by minibatch weighted sampling.

    $$ \log q(z) \approx \log \frac{1}{N n} \sum_{j=1}^n q(z | x_j), \qquad \log q(z_i) \approx \log \frac{1}{N n} \sum_j q(z_i | x_j) $$

    N only adds constants: with n_rows = 1 the batch itself is taken as all the data, and total correlation is nearly unbiased for a large
    batch; for N rows it is (d - 1) log N more. Gradients are the same.

    Args:
        codes: One draw a row, z ~ q(z | x).
        mean: Of q(z | x).
        log_variance: Of q(z | x).
        n_rows: N as in the paper, the rows of the training data.

    Complexity:
        O(n^2 d) time and memory.

    Relations:
        * the terms add up to the mean of log q(z | x) - log p(z).
        * one coordinate: total correlation 0.
        * N = 1 and equal rows: q(z) = q(z | x), so rows = 0, and independent coordinates give total correlation 0.

    References:
        Chen, Li, Grosse and Duvenaud 2018, "Isolating sources of disentanglement in variational autoencoders", section 3 and appendix C.
    """
    each = -0.5 * (
        (codes[:, None] - mean[None]).square() * (-log_variance).exp()[None]
        + log_variance[None]
        + math.log(2 * math.pi)
    )
    count = math.log(n_rows * len(codes))
    whole = each.sum(dim=2).logsumexp(dim=1) - count
    alone = (each.logsumexp(dim=1) - count).sum(dim=1)
    own = normal_log_density(codes, mean, log_variance)
    prior = normal_log_density(codes, torch.zeros_like(codes), torch.zeros_like(codes))
    return DivergenceTerms((own - whole).mean(), (whole - alone).mean(), (alone - prior).mean())

"""Pulling the distribution of codes towards a prior: by a discriminator, or by kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from polymodal.core.typing import Float


def matching_game(
    discriminator: nn.Module, codes: Float[Tensor, "n d"], draws: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    r"""The two losses of an adversarial autoencoder's codes, in nats: the encoder's and the discriminator's.

    $$ L_E = -\tfrac1n \sum_i \log D(z_i), \qquad L_D = -\tfrac1m \sum_j \log D(p_j) - \tfrac1n \sum_i \log (1 - D(z_i)) $$

    with D the probability of coming from the prior. The encoder's is the non-saturating form. The first loss gives no gradient to the
    discriminator, the second none to the codes, so their sum may be minimised in one step.

    Args:
        discriminator: Gives one logit a row, (n, 1).
        codes: From the encoder.
        draws: From the prior.

    Relations:
        * a discriminator that says 0 to all: log 2 and 2 log 2.

    References:
        Makhzani, Shlens, Jaitly, Goodfellow and Frey 2016, "Adversarial autoencoders". Goodfellow et al. 2014, section 3.
    """
    still = {name: p.detach() for name, p in discriminator.named_parameters()}
    fooled = functional_call(discriminator, still, (codes,))
    real, fake = discriminator(draws), discriminator(codes.detach())
    return (
        functional.softplus(-fooled).mean(),
        functional.softplus(-real).mean() + functional.softplus(fake).mean(),
    )


def maximum_mean_discrepancy(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, scales: Sequence[float] = (0.25, 1.0, 4.0)
) -> Float[Tensor, ""]:
    r"""Squared distance of the mean embeddings of two samples, averaged over Gaussian kernels.

    $$ \tfrac{1}{n^2} \sum k(a_i, a_j) - \tfrac{2}{nm} \sum k(a_i, b_j) + \tfrac{1}{m^2} \sum k(b_i, b_j), \qquad
       k(x, y) = e^{-|x - y|^2 / (2 c d)} $$

    for each c of `scales`; d is the number of columns, so that two standard normal samples lie at distances near the kernel's width.

    Args:
        a: One sample.
        b: The other.
        scales: Squared widths over d, > 0.

    Returns:
        At least 0 (each sample's own pairs included); about (1/n + 1/m) (1 - mean k) for samples of one distribution, 0 for equal samples.

    Complexity:
        O((n + m)^2 d).

    Relations:
        * symmetric; blind to the order of rows and to a common shift or rotation.
        * N(0, 1) and N(mu, 1) in one dimension with kernel width s^2: tends to $2 s (s^2 + 2)^{-1/2} (1 - e^{-\mu^2 / (2 (s^2 + 2))})$.

    References:
        Gretton, Borgwardt, Rasch, Schoelkopf and Smola 2012, "A kernel two-sample test".
    """
    together = torch.cat([a, b])
    squares = together.square().sum(dim=1)
    distances = (squares[:, None] + squares[None] - 2 * together @ together.T).clamp_min(0)
    weights = torch.cat(
        [torch.full_like(squares[: len(a)], 1 / len(a)), torch.full_like(squares[len(a) :], -1 / len(b))]
    )
    found = [weights @ torch.exp(-distances / (2 * c * a.shape[1])) @ weights for c in scales]
    return torch.stack(found).mean()

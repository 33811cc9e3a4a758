"""Several normal opinions about one hidden vector, combined: a product of experts, of which any may be absent."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from polymodal.core.typing import Bool, Float


def product_of_experts(
    means: Mapping[str, Float[Tensor, "n k"]],
    log_variances: Mapping[str, Float[Tensor, "n k"]],
    present: Mapping[str, Bool[Tensor, " n"]],
    *,
    prior: bool = True,
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    r"""Mean and log variance of $\prod_m N(\mu_m, \sigma_m^2)$ over the experts of each row (diagonal normals).

    $$ \sigma^{-2} = [1 +] \sum_m \sigma_m^{-2}, \qquad \mu = \sigma^2 \sum_m \mu_m \sigma_m^{-2} $$

    Args:
        means: Name -> mean.
        log_variances: Name -> logarithm of the variance.
        present: Name -> which rows have it; the values of absent experts never enter.
        prior: Whether N(0, 1) is one of the experts (the 1 above). A row without any expert is N(0, 1) either way.

    Relations:
        * one expert and no prior: that expert. M equal experts and no prior: the same mean, 1/M of the variance.
        * with the prior: the exact posterior of z ~ N(0, 1) given independent observations $\mu_m = z + N(0, \sigma_m^2)$.

    References:
        Wu and Goodman 2018, "Multimodal generative models for scalable weakly-supervised learning".
    """
    names = sorted(means)
    here = torch.stack([present[name] for name in names])[:, :, None]
    centres = torch.stack([means[name] for name in names]).masked_fill(~here, 0.0)
    spread = torch.stack([log_variances[name] for name in names]).masked_fill(~here, 0.0)
    precisions = (-spread).exp() * here
    lone = (~here.any(dim=0)).to(precisions.dtype)
    precision = precisions.sum(dim=0) + (1.0 if prior else lone)
    return (centres * precisions).sum(dim=0) / precision, -precision.log()

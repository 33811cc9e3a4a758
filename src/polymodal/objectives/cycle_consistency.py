"""Temporal cycle consistency: embeddings of two sequences in which going to the other and back ends where it began."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float


def temporal_cycle_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    form: Literal["regression", "classification"] = "regression",
    temperature: float = 1.0,
    variance_weight: float = 1e-3,
    min_variance: float = 1e-3,
) -> Float[Tensor, ""]:
    r"""Each frame of `a` looks up its soft nearest neighbour in `b`, and must find itself again from there.

    $$ \tilde b_i = \sum_j \mathrm{softmax}_j(-|a_i - b_j|^2/\tau)\, b_j, \qquad
       \beta_{ik} = \mathrm{softmax}_k(-|\tilde b_i - a_k|^2/\tau) $$

    "classification": $-\log \beta_{ii}$. "regression", which forgives near frames: $(i - \mu_i)^2/\sigma_i^2 + \lambda \log \sigma_i$ with
    the mean and variance of k under $\beta_i$. Averaged over the frames of `a`; no labels, no paths. Several sequences are needed:
    a flexible network learns one pair by heart.

    Args:
        a: Embeddings of the frames of one sequence.
        b: Those of another that shows the same action.
        form: Which cycle-back loss.
        temperature: tau > 0, in squared units of the embeddings.
        variance_weight: lambda >= 0, of "regression": what keeps the variance from growing to explain the error.
        min_variance: Added to the variance, > 0, in squared frames, so that a certain return does not divide by zero.

    Returns:
        "classification": nats, between 0 and infinity; log n where all embeddings are equal. "regression": no unit; never below
        lambda log(min_variance) / 2.

    Raises:
        ModalityError: no frames, or a temperature or variance that is not positive.

    Complexity:
        O(n (n + m) d) time, O(n (n + m)) memory.

    Relations:
        * a = b, temperature -> 0: classification -> 0.
        * all embeddings equal: classification log n; regression by the variance (n^2 - 1) / 12 of a uniform frame.
        * moving or rotating both alike changes nothing; nor does the order of the frames of b.

    References: Dwibedi, Aytar, Tompson, Sermanet & Zisserman 2019 (CVPR).
    """
    if not len(a) or not len(b):
        raise ModalityError(
            f"Temporal cycle consistency needs frames on both sides, got a {tuple(a.shape)} and b {tuple(b.shape)}."
        )
    if form not in ("regression", "classification"):
        raise ModalityError(f"form must be 'regression' or 'classification', got {form!r}.")
    if temperature <= 0 or min_variance <= 0 or variance_weight < 0:
        raise ModalityError(
            "temporal_cycle_loss needs temperature > 0, min_variance > 0 and variance_weight >= 0, got "
            f"{temperature}, {min_variance} and {variance_weight}."
        )
    neighbours = (-_squared_distances(a, b) / temperature).softmax(dim=1) @ b
    logits = -_squared_distances(neighbours, a) / temperature
    if form == "classification":
        return -logits.log_softmax(dim=1).diagonal().mean()
    frames = torch.arange(len(a), device=a.device, dtype=a.dtype)
    back = logits.softmax(dim=1)
    mean = back @ frames
    variance = (back * (frames - mean[:, None]) ** 2).sum(dim=1) + min_variance
    return ((frames - mean) ** 2 / variance + variance_weight / 2 * variance.log()).mean()


def _squared_distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """By products, about their common mean: small differences of embeddings far from zero stay right."""
    centre = y.mean(dim=0).detach()
    x, y = x - centre, y - centre
    squares = (x**2).sum(dim=1, keepdim=True) + (y**2).sum(dim=1) - 2 * x @ y.T
    return squares.clamp_min(0.0)

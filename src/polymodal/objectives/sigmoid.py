"""SigLIP: every pair of rows is its own yes-or-no question, so that no row waits for all others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polymodal.core.typing import Float, Int
from polymodal.objectives.positives import positive_pairs


def sigmoid_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    scale: float | Tensor = 10.0,
    bias: float | Tensor = -10.0,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    r"""Minus the log-likelihood that each pair is (y = 1) or is not (y = -1) of one kind, per row.

    $$ L = -\frac1n \sum_{ij} \log \sigma\big(y_{ij} (t \cos(a_i, b_j) + c)\big) $$

    Args:
        a: One embedding per row; normalised here.
        b: The partners, row by row.
        scale: t, the inverse temperature; a tensor gets its gradient.
        bias: c; a tensor gets its gradient. -10 at the start says that most pairs are strangers.
        codes_a: Rows with equal codes hold the same thing (`positive_pairs`).
        codes_b: The same for `b`.

    Complexity:
        O(n^2) memory.

    Relations:
        * symmetric: sigmoid_loss(a, b) = sigmoid_loss(b, a).
        * scale and bias zero: n log 2.

    References: Zhai et al. 2023 (algorithm 1).
    """
    rows = torch.arange(len(a), device=a.device)
    friends = positive_pairs(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    logits = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T * scale + bias
    sign = torch.where(friends, 1.0, -1.0).to(logits.dtype)
    return -functional.logsigmoid(sign * logits).sum() / len(a)

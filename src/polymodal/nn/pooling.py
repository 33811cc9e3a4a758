"""Many steps to one vector, reading only the steps that are there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.core.typing import Bool, Float


def masked_mean(x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u d"]:
    """Mean over the steps where `mask` is True; zeros where there are none. Values elsewhere never enter.

    Relations:
        * mask all True: `x.mean(1)`.
    """
    total = x.masked_fill(~mask[..., None], 0.0).sum(1)
    return total / mask.sum(1, keepdim=True).clamp(min=1)


class AttentionPool(nn.Module):
    r"""$\sum_t a_t W x_t$ for each head, $a = \mathrm{softmax}_t(w \cdot x_t)$ over the steps that are there; zeros without any.

    Args:
        dim: Features of a step and of the result.
        heads: Parts of the result that attend separately; divides `dim`.

    Relations:
        * the order of the steps does not matter.
        * w = 0 and W = 1: the mean over the steps.
    """

    def __init__(self, dim: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.score = nn.Linear(dim, heads, bias=False)  # a bias would cancel in the softmax
        self.value = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u d"]:
        """Pool each item; values where `mask` is False never enter."""
        u, t, d = x.shape
        x = x.masked_fill(~mask[..., None], 0.0)
        some = mask | ~mask.any(1, keepdim=True)  # an empty item attends to zeros, not to nothing (NaN)
        weights = self.score(x).masked_fill(~some[..., None], -torch.inf).softmax(1)  # (u, t, heads)
        values = self.value(x).view(u, t, self.heads, d // self.heads)
        return torch.einsum("uth,uthc->uhc", weights, values).reshape(u, d)

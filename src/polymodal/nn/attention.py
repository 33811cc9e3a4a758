"""Self-attention over steps of which some are padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float
from polymodal.nn.pooling import masked_mean


class Attention(nn.Module):
    r"""Multi-head self-attention $\mathrm{softmax}(QK^\top/\sqrt{d_h})V$ (Vaswani et al. 2017).

    Args:
        dim: Features of a step.
        heads: Heads; divides `dim`.
        dropout: Share of attention weights dropped while training.

    Relations:
        * values where the mask is False never enter the steps where it is True.

    Complexity:
        O(t^2 dim + t dim^2) per item.
    """

    def __init__(self, dim: int, *, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(
                f"Attention needs heads that divide its width, got {heads} heads and width {dim}."
            )
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u t d"]:
        """Every step looks at the steps where `mask` is True."""
        u, t, d = x.shape
        x = x.masked_fill(~mask[..., None], 0.0)
        q, k, v = self.project(x).view(u, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        some = (mask | ~mask.any(1, keepdim=True))[
            :, None, None, :
        ]  # an empty item attends to zeros, not to nothing
        share = self.dropout if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=some, dropout_p=share)
        result: Tensor = self.out(mixed.transpose(1, 2).reshape(u, t, d))
        return result


class MeanMixer(nn.Module):
    """Every step gets a linear map of the mean over the steps: what attention with equal weights does, in O(t dim + dim^2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u t d"]:
        """The same vector for every step of an item."""
        mixed: Tensor = self.out(masked_mean(x, mask))[:, None]
        return mixed.expand_as(x)


class TransformerBlock(nn.Module):
    """Mixing between steps, then two layers on each step, each after a normalisation and added to its input.

    Args:
        dim: Features of a step.
        heads: Heads of the attention; divides `dim`.
        dropout: Share of features dropped while training, in [0, 1).
        mixer: What mixes the steps; `Attention` by default.

    References: Xiong et al. 2020 (normalisation first); Yu et al. 2022 (the mixer is exchangeable).
    """

    def __init__(
        self, dim: int, *, heads: int = 4, dropout: float = 0.0, mixer: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.norm_mix, self.norm_step = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mix = mixer if mixer is not None else Attention(dim, heads=heads, dropout=dropout)
        self.step = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u t d"]:
        """Values where `mask` is False never enter the steps where it is True."""
        x = x + self.drop(self.mix(self.norm_mix(x), mask))
        result: Tensor = x + self.drop(self.step(self.norm_step(x)))
        return result


def trim(mask: Bool[Tensor, "u t"]) -> int:
    """Steps that any item of a batch needs: tensors padded for a whole store are cut to this."""
    if not mask.numel():
        return 0
    used = torch.nonzero(mask.any(0))
    return int(used[-1]) + 1 if len(used) else 1

"""Attention over steps of which some are padding, of a sequence to itself or to another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float
from polymodal.nn.pooling import masked_mean


def masked_softmax(
    scores: Float[Tensor, "*batch t"], mask: Bool[Tensor, "*mask t"]
) -> Float[Tensor, "*batch t"]:
    """Softmax over the last axis where `mask` is True, exactly 0 elsewhere; where there is nothing, zeros (and no NaN).

    Args:
        scores: Any finite numbers.
        mask: Broadcasts to the scores.
    """
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


class Attention(nn.Module):
    r"""Multi-head attention $\mathrm{softmax}(QK^\top/\sqrt{d_h})V$ of a sequence to itself, or to a source (Vaswani et al. 2017).

    Args:
        dim: Features of a step.
        heads: Heads; divides `dim`.
        dropout: Share of attention weights dropped while training.

    Relations:
        * values where the mask is False never enter the steps where it is True.

    Complexity:
        O(t s dim + (t + s) dim^2) per item, for s steps of the source; of the sequence itself unless given.
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

    def forward(
        self,
        x: Float[Tensor, "u t d"],
        mask: Bool[Tensor, "u s"],
        source: Float[Tensor, "u s d"] | None = None,
    ) -> Float[Tensor, "u t d"]:
        """Every step of x looks at the steps of the source (of x itself unless given) where `mask` is True."""
        u, t, d = x.shape
        if source is None:
            x = x.masked_fill(~mask[..., None], 0.0)
            q, k, v = self.project(x).view(u, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.project.weight, self.project.bias
            source = source.masked_fill(~mask[..., None], 0.0)
            q = nn.functional.linear(x, weight[:d], bias[:d])
            q = q.view(u, t, self.heads, d // self.heads).transpose(1, 2)
            both = nn.functional.linear(source, weight[d:], bias[d:])
            k, v = both.view(u, -1, 2, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
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
        return self.add(x, self.mix(self.norm_mix(x), mask))

    def add(self, x: Float[Tensor, "u t d"], mixed: Float[Tensor, "u t d"]) -> Float[Tensor, "u t d"]:
        """What was mixed, and then what two layers make of each step, are added to x."""
        x = x + self.drop(mixed)
        result: Tensor = x + self.drop(self.step(self.norm_step(x)))
        return result


class CrossBlock(TransformerBlock):
    """A transformer block whose steps look at those of a source instead of at each other.

    Args:
        dim: Features of a step, and of a step of the source.
        heads: Heads of the attention; divides `dim`.
        dropout: Share of features dropped while training, in [0, 1).

    Relations:
        * a source without steps adds the same vector to every step of every item.

    References: Tsai et al. 2019, section 3.2.
    """

    def __init__(self, dim: int, *, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(dim, heads=heads, dropout=dropout)
        self.norm_source = nn.LayerNorm(dim)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "u t d"], source: Float[Tensor, "u s d"], mask: Bool[Tensor, "u s"]
    ) -> Float[Tensor, "u t d"]:
        """Values of the source where `mask` is False never enter."""
        source = self.norm_source(source.masked_fill(~mask[..., None], 0.0))
        mixed = self.mix(self.norm_mix(x), mask, source)
        return self.add(x, mixed)


def trim(mask: Bool[Tensor, "u t"]) -> int:
    """Steps that any item of a batch needs: tensors padded for a whole store are cut to this."""
    if not mask.numel():
        return 0
    used = torch.nonzero(mask.any(0))
    return int(used[-1]) + 1 if len(used) else 1

"""The towers of the published CLIP models: transformers over patches and over tokens.

Modules and parameters carry the published (open_clip's) names, so that weights are read name by name; the projection to
the shared space stands apart, because it is what a frozen tower trains.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.typing import Float, Int
from polymodal.encoders.clip_dimensions import ImageDimensions, TextDimensions


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the approximation of GELU that the published weights were trained with."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Without gradients, one copy of x is all the memory it takes."""
        gate = 1.702 * x
        if gate.requires_grad:
            return x * torch.sigmoid(gate)
        return gate.sigmoid_().mul_(x)


class JointAttention(nn.Module):
    """Self-attention over steps that are all there, causal or not; one product gives queries, keys and values.

    `polymodal.nn.Attention` is for steps of which some are padding; a mask that hides nothing would cost a copy here.
    """

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "u t d"]) -> Float[Tensor, "u t d"]:
        """Every step looks at all steps, or at those up to itself."""
        u, t, d = x.shape
        q, k, v = (
            functional.linear(x, self.in_proj_weight, self.in_proj_bias)
            .view(u, t, 3, self.heads, d // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(u, t, d))
        return out

    def at(self, x: Float[Tensor, "u t d"], step: Int[Tensor, " u"]) -> Float[Tensor, "u d"]:
        """The result at one step of each item: that query alone."""
        u, t, d = x.shape
        shape = (self.heads, d // self.heads)
        one = x[torch.arange(u, device=x.device), step]
        q = functional.linear(one, self.in_proj_weight[:d], self.in_proj_bias[:d]).view(u, 1, *shape)
        k, v = (
            functional.linear(x, self.in_proj_weight[d:], self.in_proj_bias[d:])
            .view(u, t, 2, *shape)
            .permute(2, 0, 3, 1, 4)
        )
        seen = None
        if self.causal:
            seen = (torch.arange(t, device=x.device) <= step[:, None])[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=seen)
        out: Tensor = self.out_proj(mixed.reshape(u, d))
        return out


class CLIPBlock(nn.Module):
    """Attention and two layers on each step, each after a normalisation and added to its input."""

    def __init__(self, dimensions: ImageDimensions | TextDimensions, *, causal: bool) -> None:
        super().__init__()
        width, hidden = dimensions.width, dimensions.hidden or 4 * dimensions.width
        self.ln_1 = nn.LayerNorm(width, eps=dimensions.eps)
        self.attn = JointAttention(width, dimensions.heads, causal=causal)
        self.ln_2 = nn.LayerNorm(width, eps=dimensions.eps)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, hidden),
                gelu=QuickGELU() if dimensions.activation == "quick_gelu" else nn.GELU(),
                c_proj=nn.Linear(hidden, width),
            )
        )

    def forward(self, x: Float[Tensor, "u t d"]) -> Float[Tensor, "u t d"]:
        """All steps."""
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out

    def at(self, x: Float[Tensor, "u t d"], step: Int[Tensor, " u"]) -> Float[Tensor, "u d"]:
        """One step of each item: a sixth of the work, where nothing reads the others."""
        y = x[torch.arange(len(x), device=x.device), step] + self.attn.at(self.ln_1(x), step)
        out: Tensor = y + self.mlp(self.ln_2(y))
        return out


class CLIPBlocks(nn.Module):
    """The blocks of a tower, one after the other."""

    def __init__(self, dimensions: ImageDimensions | TextDimensions, *, causal: bool) -> None:
        super().__init__()
        assert isinstance(dimensions.layers, int)
        self.resblocks = nn.ModuleList(CLIPBlock(dimensions, causal=causal) for _ in range(dimensions.layers))
        start_blocks(self.resblocks, dimensions.width)

    def at(self, x: Float[Tensor, "u t d"], step: Int[Tensor, " u"]) -> Float[Tensor, "u d"]:
        """The last block's result at one step of each item.

        Relations:
            * equals that step of the result of all steps.
        """
        *blocks, last = self.resblocks
        for block in blocks:
            x = block(x)
        assert isinstance(last, CLIPBlock)
        return last.at(x, step)


class CLIPTransformer(nn.Module):
    """Patches and a class step through transformer blocks; the class step is the picture's vector (Dosovitskiy et al. 2021)."""

    def __init__(self, dimensions: ImageDimensions) -> None:
        super().__init__()
        assert dimensions.patch is not None
        width, patch = dimensions.width, dimensions.patch
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        spread = width**-0.5
        self.class_embedding = nn.Parameter(spread * torch.randn(width))
        self.positional_embedding = nn.Parameter(
            spread * torch.randn((dimensions.resolution // patch) ** 2 + 1, width)
        )
        self.ln_pre = nn.LayerNorm(width, eps=dimensions.eps)
        self.transformer = CLIPBlocks(dimensions, causal=False)
        self.ln_post = nn.LayerNorm(width, eps=dimensions.eps)

    def forward(self, pixels: Float[Tensor, "u 3 h w"]) -> Float[Tensor, "u d"]:
        """One vector per standardised picture of the tower's resolution, before the projection."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        steps = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        start = torch.zeros(len(steps), dtype=torch.int64, device=steps.device)
        out: Tensor = self.ln_post(self.transformer.at(steps, start))
        return out


class CLIPText(nn.Module):
    """Tokens through transformer blocks that look back only; the vector of the end-of-text token is the text's."""

    def __init__(self, dimensions: TextDimensions) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(dimensions.vocabulary, dimensions.width)
        self.positional_embedding = nn.Parameter(torch.empty(dimensions.context, dimensions.width))
        self.transformer = CLIPBlocks(dimensions, causal=True)
        self.ln_final = nn.LayerNorm(dimensions.width, eps=dimensions.eps)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)

    def forward(self, ids: Int[Tensor, "u t"], end: Int[Tensor, " u"]) -> Float[Tensor, "u d"]:
        """One vector per text, before the projection. What stands behind its end (padding) never enters.

        Args:
            ids: Token numbers.
            end: Where the end-of-text token stands.
        """
        longest = int(end.max()) + 1 if len(end) else 1  # causal: steps behind every end change nothing
        ids = ids[:, :longest]
        steps = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        out: Tensor = self.ln_final(self.transformer.at(steps, end))
        return out


def start_blocks(blocks: nn.ModuleList, width: int) -> None:
    """The published start: deviations that keep the sum over all layers at one size."""
    layers = len(blocks)
    for block in blocks:
        assert isinstance(block, CLIPBlock)
        into, _, out = block.mlp
        assert isinstance(into, nn.Linear)
        assert isinstance(out, nn.Linear)
        nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
        nn.init.normal_(block.attn.out_proj.weight, std=width**-0.5 * (2 * layers) ** -0.5)
        nn.init.normal_(into.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(out.weight, std=width**-0.5 * (2 * layers) ** -0.5)
        for layer in (block.attn.out_proj, into, out):
            nn.init.zeros_(layer.bias)


def image_body(dimensions: ImageDimensions) -> nn.Module:
    """An image tower without its projection, with fresh weights."""
    from polymodal.encoders.clip_resnet import CLIPResNet

    return CLIPTransformer(dimensions) if isinstance(dimensions.layers, int) else CLIPResNet(dimensions)


def text_body(dimensions: TextDimensions) -> nn.Module:
    """A text tower without its projection, with fresh weights."""
    return CLIPText(dimensions)


def projection(dimensions: ImageDimensions | TextDimensions, dim: int) -> nn.Linear:
    """From a tower's vectors to the shared space, with fresh weights; that of a residual network has a bias."""
    resnet = isinstance(dimensions.layers, tuple)
    layer = nn.Linear(dimensions.features, dim, bias=resnet)
    nn.init.normal_(layer.weight, std=dimensions.features**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

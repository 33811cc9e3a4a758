r"""Multimodal transformers: directed cross-modal streams (MulT), or self-attention over the tokens of all modalities at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import check_count
from polymodal.fusion._tokens import TokenFusion, TokenLayer
from polymodal.fusion.additive import AdditiveLayer
from polymodal.nn.attention import CrossBlock, TransformerBlock
from polymodal.nn.pooling import masked_mean
from polymodal.nn.positions import sine_positions
from polymodal.training.options import Training

Mode = Literal["directional", "joint"]
Pool = Literal["last", "mean"]

HEADS = 4
"""Heads of the estimator's attention, where they divide its width."""

DROPOUT = 0.1
"""Share of features that the estimator drops while training: that of the published model."""


def last_token(x: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "n d"]:
    """The last token that is there; zeros where there is none.

    Relations:
        * mask all True: `x[:, -1]`.
    """
    places = torch.arange(x.shape[1], device=x.device)
    last = torch.where(mask, places, torch.zeros_like(places)).amax(dim=1)
    return x[torch.arange(len(x), device=x.device), last].masked_fill(~mask.any(dim=1)[:, None], 0.0)


class Streams(nn.Module):
    r"""What one modality is told by each other one, and a memory of it all: the target's part of MulT.

    $$ Z^{k \to m}_{l} = \mathrm{block}_l(Z^{k \to m}_{l-1},\ X_k), \qquad Z^{k \to m}_0 = X_m, \qquad
       M_m = \mathrm{blocks}\big([Z^{k \to m}_L]_{k \ne m}\big) $$

    Queries come from the stream, keys and values always from the source's tokens as they were at first. A target without sources has
    one stream, of itself.

    Args:
        width: Features of a token; that of the result is `width` times the number of streams.
        sources: How many other modalities there are.
        depth: Blocks of each stream, and of the memory.
        heads: Heads of each attention; divides `width`.
        dropout: Share of features dropped while training.
    """

    def __init__(self, width: int, sources: int, *, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        whole = width * max(1, sources)
        self.streams = nn.ModuleList(
            nn.ModuleList(CrossBlock(width, heads=heads, dropout=dropout) for _ in range(depth))
            for _ in range(sources)
        )
        self.memory = nn.ModuleList(
            TransformerBlock(whole, heads=heads, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(whole)

    def forward(
        self,
        target: Float[Tensor, "n t d"],
        mask: Bool[Tensor, "n t"],
        sources: list[tuple[Tensor, Tensor]],
    ) -> Float[Tensor, "n t k"]:
        """The memory's states; `sources` holds the tokens and masks of the others."""
        told = []
        for blocks, (source, there) in zip(self.streams, sources, strict=True):
            stream = target
            for block in blocks:  # type: ignore[attr-defined]
                stream = block(stream, source, there)
            told.append(stream)
        states = torch.cat(told, dim=-1) if told else target
        for block in self.memory:
            states = block(states, mask)
        normal: Tensor = self.norm(states)
        return normal


class MultimodalTransformerLayer(TokenLayer):
    r"""A transformer over the tokens of several modalities, which need not be aligned nor equally many.

    * `"directional"` (MulT): for each target m and each other modality k, blocks in which m's tokens ask and k's answer,
      $\mathrm{softmax}\big(X_m W_q (X_k W_k)^\top / \sqrt d\big)\, X_k W_v$. The streams of one target stand side by side and go through
      self-attention. z is a sum of linear maps of the pooled states of every target, where an absent target adds a learned constant.
    * `"joint"`: [CLS] and the tokens of all modalities form one sequence, with a learned vector that says the modality; z is a linear
      map of what becomes of [CLS].

    Tokens get sines of their place within their modality, so any length goes in. Tokens that are absent answer nobody; a modality that
    is absent on a row is to its streams a constant.

    Args:
        dims: Name -> d_m of each modality's tokens.
        n_components: Size of z.
        mode: See above.
        width: Features of a token within.
        depth: Blocks of each stream and of each memory, or of the joint sequence.
        heads: Heads of each attention; divides `width`.
        pool: Of directional states: the `"mean"` over tokens, or the `"last"` token.
        dropout: Share of features dropped while training, in [0, 1).

    Complexity:
        With M modalities of T tokens, per block: directional O(M^2 T^2 width + M^3 T width^2), joint O(M^2 T^2 width + M T width^2).

    Relations:
        * what is absent or padding changes neither z nor a gradient; a row does not depend on its batch.
        * the order of tokens matters (positions).
        * one modality: both modes are a transformer of it alone.

    References: Tsai et al. 2019, Multimodal transformer for unaligned multimodal language sequences; Li et al. 2019, VisualBERT
        (one joint sequence); Xiong et al. 2020 (normalisation first).
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n_components: int,
        mode: Mode | str = "directional",
        *,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        pool: Pool | str = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dims, n_components)
        for name, count in {"width": width, "depth": depth, "heads": heads}.items():
            check_count(name, count)
        for name, choice, choices in (("mode", mode, get_args(Mode)), ("pool", pool, get_args(Pool))):
            if choice not in choices:
                raise ConfigError(f"{name} must be one of {list(choices)}, got {choice!r}.")
        self.mode, self.pool = mode, pool
        self.enter = nn.ModuleList([nn.Linear(dim, width) for dim in self.dims.values()])
        if mode == "joint":
            self.kinds = nn.Parameter(torch.randn(len(self.dims), width) * width**-0.5)
            self.start = nn.Parameter(torch.randn(width) * width**-0.5)
            self.blocks = nn.ModuleList(
                TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(depth)
            )
            self.norm = nn.LayerNorm(width)
            self.out = nn.Linear(width, n_components)
        else:
            others = len(self.dims) - 1
            self.targets = nn.ModuleList(
                Streams(width, others, depth=depth, heads=heads, dropout=dropout) for _ in self.dims
            )
            self.read = AdditiveLayer(dict.fromkeys(self.dims, width * max(1, others)), n_components)

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        tokens = {}
        for name, enter in zip(self.dims, self.enter, strict=True):
            entered = enter(values[name])
            places = torch.arange(entered.shape[1], dtype=torch.float32, device=entered.device)
            tokens[name] = entered + sine_positions(places, entered.shape[2]).to(entered.dtype)
        return self._joint(tokens, has) if self.mode == "joint" else self._directional(tokens, has)

    def _directional(self, tokens: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        pool = last_token if self.pool == "last" else masked_mean
        pooled = {}
        for name, target in zip(self.dims, self.targets, strict=True):
            others = [(tokens[k], has[k]) for k in self.dims if k != name]
            pooled[name] = pool(target(tokens[name], has[name], others), has[name])
        fused: Tensor = self.read(pooled, {name: mask.any(dim=1) for name, mask in has.items()})
        return fused

    def _joint(self, tokens: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        n = len(next(iter(tokens.values())))
        start = self.start.expand(n, 1, -1)
        told = [tokens[name] + kind for name, kind in zip(self.dims, self.kinds, strict=True)]
        steps = torch.cat([start, *told], dim=1)
        mask = torch.cat([torch.ones(n, 1, dtype=torch.bool, device=steps.device), *has.values()], dim=1)
        for block in self.blocks:
            steps = block(steps, mask)
        fused: Tensor = self.out(self.norm(steps[:, 0]))
        return fused


class MultimodalTransformer(TokenFusion):
    r"""Learn a transformer over words, steps and patches of all modalities; sequences need not be aligned or equally long.

    `"directional"` is MulT: for each ordered pair of modalities a stream in which the tokens of one ask those of the other. `"joint"` puts
    all tokens in one sequence: fewer parameters, one attention over everything. See `MultimodalTransformerLayer`.

    Args:
        n_components: Size of z.
        mode: `"directional"` or `"joint"`.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each token; a multiple of 4 gives attention four heads, else of 2 two, else there is one.
        depth: Blocks of each stream and of each memory, or of the joint sequence.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        modality_dropout: Share of training rows, in [0, 1], from which a random part of the modalities is
            hidden (never all), so that the model learns to do without them.
        training: How to train.
        random_state: Seed of initial weights, batches and dropout.

    Attributes:
        classes_: The classes in sorted order (classification), or the label columns.
        task_: The task that was learned.
        module_: The trained `nn.Module`.
        history_: Loss by epoch.

    Relations:
        * a row does not depend on the lengths of the other rows in its batch.

    References: Tsai et al. 2019, Multimodal transformer for unaligned multimodal language sequences; Vaswani et al. 2017.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        mode: Mode = "directional",
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 32,
        depth: int = 2,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.mode = mode
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.depth = depth
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[MultimodalTransformer]:
        options = Training(max_epochs=2, batch_size=16)
        modes: list[Mode] = ["directional", "joint"]
        return [
            cls(3, mode=mode, embedding_dim=8, depth=1, training=options, random_state=0) for mode in modes
        ]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        check_count("embedding_dim", self.embedding_dim)
        return MultimodalTransformerLayer(
            dims,
            self.n_components,
            self.mode,
            width=self.embedding_dim,
            depth=self.depth,
            heads=math.gcd(HEADS, self.embedding_dim),
            dropout=DROPOUT,
        )

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim

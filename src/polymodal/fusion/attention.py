r"""Cross-modal attention: each token of one modality takes what it needs from the tokens of another. $\mathrm{softmax}(A W B^\top)$."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import check_count
from polymodal.fusion._supervised import FusionNetwork
from polymodal.fusion._tokens import TokenFusion, TokenLayer, TokenNetwork, fill_absent_tokens
from polymodal.fusion.additive import AdditiveLayer
from polymodal.nn.attention import masked_softmax
from polymodal.nn.pooling import masked_mean
from polymodal.training.batches import Batch
from polymodal.training.options import Training

Pair = tuple[str, str]


class CrossAttended(NamedTuple):
    """What two sets of tokens take from each other.

    Attributes:
        a: (n, s, d_b) what each token of a takes from b.
        b: (n, t, d_a) what each token of b takes from a.
        a_to_b: (n, s, t) weights of each token of a over those of b; a row adds up to 1.
        b_to_a: (n, t, s) weights of each token of b over those of a; a row adds up to 1.
    """

    a: Tensor
    b: Tensor
    a_to_b: Tensor
    b_to_a: Tensor


def cross_attention(
    a_tokens: Float[Tensor, "n s p"],
    b_tokens: Float[Tensor, "n t q"],
    weight: Float[Tensor, "p q"],
    a_mask: Bool[Tensor, "n s"] | None = None,
    b_mask: Bool[Tensor, "n t"] | None = None,
) -> CrossAttended:
    r"""Attention of a to b and of b to a, with the same bilinear scores.

    $$ S = A W B^\top, \qquad \tilde A_i = \sum_j \operatorname{softmax}_j(S_{ij})\, B_j,
       \qquad \tilde B_j = \sum_i \operatorname{softmax}_i(S_{ij})\, A_i $$

    Args:
        a_tokens: A.
        b_tokens: B.
        weight: W.
        a_mask: True where there is a token of a; everywhere unless given.
        b_mask: The same for b.

    Returns:
        Both results and both matrices of weights. Places without a token have zeros in all of them, and so has a token with nothing
        to look at.

    Complexity:
        O(n (s p q + s t (p + q))) time, O(n s t) memory.

    Relations:
        * the order of b's tokens does not change what a takes.
        * W = W_q^T W_k / sqrt(d): one head of scaled dot-product attention with those projections, before the values'.
        * a single token of b: every token of a takes just that one.
        * A, B and the masks exchanged, W transposed: the same results exchanged.

    References: Luong, Pham & Manning 2015 (bilinear scores); Lu et al. 2016, Hierarchical question-image co-attention (both
        directions from one matrix).
    """
    a_mask = (
        torch.ones(a_tokens.shape[:2], dtype=torch.bool, device=a_tokens.device) if a_mask is None else a_mask
    )
    b_mask = (
        torch.ones(b_tokens.shape[:2], dtype=torch.bool, device=b_tokens.device) if b_mask is None else b_mask
    )
    a, b = (x.masked_fill(~m[..., None], 0.0) for x, m in ((a_tokens, a_mask), (b_tokens, b_mask)))
    scores = a @ weight @ b.transpose(1, 2)
    both = a_mask[:, :, None] & b_mask[:, None, :]
    a_to_b = masked_softmax(scores, both)
    b_to_a = masked_softmax(scores.transpose(1, 2), both.transpose(1, 2))
    return CrossAttended(a_to_b @ b, b_to_a @ a, a_to_b, b_to_a)


class CrossAttentionLayer(TokenLayer):
    r"""Every modality's tokens attend to those of every other; what a token is and what it takes are mixed, then pooled.

    $$ h_{mi} = \mathrm{GELU}\Big(\mathrm{norm}\big(U_m x_{mi} + \sum_{k \ne m} V_{mk}\, \tilde x^{(k)}_{mi} + u_m\big)\Big), \qquad
       z = c + \sum_m A_m \operatorname{mean}_i h_{mi} $$

    where $\tilde x^{(k)}_{mi}$ is what token i of m takes from k by `cross_attention`, with one W for each pair of modalities. The mix
    before the pooling is what a mean of the tokens cannot do: it sees which token of one modality goes with which of another.
    A modality that is absent gives nothing to take, and a learned constant instead of its term.

    Args:
        dims: Name -> d_m of each modality's tokens.
        n_components: Size of z.
        width: Features of each h.

    Complexity:
        O(T^2 d) per pair of modalities with T tokens each, plus O(T d width).

    Relations:
        * the order of a modality's tokens does not matter (positions are the encoders' business).
        * one token per modality: every token takes the other's, so h is one layer on all of them side by side.
    """

    def __init__(self, dims: Mapping[str, int], n_components: int, *, width: int = 64) -> None:
        super().__init__(dims, n_components)
        check_count("width", width)
        self.pairs: list[Pair] = list(combinations(self.dims, 2))
        size = self.dims
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(size[a], size[b]) * (size[a] * size[b]) ** -0.5) for a, b in self.pairs]
        )
        self.own = nn.ModuleList([nn.Linear(dim, width) for dim in self.dims.values()])
        self.directions: list[Pair] = [(m, k) for m in self.dims for k in self.dims if m != k]
        self.taken = nn.ModuleList([nn.Linear(size[k], width, bias=False) for _, k in self.directions])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in self.dims])
        self.read = AdditiveLayer(dict.fromkeys(self.dims, width), n_components)

    def attention(
        self,
        inputs: Mapping[str, Float[Tensor, "n _ _"]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
        masks: Mapping[str, Bool[Tensor, "n _"]] | None = None,
    ) -> dict[Pair, Float[Tensor, "n _ _"]]:
        """(m, k) -> (n, T_m, T_k), the weights of m's tokens over k's: rows add up to 1, or are 0 where either is absent.

        Raises:
            ModalityError: an unknown name, no modality, a wrong width, rows or mask.
        """
        return self._attend(*fill_absent_tokens(inputs, present, masks, self.dims))[1]

    def _attend(
        self, values: dict[str, Tensor], has: dict[str, Tensor]
    ) -> tuple[dict[Pair, Tensor], dict[Pair, Tensor]]:
        """What each modality takes from each other one, and with which weights."""
        taken, weights = {}, {}
        for (a, b), weight in zip(self.pairs, self.weights, strict=True):
            found = cross_attention(values[a], values[b], weight, has[a], has[b])
            taken[a, b], taken[b, a] = found.a, found.b
            weights[a, b], weights[b, a] = found.a_to_b, found.b_to_a
        return taken, weights

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        taken, _ = self._attend(values, has)
        mixed = {name: own(values[name]) for name, own in zip(self.dims, self.own, strict=True)}
        for (m, k), take in zip(self.directions, self.taken, strict=True):
            mixed[m] = mixed[m] + take(taken[m, k])
        pooled = {
            name: masked_mean(nn.functional.gelu(norm(mixed[name])), has[name])
            for name, norm in zip(self.dims, self.norms, strict=True)
        }
        fused: Tensor = self.read(pooled, {name: mask.any(dim=1) for name, mask in has.items()})
        return fused


class CrossAttentionFusion(TokenFusion):
    r"""Learn encoders that keep words, steps and patches apart, and which of one modality goes with which of another.

    $$ S = A W B^\top, \qquad \tilde A_i = \sum_j \operatorname{softmax}_j(S_{ij})\, B_j,
       \qquad \tilde B_j = \sum_i \operatorname{softmax}_i(S_{ij})\, A_i $$

    Each token is mixed with what it takes from the other modalities before tokens are pooled (`CrossAttentionLayer`).
    `attention(data)` gives the weights, both directions of every pair. They say where the model looked, which is not always why it
    answered (Jain & Wallace 2019): hide a token to see what it changes.

    Take it where the parts of one modality speak of the parts of another: regions and words, frames and tokens. Of vectors there is one
    token, and nothing to choose.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each token.
        width: Features of a token after it was mixed with what it takes.
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
        * the weights of a token over the tokens of another modality add up to 1.

    References: Liang, Zadeh & Morency 2024, Foundations and trends in multimodal machine learning (attention as connection of elements);
        Lu et al. 2016, Hierarchical question-image co-attention; Jain & Wallace 2019, Attention is not explanation.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 32,
        width: int = 64,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.width = width
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[CrossAttentionFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [cls(3, embedding_dim=4, width=6, training=options, random_state=0)]

    def attention(self, data: Modalities | Mapping[str, Any]) -> dict[Pair, list[Float[np.ndarray, "_ _"]]]:
        """(m, k) -> for each row the weights (tokens of m, tokens of k); rows of a matrix add up to 1.

        What a token is, the encoder says: a word of a text, a group of steps of a sequence, a field of a picture in reading
        order. A row that lacks m or k has a matrix without rows or columns. Every matrix is held in memory: give the rows to look at.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        frame = self._check_known(data)
        self._check_some_present(frame)
        found: dict[Pair, list[np.ndarray]] = {
            (m, k): [] for m in sorted(frame.names) for k in sorted(frame.names) if m != k
        }

        def read(module: FusionNetwork, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, TokenNetwork)
            assert isinstance(module.layer, CrossAttentionLayer)
            tokens, masks, present = module.towers(batch.columns)
            weights = module.layer.attention(tokens, present, masks)
            for (m, k), matrices in found.items():
                for matrix, rows, columns in zip(weights[m, k], masks[m], masks[k], strict=True):
                    matrices.append(matrix[rows][:, columns].float().cpu().numpy())
            return {}  # matrices of all sizes, which cannot be stacked: they were taken out above, batch after batch in row order

        self._infer(frame, read)
        return found

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return CrossAttentionLayer(dims, self.n_components, width=self.width)

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim


def plot_attention(
    weights: Float[np.ndarray, "s t"],
    labels: Sequence[str] | None = None,
    over: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw how much each token (a row) takes from each token of the other modality (a column), dark where much.

    Args:
        weights: One matrix of `CrossAttentionFusion.attention`.
        labels: A name for each row.
        over: A name for each column.
        ax: Matplotlib axes to draw on; the current ones unless given.

    Returns:
        The axes.

    Raises:
        ModalityError: numbers of names that differ from the matrix.
    """
    import matplotlib.pyplot as plt

    for names, length in ((labels, weights.shape[0]), (over, weights.shape[1])):
        if names is not None and len(names) != length:
            raise ModalityError(
                f"plot_attention needs a name for each of {weights.shape[0]} rows and {weights.shape[1]} columns, got {len(names)} "
                f"for {length}."
            )
    ax = plt.gca() if ax is None else ax
    image = ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    if labels is not None:
        ax.set_yticks(range(len(labels)), labels)
    if over is not None:
        ax.set_xticks(range(len(over)), over, rotation=45, ha="right", rotation_mode="anchor")
    ax.figure.colorbar(image, ax=ax, label="weight")
    return ax

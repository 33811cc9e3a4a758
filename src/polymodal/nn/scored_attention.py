"""Attention of one sequence to another, with the classical score functions, its weights given back."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float
from polymodal.nn.attention import masked_softmax

Score = Literal["additive", "bilinear", "dot", "scaled-dot"]


class ScoredAttention(nn.Module):
    r"""$c_j = \sum_i \alpha_{ij} h_i$ with $\alpha_{\cdot j} = \operatorname{softmax}_i e(s_j, h_i)$: each query takes a mean of the steps.

    | score | $e(s, h)$ |
    |---|---|
    | additive | $v^\top \tanh(W s + U h)$ (Bahdanau et al. 2015) |
    | bilinear | $s^\top W h$ (Luong et al. 2015) |
    | dot | $s^\top h$ |
    | scaled-dot | $s^\top h / \sqrt d$ (Vaswani et al. 2017) |

    Args:
        n_query: Features of a query.
        n_step: Features of a step; equal to `n_query` for the dot products.
        score: Which of the functions above.
        width: Hidden features of the additive score.

    Relations:
        * values where the mask is False never enter; weights over the steps add up to 1.
        * one step: weight 1 whatever the score.

    Complexity:
        O(u m n d) time; the additive score holds u m n width numbers, the others u m n.
    """

    def __init__(
        self, n_query: int, n_step: int, *, score: Score | str = "additive", width: int = 64
    ) -> None:
        super().__init__()
        if score not in ("additive", "bilinear", "dot", "scaled-dot"):
            raise ConfigError(f"score is 'additive', 'bilinear', 'dot' or 'scaled-dot', got {score!r}.")
        if score.endswith("dot") and n_query != n_step:
            raise ConfigError(
                f"A dot product needs as many features of queries as of steps, got {n_query} and {n_step}. Use 'bilinear'."
            )
        self.score = score
        if score == "additive":
            self.query, self.step = nn.Linear(n_query, width), nn.Linear(n_step, width, bias=False)
            self.read = nn.Linear(width, 1, bias=False)
        elif score == "bilinear":
            self.query = nn.Linear(n_query, n_step, bias=False)

    def scores(
        self, queries: Float[Tensor, "u m q"], steps: Float[Tensor, "u n k"]
    ) -> Float[Tensor, "u m n"]:
        """E of every query with every step."""
        if self.score == "additive":
            hidden = torch.tanh(self.query(queries)[:, :, None] + self.step(steps)[:, None])
            out: Tensor = self.read(hidden)[..., 0]
            return out
        s = self.query(queries) if self.score == "bilinear" else queries
        scale = math.sqrt(steps.shape[-1]) if self.score == "scaled-dot" else 1.0
        return s @ steps.transpose(1, 2) / scale

    def forward(
        self, queries: Float[Tensor, "u m q"], steps: Float[Tensor, "u n k"], mask: Bool[Tensor, "u n"]
    ) -> tuple[Float[Tensor, "u m k"], Float[Tensor, "u m n"]]:
        """What each query takes from the steps where `mask` is True, and the weights; of no steps at all, zeros."""
        steps = steps.masked_fill(~mask[..., None], 0.0)
        weights = masked_softmax(self.scores(queries, steps), mask[:, None])
        return weights @ steps, weights

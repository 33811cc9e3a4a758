"""A hinge on triplets: a partner must be nearer than a stranger, by a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polymodal.core.typing import Float, Int
from polymodal.objectives.positives import positive_pairs


def margin_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    margin: float = 0.2,
    hardest: bool = False,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    r"""Sum over both directions of hinges between a row's partner and its strangers, averaged over rows.

    $$ L = \frac1n \sum_i \sum_{j \notin P(i)} \max(0, \alpha - s_{ii} + s_{ij}) + (a \leftrightarrow b),
       \qquad s_{ij} = \cos(a_i, b_j) $$

    Args:
        a: One embedding per row; normalised here.
        b: The partners, row by row.
        margin: alpha >= 0, in units of cosine.
        hardest: Only the nearest stranger counts (VSE++), instead of all (VSE).
        codes_a: Rows with equal codes hold the same thing; such rows are no strangers (`positive_pairs`).
        codes_b: The same for `b`.

    Returns:
        0 where every partner is nearer than every stranger by the margin; never negative.

    Complexity:
        O(n^2) memory.

    Relations:
        * symmetric: margin_loss(a, b) = margin_loss(b, a).
        * hardest <= all; equal for two rows.
        * falls when the partner comes nearer, rises when a stranger does.

    References: Kiros et al. 2014; Faghri et al. 2018 (equations 4 and 6; theirs sum over rows).
    """
    scores = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    rows = torch.arange(len(a), device=a.device)
    friends = positive_pairs(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    own = scores.diagonal()
    by_row = (margin - own[:, None] + scores).clamp_min(0).masked_fill(friends, 0)
    by_column = (margin - own[None, :] + scores).clamp_min(0).masked_fill(friends, 0)
    if hardest:
        return (by_row.amax(1) + by_column.amax(0)).mean()
    return (by_row.sum(1) + by_column.sum(0)).mean()

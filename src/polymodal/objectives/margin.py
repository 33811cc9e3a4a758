"""A hinge on triplets: a partner must be more alike than a stranger, by a margin."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float, Int
from polymodal.objectives.positives import positive_pairs
from polymodal.similarity.kernels import Cosine, Similarity

Negatives = Literal["all", "hardest", "semi-hard"]


def margin_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    margin: float = 0.2,
    negatives: Negatives = "all",
    similarity: Similarity | None = None,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
    reduction: Literal["sum", "mean"] = "sum",
) -> Float[Tensor, ""]:
    r"""Hinges between a row's partner and its strangers, both ways, added up over the rows.

    $$ L = \sum_i \sum_{j \in N(i)} \max(0, \alpha - s_{ii} + s_{ij}) + (a \leftrightarrow b), \qquad s_{ij} = g(a_i, b_j) $$

    N(i) are strangers of row i, that is rows that are no positives of it (`positive_pairs`): "all" of them (VSE); the
    "hardest", the one most alike (VSE++); or the "semi-hard" one (FaceNet), the most alike among those that are less alike than
    the partner, $s_{ij} < s_{ii}$. Where every stranger is at least as alike as the partner, the semi-hard one is the least
    alike of them all. (FaceNet asks for strangers within the margin; one beyond it has a hinge of 0.)

    Args:
        a: One embedding per row.
        b: The partners, row by row.
        margin: alpha >= 0, in units of the similarity.
        negatives: Which strangers count. The hardest are often wrongly labelled or outliers, and may lead an untrained encoder to
            give one vector for everything; the semi-hard do neither.
        similarity: g; None is `Cosine()`, for which the lengths of the vectors do not matter.
        codes_a: Rows with equal codes hold the same thing; such rows are no strangers (`positive_pairs`).
        codes_b: The same for `b`.
        reduction: "sum" over rows, as published, or "mean".

    Returns:
        0 where every partner is more alike than every stranger by the margin, or where no row has a stranger; never negative.

    Raises:
        ConfigError: another name for `negatives` or `reduction`, or a negative margin.

    Complexity:
        O(n^2) memory.

    Relations:
        * symmetric: margin_loss(a, b) = margin_loss(b, a), for a symmetric similarity.
        * semi-hard <= hardest <= all; all equal for two rows.
        * falls when the partner comes nearer, rises when a stranger does.
        * mean = sum / n.

    References: Kiros et al. 2014 (all); Faghri et al. 2018, equations 4 and 6 (hardest); Schroff et al. 2015 (semi-hard).
    """
    _check(margin, negatives, reduction)
    scores: Tensor = (similarity or Cosine()).pairwise(a, b)
    rows = torch.arange(len(a), device=a.device)
    friends = positive_pairs(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    if friends.all():  # one row, or one thing
        return scores.sum() * 0
    loss = (
        _one_way(scores, friends, margin, negatives).sum()
        + _one_way(scores.T, friends.T, margin, negatives).sum()
    )
    return loss / len(a) if reduction == "mean" else loss


def _one_way(
    scores: Float[Tensor, "n n"], friends: Bool[Tensor, "n n"], margin: float, negatives: Negatives
) -> Float[Tensor, " n"]:
    """The hinges of each row, added up."""
    own = scores.diagonal()
    if negatives == "all":
        return (margin - own[:, None] + scores).clamp_min(0).masked_fill(friends, 0).sum(1)
    with torch.no_grad():  # which stranger counts; the gradient goes through its score alone
        seen = scores.masked_fill(friends, -torch.inf)
        if negatives == "hardest":
            chosen = seen.argmax(1)
        else:
            beyond = seen.masked_fill(scores >= own[:, None], -torch.inf)
            least = scores.masked_fill(friends, torch.inf).argmin(1)
            chosen = torch.where(beyond.amax(1) > -torch.inf, beyond.argmax(1), least)
    hinges = (margin - own + scores.gather(1, chosen[:, None]).squeeze(1)).clamp_min(0)
    return hinges.masked_fill(friends.all(1), 0)


def _check(margin: float, negatives: str, reduction: str) -> None:
    if negatives not in get_args(Negatives):
        raise ConfigError(
            f"margin_loss needs negatives to be one of {list(get_args(Negatives))}, got {negatives!r}."
        )
    if reduction not in ("sum", "mean"):
        raise ConfigError(f"margin_loss needs reduction to be 'sum' or 'mean', got {reduction!r}.")
    if not margin >= 0:
        raise ConfigError(f"margin_loss needs a margin of at least 0, got {margin!r}. Try 0.2.")

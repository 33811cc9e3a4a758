"""A loss of two modalities, averaged over pairs of several; rows that lack either are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from polymodal.core.typing import Bool, Float, Int

PairLoss = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""(a, b, codes of a, codes of b) -> loss: rows of two modalities, all present."""


def pairwise_loss(
    loss: PairLoss,
    representations: Mapping[str, Float[Tensor, "n d"]],
    present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    *,
    codes: Mapping[str, Int[Tensor, " n"]] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    least: int = 2,
) -> Float[Tensor, ""]:
    """The mean of `loss(a, b, codes_a, codes_b)` over pairs of modalities; a row that lacks either is left out of that pair.

    Args:
        loss: Takes the rows of two modalities, and their identity codes or None.
        representations: Name -> one embedding per row; values where `present` is False never enter.
        present: Name -> True on the rows that have it. None: all have all.
        codes: Name -> identity codes: rows with equal codes hold the same thing.
        pairs: Which pairs of names; None: all.
        least: Rows that a pair needs to be asked at all.

    Returns:
        The mean over the pairs that have at least `least` rows together; 0, with a gradient of 0, where none has.

    Relations:
        * two modalities, nothing missing: `loss`.
        * the order of names does not matter.
        * values on absent rows do not matter, nor get a gradient.
    """
    losses, total = [], next(iter(representations.values())).new_zeros(())
    for first, second in pairs if pairs is not None else combinations(sorted(representations), 2):
        rows = slice(None) if present is None else torch.nonzero(present[first] & present[second]).squeeze(1)
        a, b = representations[first][rows], representations[second][rows]
        if len(a) < least:
            # keeps both towers in the graph, so that every batch has a gradient
            total = total + (a.sum() + b.sum()) * 0
            continue
        codes_a, codes_b = (None, None) if codes is None else (codes[first][rows], codes[second][rows])
        losses.append(loss(a, b, codes_a, codes_b))
    return total + torch.stack(losses).mean() if losses else total

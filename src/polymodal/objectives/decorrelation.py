"""Two parts of a representation should share nothing linear: their cross-correlations over the batch are small."""

from __future__ import annotations

import torch
from torch import Tensor

from polymodal.core.typing import Float


def decorrelation_loss(a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    r"""Sum of the squared correlations between the columns of `a` and those of `b`.

    $$ L = \| \tilde A^\top \tilde B \|_F^2, \qquad \tilde A = \text{columns centred, of length 1} $$

    The columns are centred over the rows first: that two vectors of one row are orthogonal says nothing about what the
    parts share. Correlations, not covariances, so that a part cannot hide by being small.

    Args:
        a: One part, row by row.
        b: The other.

    Returns:
        Between 0 and p q; about p q / n for parts that have nothing to do with each other. A constant column counts as
        uncorrelated. 0 for fewer than two rows.

    Complexity:
        O(n p q).

    Relations:
        * symmetric, and blind to shift and scale of any column.
        * 0 for uncorrelated columns, though their rows be anything but orthogonal.
        * equals the squared entries of `numpy.corrcoef` between the two parts, added up.
    """
    if len(a) < 2:
        return (a.sum() + b.sum()) * 0
    return (_standard(a).T @ _standard(b)).square().sum()


def _standard(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    lengths = torch.linalg.vector_norm(centred, dim=0)
    floor = len(x) ** 0.5 * torch.finfo(x.dtype).eps * x.detach().abs().amax(0)
    return torch.where(lengths > floor, centred / lengths.clamp_min(torch.finfo(x.dtype).tiny), 0.0 * centred)

"""Two parts should not overlap: rows, columns over a batch, or the maps that make them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from polymodal.core.typing import Float


def row_orthogonality_loss(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    r"""Mean over rows of $|a_i \cdot b_i|$: the two vectors of a row at right angles.

    That says nothing about what the parts have in common: (z, 0) and (0, z) are at right angles and equal. To keep one part
    from repeating the other take `decorrelation_loss`, `cross_covariance_loss` or `difference_loss`.

    Returns:
        0 or more; 0 without rows.

    Relations:
        * equals mean |a_i| |b_i| |cos(a_i, b_i)|.
    """
    return (a * b).sum(1).abs().sum() / max(len(a), 1)


def cross_covariance_loss(a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    r"""Sum of the squared covariances between the columns of two parts: $\| \tilde A^\top \tilde B / n \|_F^2$, columns centred.

    Division by n makes it independent of the size of the batch, up to sampling. Unlike `decorrelation_loss` it falls when a part
    shrinks, so something else must hold the size of the parts (a task, a reconstruction, a normalisation).

    Returns:
        0 or more; 0 without rows.

    Relations:
        * equals the squared entries of `numpy.cov(..., bias=True)` between the parts, added up.
        * columns of unit variance: `decorrelation_loss`.
        * blind to shifts; scales with the square of either part.
    """
    if not len(a):
        return (a.sum() + b.sum()) * 0
    return ((a - a.mean(0)).T @ (b - b.mean(0)) / len(a)).square().sum()


def difference_loss(a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    r"""The difference loss of domain separation networks: $\| \hat A^\top \hat B \|_F^2 / n^2$, columns centred, then rows of length 1.

    Published without the division by $n^2$, which makes it independent of the size of the batch.

    Returns:
        In [0, 1]; 0 without rows. A row at the mean counts as 0.

    Relations:
        * blind to a shift, and to one scale for the whole part; not to one per column.
        * one column each: 1 when the signs (about the means) always agree or always differ.

    References: Bousmalis et al. 2016, "Domain separation networks" (equation 5, and the authors' program for the centring).
    """
    if not len(a):
        return (a.sum() + b.sum()) * 0
    unit_a = functional.normalize(a - a.mean(0), dim=1)
    unit_b = functional.normalize(b - b.mean(0), dim=1)
    return (unit_a.T @ unit_b / len(a)).square().sum()


def subspace_loss(first: Float[Tensor, "d p"], second: Float[Tensor, "d q"]) -> Float[Tensor, ""]:
    r"""$\| W_1^\top W_2 \|_F^2$: the column SPACES of two maps at right angles. It says nothing about columns within a map.

    Args:
        first: Directions as columns. The weight of an `nn.Linear` has them as rows: pass `layer.weight.T`.
        second: The others, in the same space.

    Relations:
        * orthonormal columns: the sum of the squared cosines of the principal angles.
        * 0 exactly when every column of one is orthogonal to every column of the other.
    """
    return (first.T @ second).square().sum()

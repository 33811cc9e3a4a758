"""Gram matrices: all pairs of rows in float64, centred; and the customary width of an RBF kernel."""

from __future__ import annotations

import numpy as np

from polymodal.core.typing import Float
from polymodal.similarity.kernels import RBF, Similarity


def gram(
    kernel: Similarity, a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """`kernel.pairwise` in float64; for RBF by one matrix product, several times as fast as by differences.

    Relations:
        * equals kernel.pairwise(a, b) to rounding.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if type(kernel) is not RBF:
        return np.asarray(kernel.pairwise(a, b), dtype=np.float64)
    centre = b.mean(axis=0)  # distances do not change, and less cancels
    a, b = (a - centre) / kernel.scale, (b - centre) / kernel.scale
    out = a @ b.T
    out -= 0.5 * np.einsum("ij,ij->i", a, a)[:, None]
    out -= 0.5 * np.einsum("ij,ij->i", b, b)
    np.minimum(out, 0.0, out=out)
    return np.asarray(np.exp(out, out=out))


def centred(K: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    r"""$HKH$, $H = I - 11'/n$: the inner products of the features less their mean.

    Relations:
        * rows and columns sum to zero; centring twice changes nothing.
    """
    means = K.mean(axis=0)
    out = K - means
    out -= means[:, None]
    out += means.mean()
    return np.asarray(out)


def median_width(values: Float[np.ndarray, "n d"]) -> float:
    """Median distance between rows that differ: the customary width of an RBF kernel. 0 when all rows are equal. O(n^2 d)."""
    from scipy.spatial.distance import pdist

    distances = pdist(np.asarray(values, dtype=np.float64))
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 0.0

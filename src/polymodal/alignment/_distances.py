"""Full matrices of costs for the methods that need every pair at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.alignment._limits import check_dense
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float


def all_distances(
    a: Float[np.ndarray, "n da"], b: Float[np.ndarray, "m db"], metric: Any, who: str
) -> Float[np.ndarray, "n m"]:
    """The distance of every element of a from every one of b.

    Raises:
        ModalityError: unlike features, sets too large, a metric that is unknown or gives no such matrix.
    """
    if a.shape[1] != b.shape[1]:
        raise ModalityError(
            f"{who} compares elements, so a and b need as many features; got a {a.shape} and b {b.shape}. GromovWasserstein matches "
            "sets of different spaces by the distances within each, CanonicalTimeWarping sequences; or learn one space first (CCA)."
        )
    instead = "MutualNeighbours needs no matrix; or match samples of the elements, or clusters of them."
    check_dense(len(a), len(b), f"{who}'s matrix of costs", instead)
    if callable(metric):
        return cost_matrix(metric(a, b), shape=(len(a), len(b)))
    from scipy.spatial.distance import cdist

    try:
        found: np.ndarray = cdist(a, b, metric)
    except ValueError as error:
        raise ModalityError(
            f"{who} cannot use metric {metric!r} ({error}). Use 'euclidean', 'sqeuclidean', 'cityblock', 'cosine', or a function of "
            "all elements of both."
        ) from None
    if np.isnan(found).any():
        raise ModalityError(
            f"{who}'s metric {metric!r} is not defined for some pairs (an element of zero has no cosine, a constant one no correlation). "
            "Use 'euclidean', or leave those elements out."
        )
    return found


def cost_matrix(
    costs: Any, *, shape: tuple[int, int] | None = None, finite: bool = False
) -> Float[np.ndarray, "n m"]:
    """Costs that are there already, as float64.

    Raises:
        ModalityError: not a matrix of numbers, empty, NaN, or (where `finite`) infinite.
    """
    c = np.asarray(costs)
    if c.ndim != 2 or c.size == 0 or (shape is not None and c.shape != shape) or c.dtype.kind not in "fiub":
        wanted = "(elements of a, elements of b)" if shape is None else shape
        raise ModalityError(
            f"Costs must be a matrix of numbers of shape {wanted}, got {c.dtype} of shape {c.shape}."
        )
    c = c.astype(np.float64)
    if np.isnan(c).any():
        raise ModalityError(
            f"Costs hold NaN in {int(np.isnan(c).sum())} of {c.size} pairs. To forbid a pair to Assignment give infinity."
        )
    if finite and not np.isfinite(c).all():
        raise ModalityError(
            f"Costs must be finite here, got {int((~np.isfinite(c)).sum())} infinite of {c.size}. Assignment takes infinity as forbidden; "
            "for transport give a large finite cost."
        )
    return c

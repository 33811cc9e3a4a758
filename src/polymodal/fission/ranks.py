"""How many shared and how many private factors: more than chance alone would show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator


@dataclass(frozen=True)
class Ranks:
    """Numbers of factors: `n_shared` in all modalities together, `n_private[name]` in each alone."""

    n_shared: int
    n_private: dict[str, int]


def choose_ranks(
    data: Modalities | Mapping[str, Any],
    *,
    n_permutations: int = 40,
    random_state: RandomState = None,
) -> Ranks:
    """Count factors by permutation, on the rows that have every modality.

    The rank of one modality is the number of principal components that, one after the other, explain more of what the earlier ones
    left than chance would (deflated parallel analysis: the same remainder with every column shuffled). A factor is shared when the
    score spaces of the modalities agree on a direction more closely than after shuffling their rows, and more closely than all but
    one of them could without the last.

    What chance cannot explain need not be useful: on large clean data nearly every direction is counted, and factors of
    one modality alone then fit its noise. To predict one modality from another, set fewer and compare held-out scores.

    Args:
        data: Vector modalities.
        n_permutations: Shuffles that a factor must exceed, every one: a level of 1 / (n_permutations + 1).
        random_state: Seed of the shuffles.

    Complexity:
        O(rank n_permutations n d min(n, d)) for d features.

    References:
        Horn 1965; Dobriban and Owen 2019; Lock et al. 2013 (JIVE); Feng, Jiang, Hannig and Marron 2018 (AJIVE).
    """
    rng = generator(random_state)
    frame = Modalities.of(data).complete()
    if len(frame) < 3:
        raise ModalityError(f"Choosing ranks needs at least 3 rows with every modality, got {len(frame)}.")
    names = sorted(frame.names)
    scores = []
    for name in names:
        x = np.asarray(frame[name].values(), dtype=np.float64)
        x = x - x.mean(axis=0)
        scores.append(_leading(x, n_permutations, rng))
    n_shared = _agreeing(scores, n_permutations, rng)
    return Ranks(n_shared, {name: u.shape[1] - n_shared for name, u in zip(names, scores, strict=True)})


def _leading(x: np.ndarray, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Scores (orthonormal) of the components that are more than chance."""
    U, s, _ = np.linalg.svd(x, full_matrices=False)
    negligible = float(s[:1].sum()) * max(x.shape) * np.finfo(float).eps
    most = min(len(s), len(x) - 2)
    for k in range(most):
        if s[k] <= negligible:
            return U[:, :k]
        # what the first k leave, in a random basis of the d - k dimensions it fills: its columns are alike, and none is empty
        rest = U[:, k:] * s[k:] @ np.linalg.qr(rng.standard_normal((len(s) - k, len(s) - k)))[0]
        null = [np.linalg.norm(rng.permuted(rest, axis=0), ord=2) for _ in range(n_permutations)]
        if s[k] <= max(null):
            return U[:, :k]
    return U[:, :most]


def _agreeing(scores: list[np.ndarray], n_permutations: int, rng: np.random.Generator) -> int:
    smallest = min(u.shape[1] for u in scores)
    if not smallest:
        return 0
    observed = (
        np.linalg.svd(np.hstack(scores), compute_uv=False) ** 2
    )  # from 1 (alone) to len(scores) (in all)
    null = [
        np.linalg.svd(np.hstack([rng.permutation(u) for u in scores]), compute_uv=False)[0] ** 2
        for _ in range(n_permutations)
    ]
    bound = max(*null, len(scores) - 1.0)
    return int(min(np.count_nonzero(observed > bound), smallest))

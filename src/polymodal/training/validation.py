"""Which rows are held out to measure the loss on: whole groups, so that nothing seen in training is measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities


def hold_out(data: Modalities, share: float, groups: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to validate on, both rising.

    Args:
        data: The rows.
        share: Share of the rows to hold out; groups are drawn until it is reached.
        groups: (n,) labels; rows of one label stay together. None: rows that share a stored value stay together,
            unless that ties more rows together than may be held out; then single rows are drawn.
        seed: Fixes the draw.

    Raises:
        ModalityError: groups of another length, or too few groups to split.
    """
    n = len(data)
    if share == 0:
        return np.arange(n), np.arange(0)
    labels = (
        linked_rows([column.index for _, column in data.items()])
        if groups is None
        else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    )
    if len(labels) != n:
        raise ModalityError(f"groups needs one label per row ({n}), got {len(labels)}.")
    sizes = np.bincount(labels)
    if groups is None and sizes.max() > max(1, share * n):
        labels, sizes = np.arange(n), np.ones(n, dtype=np.int64)
    if len(sizes) < 2:
        raise ModalityError(
            "Training(validation=...) needs at least two groups of rows, got one. Set validation=0."
        )
    order = np.random.default_rng([seed, 1]).permutation(len(sizes))
    reached = np.cumsum(sizes[order])
    count = int(np.clip(np.searchsorted(reached, share * n) + 1, 1, len(sizes) - 1))
    held = np.isin(labels, order[:count])
    return np.flatnonzero(~held), np.flatnonzero(held)

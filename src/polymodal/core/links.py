"""Rows that belong together because a chain of equal values joins them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polymodal.core.typing import Int


def linked_rows(codes: Sequence[Int[np.ndarray, " n"]]) -> Int[np.ndarray, " n"]:
    """Label rows so that two rows have one label exactly where a chain of equal codes joins them.

    What honest splits are made of: a picture with five captions, one of which another picture shares, is one group.

    Args:
        codes: For each modality one number per row, equal where the value is (`Modality.index`, `Modality.identity`);
            -1 where the row lacks it, which joins nothing.

    Returns:
        Labels 0, 1, ..., without gaps.

    Complexity:
        O(rows x modalities).

    Relations:
        * one modality that is never missing: the codes, renumbered.
        * rows without any value are alone.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(codes[0])
    rows, values, start = [], [], n
    for code in codes:
        has = np.flatnonzero(code >= 0)
        used, inverse = np.unique(code[has], return_inverse=True)
        rows.append(has)
        values.append(inverse + start)
        start += len(used)
    i, j = np.concatenate(rows), np.concatenate(values)
    graph = coo_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(start, start))
    joined = connected_components(graph, directed=False)[1][:n]
    labels: np.ndarray = np.unique(joined, return_inverse=True)[1].astype(np.int64)
    return labels

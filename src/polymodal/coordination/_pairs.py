"""Rows that belong together: which pairs of modalities meet, what may be held out, and how well they find each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float, Int
from polymodal.evaluation.ranking import rank_embeddings
from polymodal.evaluation.retrieval import inverse_place

Pair = tuple[str, str]


def chosen_pairs(names: Sequence[str], pairs: str) -> list[Pair]:
    """Which pairs of modalities are brought together: "all", or each with the one named.

    Raises:
        ModalityError: a name that is no modality.
    """
    if pairs == "all":
        return list(combinations(sorted(names), 2))
    if pairs not in names:
        raise ModalityError(
            f'pairs is "all" or the name of one modality of {sorted(names)}, got {pairs!r}.{suggest(pairs, names)}'
        )
    return [(pairs, other) for other in sorted(names) if other != pairs]


def retrieval_score(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "n d"],
    codes_a: Int[np.ndarray, " n"],
    codes_b: Int[np.ndarray, " n"],
) -> float:
    """Mean reciprocal rank of the first right answer, averaged over both directions.

    Each distinct value asks once and answers once; every value that some row pairs with it is a right answer.

    Complexity:
        O(u v (d + log v)) time for u and v distinct values, without a matrix of all scores.

    Relations:
        * all answers first: 1. One pair: 1.
        * symmetric in the two sides.
    """
    from scipy.sparse import coo_matrix

    _, first_a, code_a = np.unique(codes_a, return_index=True, return_inverse=True)
    _, first_b, code_b = np.unique(codes_b, return_index=True, return_inverse=True)
    seen = coo_matrix((np.ones(len(code_a)), (code_a, code_b)), shape=(len(first_a), len(first_b))).tocsr()
    there = inverse_place(rank_embeddings(a[first_a], b[first_b], seen)).mean()
    back = inverse_place(rank_embeddings(b[first_b], a[first_a], seen.T.tocsr())).mean()
    return float((there + back) / 2)


def paired_rows(data: Modalities, pairs: Sequence[Pair], *, method: str) -> Modalities:
    """The rows that take part in some pair.

    Raises:
        ModalityError: a modality meets no other on two rows; `method` is who asks.
    """
    present = data.present
    together = {pair: present[pair[0]] & present[pair[1]] for pair in pairs}
    meets = {
        name: max(int(rows.sum()) for pair, rows in together.items() if name in pair) for name in data.names
    }
    lonely = {name: count for name, count in meets.items() if count < 2}
    if lonely:
        raise ModalityError(
            f"{method} needs at least two rows on which each modality meets another, got {lonely} of {len(data)} rows. "
            "Pair rows with Modalities.join(..., on=ids), or drop the modality."
        )
    some: np.ndarray = np.logical_or.reduce(list(together.values()))
    return data[some]


def check_variety(codes: Mapping[str, np.ndarray], *, method: str) -> None:
    """Refuse a modality with one value only: there is nothing to tell apart.

    Raises:
        ModalityError: names the modality; `method` is who asks.
    """
    for name, code in codes.items():
        if len(np.unique(code[code >= 0])) < 2:
            raise ModalityError(
                f"{method} learns to tell things apart, but all rows hold one and the same {name!r}. "
                f"Give rows with different values of {name!r}, or drop it."
            )


def row_groups(data: Modalities, codes: Mapping[str, np.ndarray], share: float) -> np.ndarray | None:
    """Rows joined by a chain of equal values or equal ids have one label, so that no value is trained on and held out.

    None where that would tie more rows together than may be held out (texts that are class names): the training loop
    then falls back to stored values, or single rows.
    """
    if not share:
        return None
    known = {str(key): i for i, key in enumerate(dict.fromkeys(data.ids.tolist()))}
    ids = np.array([known[str(key)] for key in data.ids.tolist()])
    labels = linked_rows([ids, *codes.values()])
    return labels if np.bincount(labels).max() <= max(1, share * len(data)) else None

"""Queries of several modalities: a weighted sum of what each says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Float
from polymodal.retrieval.exact import normalize
from polymodal.retrieval.layout import Layout


def shares_of(names: Sequence[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    """Modality -> its weight, 1 where none is given; a weight of a modality that is not asked with is refused."""
    unknown = [name for name in weights or () if name not in names]
    if unknown:
        raise ModalityError(
            f"weights name {unknown}, the query has {list(names)}.{suggest(str(unknown[0]), names)}"
        )
    return {name: float((weights or {}).get(name, 1.0)) for name in names}


def compose_parts(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]], shares: Mapping[str, float], layout: Layout
) -> Float[np.ndarray, "q d"]:
    """The weighted sum of the parts that are present on each row."""
    if not parts:
        raise ModalityError(f"A query needs a value of at least one modality, got none of {list(shares)}.")
    rows = len(next(iter(parts.values()))[1])
    total, weight, any_present = np.zeros((rows, layout.dim)), np.zeros(rows), np.zeros(rows, dtype=bool)
    for name, (vectors, present) in parts.items():
        layout.prepare_vectors(vectors)
        z = normalize(vectors).astype(np.float64) if layout.metric == "cosine" else vectors
        total += shares[name] * np.where(present[:, None], z, 0)
        weight += shares[name] * present
        any_present |= present & (shares[name] != 0)
    if not any_present.all():
        raise ModalityError(
            f"Each query needs a value of {list(shares)} that counts; queries {np.flatnonzero(~any_present)[:3].tolist()} have none."
        )
    if layout.metric != "cosine":
        total /= np.where(weight > 0, weight, 1)[:, None]
    elif len(parts) > 1 and (np.linalg.norm(total, axis=1) < 1e-6).any():
        raise ModalityError(f"The weights {dict(shares)} cancel: the composed query is zero. Change them.")
    return layout.prepare_vectors(total)

"""Modalities of any kind as vectors, for fusions that work on vectors: vectors stay as they are, all else is `Vectorize`d."""

from __future__ import annotations

from typing import Any

from polymodal.core.modalities import Modalities


def fit_vectorizer(data: Modalities, n_components: int = 120) -> Any:
    """A `Vectorize` fitted on the modalities that are not vectors; None where all are."""
    others = [name for name, column in data.items() if column.kind != "vector"]
    if not others:
        return None
    from polymodal.encoders.vectorize import Vectorize

    return Vectorize(n_components, random_state=0).fit(data.select(*others))


def as_vectors(vectorizer: Any, data: Modalities) -> Modalities:
    """The same rows, every modality as vectors."""
    others = [] if vectorizer is None else [name for name in data.names if name in vectorizer.modalities_]
    if not others:
        return data
    made = vectorizer.transform(data.select(*others))
    return data.assign({name: made[name] for name in others})

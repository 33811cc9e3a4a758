"""`Index`: what a retriever asks of the thing that holds its vectors, in memory or on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.random import RandomState
from polymodal.core.typing import Float
from polymodal.retrieval.approximate import Approximation, Kind
from polymodal.retrieval.filters import Where
from polymodal.retrieval.hits import Hits
from polymodal.retrieval.layout import Layout


@runtime_checkable
class Index(Protocol):
    """Entries are (modality, id): one vector, or several where a key has several values (five captions of a picture)."""

    @property
    def layout(self) -> Layout:
        """Width, metric and types."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that have entries, sorted."""

    def __len__(self) -> int:
        """Number of vectors."""

    def add(self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None = None) -> None:
        """Put in new entries; a key that is there already is refused by name."""

    def update(
        self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Put in entries in place of all that their keys had; new keys are added."""

    def delete(self, ids: Any, modality: str | None = None) -> int:
        """Take out all entries of these keys (of one modality, or of all); returns how many vectors left."""

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        target: str | Sequence[str] | None = None,
        where: Where | None = None,
        exact: bool = False,
    ) -> Hits:
        """The k nearest entries of each query vector."""

    def vectors(self, key: str | int) -> dict[str, np.ndarray]:
        """Modality -> the vectors of one key."""

    def build_approximate(
        self, kind: Kind = "auto", *, min_recall: float = 0.95, random_state: RandomState = 0
    ) -> dict[str, Approximation]:
        """Build approximate indices where the size pays; modality -> what was built and its measured recall."""


def search_others(
    index: Index,
    queries: Float[np.ndarray, "1 d"],
    k: int,
    *,
    without: Sequence[str | int],
    target: str | Sequence[str] | None = None,
    where: Where | None = None,
    exact: bool = False,
) -> Hits:
    """The k nearest entries of one query, those of the keys it was made of left out."""
    own = sum(len(vectors) for key in without for vectors in index.vectors(key).values())
    hits = index.search(queries, k + own, target=target, where=where, exact=exact)
    kept = np.flatnonzero(~np.isin(hits.ids[0], list(without)))[:k]
    metadata = {name: values[:, kept] for name, values in hits.metadata.items()}
    return Hits(hits.ids[:, kept], hits.scores[:, kept], hits.modality[:, kept], metadata, hits.recall)

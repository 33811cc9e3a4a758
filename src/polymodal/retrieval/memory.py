"""`MemoryIndex`: entries in memory, searched exactly (or approximately, on request)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState
from polymodal.retrieval.approximate import EXACT_BELOW, ApproximateIndex, Approximation, Kind
from polymodal.retrieval.filters import Where
from polymodal.retrieval.hits import Hits
from polymodal.retrieval.layout import Layout
from polymodal.retrieval.shelf import Shelf, search_shelves


class MemoryIndex:
    """An `Index` that lives as long as the process.

    Args:
        layout: Width, metric, and types of keys and metadata.

    Relations:
        * gives what a `DiskIndex` of the same entries gives.

    Examples:
        >>> index = MemoryIndex(Layout(2))
        >>> index.add("image", ["east", "north"], [[1, 0], [0, 1]])
        >>> index.search([[2, 1]], k=1).ids.tolist()
        [['east']]
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._parts: dict[str, list[Shelf]] = {}

    @property
    def layout(self) -> Layout:
        """Width, metric and types."""
        return self._layout

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that have entries, sorted."""
        return tuple(sorted(self._parts))

    def __len__(self) -> int:
        return sum(len(part) for parts in self._parts.values() for part in parts)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {len(self._shelf(name))}" for name in self.modalities)
        return f"MemoryIndex({counts or 'empty'}; {self._layout.dim} features, {self._layout.metric})"

    def add(self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None = None) -> None:
        """Put in new entries.

        Raises:
            ModalityError: a key that is there already, vectors of another width, unknown metadata.
        """
        new = prepare(self._layout, ids, vectors, metadata)
        taken = [key for part in self._parts.get(modality, []) for key in _taken(part, new)]
        refuse_taken(modality, taken)
        if len(new):
            self._parts.setdefault(modality, []).append(new)

    def update(
        self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Put in entries in place of all that their keys had; new keys are added."""
        new = prepare(self._layout, ids, vectors, metadata)
        self._remove(new.table.column("id").combine_chunks(), modality)
        if len(new):
            self._parts.setdefault(modality, []).append(new)

    def delete(self, ids: Any, modality: str | None = None) -> int:
        """Take out all entries of these keys; returns how many vectors left."""
        keys = self._layout.prepare_ids(ids)
        return sum(self._remove(keys, name) for name in ([modality] if modality else self.modalities))

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        target: str | Sequence[str] | None = None,
        where: Where | None = None,
        exact: bool = False,
    ) -> Hits:
        """The k nearest entries of each query vector, best first.

        Args:
            queries: Vectors (q, dim).
            k: How many.
            target: Only entries of this modality (or these).
            where: Filter on metadata: a mapping or a condition (`polymodal.retrieval.filters`).
            exact: Do without the approximate index.
        """
        shelves = {name: self._shelf(name) for name in self._parts}
        return search_shelves(shelves, self._layout, queries, k, target=target, where=where, exact=exact)

    def vectors(self, key: str | int) -> dict[str, np.ndarray]:
        """Modality -> the vectors of one key."""
        return vectors_of({name: self._shelf(name) for name in self._parts}, self._layout, key)

    def build_approximate(
        self, kind: Kind = "auto", *, min_recall: float = 0.95, random_state: RandomState = 0
    ) -> dict[str, Approximation]:
        """Build approximate indices where the size pays; modality -> what was built and its measured recall.

        Args:
            kind: `auto`: exact below 200,000 vectors, `ivf` above. `exact` drops what was built.
            min_recall: The recall@10 to reach on queries of the other modalities.
            random_state: Seed.

        The next change of a modality's entries drops its approximate index.
        """
        shelves = {name: self._shelf(name) for name in self._parts}
        built = {
            name: approximate(shelves, name, self._layout, kind, min_recall, random_state) for name in shelves
        }
        for name, index in built.items():
            shelf = shelves[name]
            self._parts[name] = [Shelf(shelf.vectors, shelf.table, index)]
        return {name: report_of(index, len(shelves[name])) for name, index in built.items()}

    def _shelf(self, name: str) -> Shelf:
        import pyarrow as pa

        parts = self._parts[name]
        if len(parts) > 1:
            table = pa.concat_tables([part.table for part in parts]).combine_chunks()
            self._parts[name] = [Shelf(np.concatenate([part.vectors for part in parts]), table)]
        return self._parts[name][0]

    def _remove(self, keys: Any, modality: str) -> int:
        if modality not in self._parts:
            return 0
        shelf = self._shelf(modality)
        gone = shelf.has(keys)
        if gone.all():
            del self._parts[modality]
        elif gone.any():
            kept = np.flatnonzero(~gone)
            self._parts[modality] = [Shelf(shelf.vectors[kept], shelf.table.take(kept))]
        return int(gone.sum())


def prepare(layout: Layout, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None) -> Shelf:
    """Checked and converted entries."""
    made = Shelf(layout.prepare_vectors(vectors), layout.prepare_table(ids, metadata))
    if len(made.table) != len(made.vectors):
        raise ModalityError(
            f"Entries need one id per vector: {len(made.vectors)} vectors, {len(made.table)} ids."
        )
    return made


def refuse_taken(modality: str, taken: list[Any]) -> None:
    """Say which keys are there already."""
    if taken:
        raise ModalityError(
            f"add needs new ids, but {len(taken)} are in the index as {modality!r} already (first: {taken[:3]}). "
            "Use update(...) to replace their entries."
        )


def vectors_of(shelves: Mapping[str, Shelf], layout: Layout, key: str | int) -> dict[str, np.ndarray]:
    """Modality -> the vectors of one key."""
    wanted = layout.prepare_ids([key])
    found = {name: shelf.vectors[np.flatnonzero(shelf.has(wanted))] for name, shelf in shelves.items()}
    return {name: np.asarray(vectors) for name, vectors in found.items() if len(vectors)}


def approximate(
    shelves: Mapping[str, Shelf],
    name: str,
    layout: Layout,
    kind: Kind,
    min_recall: float,
    random_state: RandomState,
) -> ApproximateIndex | None:
    """The approximate index of one modality, tuned on queries of the others; None where exact search is as good."""
    vectors = shelves[name].vectors
    if kind == "exact" or (kind == "auto" and len(vectors) < EXACT_BELOW):
        return None
    others = [
        np.asarray(shelf.vectors[:: max(1, len(shelf) // 256)])
        for other, shelf in shelves.items()
        if other != name
    ]
    return ApproximateIndex.build(
        vectors,
        metric=layout.metric,
        kind="ivf" if kind == "auto" else kind,
        min_recall=min_recall,
        queries=np.concatenate(others) if others else None,
        random_state=random_state,
    )


def report_of(index: ApproximateIndex | None, n: int) -> Approximation:
    """What was built, also where nothing was."""
    return index.report if index is not None else Approximation("exact", n, 1.0, 10, 0, 0, 0)


def _taken(part: Shelf, new: Shelf) -> list[Any]:
    there = part.has(new.table.column("id").combine_chunks())
    return list(part.table.column("id").take(np.flatnonzero(there)).to_pylist())

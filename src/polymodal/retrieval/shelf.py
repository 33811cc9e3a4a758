"""`Shelf`: the entries of one modality as they are searched, in memory or mapped from disk; and the search over several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Bool, Float, Int
from polymodal.retrieval.approximate import EXACT_BELOW, ApproximateIndex
from polymodal.retrieval.exact import exact_search
from polymodal.retrieval.filters import Where, select
from polymodal.retrieval.hits import Hits
from polymodal.retrieval.layout import Layout

NARROW = 0.5
"""Share of the entries left by a filter below which approximate search loses recall; the rows left are searched exactly."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """Vectors and their rows: position i of one is position i of the other.

    Attributes:
        vectors: An array or a memory map (n, d).
        table: Arrow table of id, part and metadata.
        approximate: The approximate index of the same vectors, where one was built.
    """

    vectors: Float[np.ndarray, "n d"]
    table: Any
    approximate: ApproximateIndex | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, modality: str, where: Where) -> Int[np.ndarray, " m"]:
        """Positions that satisfy the filter, rising; `modality` and `id` may be asked for as metadata may."""
        import pyarrow as pa

        told = pa.array(np.full(len(self), modality))
        return np.flatnonzero(select(self.table.append_column("modality", told.cast(pa.string())), where))

    def has(self, ids: Any) -> Bool[np.ndarray, " n"]:
        """True on the entries whose key is one of `ids` (an Arrow array)."""
        import pyarrow.compute as pc

        found = pc.is_in(self.table.column("id").combine_chunks(), value_set=ids)
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)

    def search(
        self, queries: np.ndarray, k: int, layout: Layout, rows: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Scores, positions and the recall of the search that was chosen."""
        index, n = self.approximate, len(self) if rows is None else len(rows)
        narrow = rows is not None and (n < NARROW * len(self) or n <= EXACT_BELOW)
        if index is None or exact or narrow or k > n:
            return *exact_search(queries, self.vectors, k, metric=layout.metric, rows=rows), 1.0
        scores, places = index.search(queries, k, rows)
        short = np.flatnonzero((places < 0).any(axis=1))
        if len(short):
            scores[short], places[short] = exact_search(
                queries[short], self.vectors, k, metric=layout.metric, rows=rows
            )
        return scores, places, index.report.recall


def search_shelves(
    shelves: Mapping[str, Shelf],
    layout: Layout,
    queries: Any,
    k: int,
    *,
    target: str | Sequence[str] | None = None,
    where: Where | None = None,
    exact: bool = False,
) -> Hits:
    """Search the shelves of the target modalities together.

    Raises:
        ModalityError: an unknown modality or metadata column, queries of another width.
    """
    asked = layout.prepare_vectors(queries)
    if k < 1:
        raise ModalityError(f"k must be at least 1, got {k}.")
    names = _targets(shelves, target)
    scores, places, shelf_of, recall = [], [], [], 1.0
    for number, name in enumerate(names):
        shelf = shelves[name]
        rows = None if where is None else shelf.rows(name, where)
        found, at, quality = shelf.search(asked, k, layout, rows, exact)
        scores.append(found)
        places.append(at)
        shelf_of.append(np.full(at.shape, number))
        recall = min(recall, quality)
    if not names:
        scores, places = [np.zeros((len(asked), 0), np.float32)], [np.zeros((len(asked), 0), np.int64)]
        shelf_of = [places[0]]
    all_scores, all_places, all_shelves = (np.concatenate(x, axis=1) for x in (scores, places, shelf_of))
    order = np.lexsort((all_places, all_shelves, -all_scores), axis=1)[:, :k]
    score, place, of = (np.take_along_axis(x, order, 1) for x in (all_scores, all_places, all_shelves))
    return _hits([shelves[name] for name in names], names, layout, score, place, of, recall)


def _targets(shelves: Mapping[str, Shelf], target: str | Sequence[str] | None) -> list[str]:
    known = sorted(shelves)
    names = known if target is None else [target] if isinstance(target, str) else list(target)
    unknown = [name for name in names if name not in shelves]
    if unknown:
        raise ModalityError(
            f"Unknown modalities {unknown}; the index holds {known}.{suggest(str(unknown[0]), known)}"
        )
    return sorted(set(names))


def _hits(
    shelves: list[Shelf],
    names: list[str],
    layout: Layout,
    scores: np.ndarray,
    places: np.ndarray,
    shelf_of: np.ndarray,
    recall: float,
) -> Hits:
    columns = ["id", *layout.metadata]
    out = {name: np.empty(scores.shape, dtype=object) for name in columns}
    for number, shelf in enumerate(shelves):
        here = shelf_of == number
        taken = shelf.table.select(columns).take(places[here])
        for name in columns:
            out[name][here] = taken.column(name).to_pylist()
    ids = out.pop("id")
    keys = ids.astype(np.int64) if layout.ids == "int" else ids.astype(str)
    labels = np.asarray(names, dtype=str)[shelf_of] if names else np.zeros(scores.shape, dtype=str)
    return Hits(keys, scores, labels, out, recall)

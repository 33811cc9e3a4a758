"""`Hits`: what a search answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.typing import Float, Shaped


@dataclass(frozen=True, eq=False)
class Hits:
    """The k nearest entries of each query, best first.

    Every query has equally many: min(k, entries that the filter leaves).

    Attributes:
        ids: The user's keys (q, k).
        scores: Higher is nearer (q, k): cosine, minus the euclidean distance, or the dot product.
        modality: Which modality each hit is of (q, k).
        metadata: Column -> (q, k) values, `None` where an entry has none.
        recall: Share of the true neighbours that this kind of search finds, as measured on sample queries when the
            index was built; 1 when the search was exact.
    """

    ids: Shaped[np.ndarray, "q k"]
    scores: Float[np.ndarray, "q k"]
    modality: Shaped[np.ndarray, "q k"]
    metadata: Mapping[str, Shaped[np.ndarray, "q k"]]
    recall: float

    def __len__(self) -> int:
        return len(self.ids)

    def records(self, query: int = 0) -> list[dict[str, Any]]:
        """The hits of one query as plain dicts: id, modality, score, and the metadata under `metadata`."""
        return [
            {
                "id": _plain(self.ids[query, i]),
                "modality": str(self.modality[query, i]),
                "score": float(self.scores[query, i]),
                "metadata": {name: _plain(values[query, i]) for name, values in self.metadata.items()},
            }
            for i in range(self.ids.shape[1])
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"recall": self.recall, "queries": [self.records(query) for query in range(len(self))]}

    def __repr__(self) -> str:
        kind = "exact" if self.recall == 1 else f"approximate, measured recall {self.recall:.3f}"
        lines = [f"Hits({len(self)} queries, {self.ids.shape[1]} each, {kind})"]
        for query in range(min(len(self), 3)):
            lines.append(f"  query {query}")
            for hit in self.records(query)[:10]:
                more = ", ".join(f"{k}={v!r}" for k, v in hit["metadata"].items())
                lines.append(
                    f"    {hit['score']: .4f}  {hit['modality']} {hit['id']!r}{'  ' + more if more else ''}"
                )
        if len(self) > 3:
            lines.append(f"  ... and {len(self) - 3} queries more")
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

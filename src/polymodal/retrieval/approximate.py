"""Approximate nearest neighbours by faiss, tuned to a recall that is measured against the exact answer, and says so."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polymodal.core.atomic import atomic_file
from polymodal.core.errors import StoreError
from polymodal.core.random import RandomState, generator, seed
from polymodal.core.typing import Float, Int
from polymodal.retrieval.exact import Metric, exact_search

Kind = Literal["auto", "ivf", "hnsw", "exact"]
EXACT_BELOW = 200_000
"""Vectors up to which exact search is as fast as a tuned approximate one."""
SAMPLES = 256
_POINTS_A_CELL = 39  # faiss warns below


@dataclass(frozen=True)
class Approximation:
    """What was built, and how well it finds.

    Attributes:
        kind: `ivf`, `hnsw`, or `exact` where nothing was built.
        n: Vectors.
        recall: Mean share of the true `k` neighbours found, over the sample queries.
        k: Neighbours counted.
        n_samples: Sample queries.
        effort: Cells looked at (ivf) or size of the search list (hnsw); 0 for exact.
        seed: Seed of cells and samples.
    """

    kind: Literal["ivf", "hnsw", "exact"]
    n: int
    recall: float
    k: int
    n_samples: int
    effort: int
    seed: int


class ApproximateIndex:
    """A faiss index of the vectors of one modality; made by `build`, read by `load`."""

    def __init__(self, index: Any, report: Approximation, metric: Metric) -> None:
        self._index = index
        self.report = report
        self.metric = metric
        self._set_effort(report.effort)

    @classmethod
    def build(
        cls,
        vectors: Float[np.ndarray, "n d"],
        *,
        metric: Metric = "cosine",
        kind: Literal["ivf", "hnsw"] = "ivf",
        min_recall: float = 0.95,
        queries: Float[np.ndarray, "q d"] | None = None,
        random_state: RandomState = 0,
    ) -> ApproximateIndex:
        """Build, then raise the effort until the measured recall@10 on `queries` reaches `min_recall`.

        Args:
            vectors: As for `exact_search`.
            metric: As for `exact_search`.
            kind: `ivf` (cells; quick to build) or `hnsw` (graph; slow to build, quicker to ask).
            min_recall: In (0, 1]. Where no effort reaches it, the best is kept and `report.recall` tells.
            queries: Samples of what will be asked; queries of another modality are harder than the vectors
                themselves, which are sampled by default.
            random_state: Seed of cells and samples.

        Complexity:
            ivf: O(n sqrt(n) d); hnsw: O(n log(n) d). Holds a copy of the vectors.
        """
        chance = seed(random_state)
        rng = generator(chance)
        pool = vectors if queries is None else np.asarray(queries, dtype=np.float32)
        asked = np.asarray(pool[np.sort(rng.permutation(len(pool))[:SAMPLES])], dtype=np.float32)
        k = min(10, len(vectors))
        truth, _ = exact_search(asked, vectors, k, metric=metric)
        index = _train(vectors, metric, kind, chance)
        limit = index.nlist if kind == "ivf" else 1024
        effort = 1 if kind == "ivf" else 16
        while True:
            made = cls(index, Approximation(kind, len(vectors), 0.0, k, len(asked), effort, chance), metric)
            scores, places = made.search(asked, k)
            # equal scores are equally good answers: what counts is reaching the k-th best score
            good = (places >= 0) & (scores >= truth[:, -1:] - 1e-5 * np.maximum(1, np.abs(truth[:, -1:])))
            recall = float(good.mean())
            if recall >= min_recall or effort >= limit:
                return cls(
                    index, Approximation(kind, len(vectors), recall, k, len(asked), effort, chance), metric
                )
            effort = min(2 * effort, limit)

    def search(
        self, queries: Float[np.ndarray, "q d"], k: int, rows: Int[np.ndarray, " m"] | None = None
    ) -> tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]:
        """As `exact_search`; position -1 where fewer than k were found."""
        faiss = _faiss()
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        options = None
        if rows is not None:
            chosen = faiss.IDSelectorBatch(np.asarray(rows, dtype=np.int64))
            options = (
                faiss.SearchParametersIVF(sel=chosen, nprobe=self.report.effort)
                if self.report.kind == "ivf"
                else faiss.SearchParametersHNSW(sel=chosen, efSearch=max(self.report.effort, k))
            )
        elif self.report.kind == "hnsw":
            options = faiss.SearchParametersHNSW(efSearch=max(self.report.effort, k))
        scores, places = self._index.search(asked, k, params=options)
        if self.metric == "euclidean":
            scores = -np.sqrt(np.maximum(scores, 0))
        order = np.lexsort((places, -scores), axis=1)  # ties by position, as exact search has them
        return np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1).astype(np.int64)

    def save(self, path: Path) -> None:
        """Write index and report, each whole or not at all."""
        faiss = _faiss()
        with atomic_file(path) as temporary:
            try:
                faiss.write_index(self._index, str(temporary))
            except RuntimeError as error:
                raise OSError(str(error).splitlines()[-1]) from None
        with atomic_file(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({**asdict(self.report), "metric": self.metric}))

    @classmethod
    def load(cls, path: Path) -> ApproximateIndex:
        """What `save` wrote.

        Raises:
            StoreError: a file is missing or damaged.
        """
        faiss = _faiss()
        try:
            told = json.loads(path.with_suffix(".json").read_text())
            metric = told.pop("metric")
            return cls(faiss.read_index(str(path)), Approximation(**told), metric)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path} is missing or damaged ({str(error).splitlines()[-1]}). Build it again."
            ) from None

    def _set_effort(self, effort: int) -> None:
        if self.report.kind == "ivf":
            self._index.nprobe = effort


def _faiss() -> Any:
    import faiss  # late: it costs 0.1 s, and its own annotations are incomplete

    return faiss


def _train(vectors: np.ndarray, metric: Metric, kind: str, chance: int) -> Any:
    faiss = _faiss()
    n, d = vectors.shape
    measure = faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(d, 32, measure)
        index.hnsw.efConstruction = 80
    else:
        cells = max(1, min(int(4 * np.sqrt(n)), n // _POINTS_A_CELL))
        index = faiss.index_factory(d, f"IVF{cells},Flat", measure)
        index.cp.seed = max(1, chance)
        picked = np.sort(generator(chance).permutation(n)[: cells * 64])
        index.train(np.ascontiguousarray(vectors[picked], dtype=np.float32))
    step = max(1, (1 << 26) // (4 * d))
    for start in range(0, n, step):
        index.add(np.ascontiguousarray(vectors[start : start + step], dtype=np.float32))
    return index

"""Search in 100,000 vectors of 512 numbers, batches of 256 queries: beside faiss flat, faiss HNSW and lancedb's own flat search.

Every contender runs in a process of its own on the same seeded data: two modalities that share forty clusters, so that queries
come from elsewhere than the entries. Seconds are processor seconds for one batch on one thread (best of several, after
building), MiB the peak of building and searching above the input, agreement the share of the exact neighbours found.

    python benchmarks/bench_search.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend_once, memory_mark, present, row

WORKS = ((100_000, 512, 256),)  # vectors, numbers each, queries
K = 10
COMPARED = [
    ("exact, in memory", "exact", "faiss_flat"),
    ("exact, on disk (mapped)", "disk", "lancedb_flat"),
    ("approximate, tuned to recall .95", "ivf", "faiss_hnsw"),
    ("approximate, tuned to recall .95", "ivf", "faiss_flat"),
]
NAMES = {
    "faiss_flat": "faiss IndexFlatIP",
    "lancedb_flat": "lancedb flat search",
    "faiss_hnsw": "faiss HNSW32, ef 64",
}
NAMES |= {"exact": "exact_search", "disk": "DiskIndex", "ivf": "ApproximateIndex ivf"}


def run(works: tuple[tuple[int, int, int], ...] = WORKS) -> list[Row]:
    """One row per search that is compared."""
    rows = []
    for size in works:
        with tempfile.TemporaryDirectory() as folder:
            _make(Path(folder), *size)
            present(contend_once(__file__, "exact", folder))
            truth = np.load(_places("exact", folder))
            for what, *names in COMPARED:
                ours, peer = (present(contend_once(__file__, name, folder)) for name in names)
                recall, peer_recall = (_recall(np.load(_places(name, folder)), truth) for name in names)
                found = row(
                    work=f"{what}: {size[0]:,} x {size[1]}, {size[2]} queries, k = {K}, {NAMES[names[0]]}",
                    ours=ours,
                    peer_name=NAMES[names[1]],
                    peer=peer,
                    agreement=recall,
                )
                rows.append(
                    found
                    | {
                        "peer_agreement": peer_recall,
                        "ours_build_s": ours["build"],
                        "peer_build_s": peer["build"],
                    }
                )
    return rows


def _make(folder: Path, n: int, d: int, q: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, d))
    # the queries' modality lies elsewhere in the space, as those of real models do
    for name, count, shift in (("vectors", n, 0.0), ("queries", q, 1.0)):
        x = (
            centres[rng.integers(40, size=count)]
            + rng.normal(size=(count, d))
            + shift * centres.mean(axis=0) * 8
        )
        np.save(folder / f"{name}.npy", (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]))


def _places(who: str, folder: str) -> Path:
    return Path(folder) / f"{who}.places.npy"


def contender(who: str, folder: str) -> Answer:
    vectors, queries = (np.load(Path(folder) / f"{name}.npy") for name in ("vectors", "queries"))
    build = {
        "exact": _exact,
        "disk": _disk,
        "ivf": _ivf,
        "faiss_flat": _faiss_flat,
        "faiss_hnsw": _faiss_hnsw,
    }
    build["lancedb_flat"] = _lancedb
    risen = memory_mark()
    start = time.process_time()
    search = build[who](vectors, queries, folder)
    built, mib = time.process_time() - start, risen()
    found = best_of(search, repeats=5, enough=20)  # which begins a new mark
    np.save(_places(who, folder), found.answer)
    return {"seconds": found.seconds, "build": built, "mib": max(mib, risen())}


def _exact(vectors: np.ndarray, queries: np.ndarray, folder: str) -> Callable[[], np.ndarray]:
    from polymodal.retrieval import exact_search

    return lambda: exact_search(queries, vectors, K)[1]


def _disk(vectors: np.ndarray, queries: np.ndarray, folder: str) -> Callable[[], np.ndarray]:
    from polymodal.retrieval import DiskIndex, Layout

    index = DiskIndex.create(Path(folder) / "index", Layout(vectors.shape[1], ids="int"))
    index.add("image", np.arange(len(vectors)), vectors)
    index.search(queries[:1], K)  # makes the snapshot
    return lambda: index.search(queries, K).ids


def _ivf(vectors: np.ndarray, queries: np.ndarray, folder: str) -> Callable[[], np.ndarray]:
    from polymodal.retrieval import ApproximateIndex

    index = ApproximateIndex.build(vectors, queries=queries[::2], min_recall=0.95)
    return lambda: index.search(queries, K)[1]


def _faiss_flat(vectors: np.ndarray, queries: np.ndarray, folder: str) -> Callable[[], np.ndarray]:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda: index.search(queries, K)[1]


def _faiss_hnsw(vectors: np.ndarray, queries: np.ndarray, folder: str) -> Callable[[], np.ndarray]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 64
    index.add(vectors)
    return lambda: index.search(queries, K)[1]


def _lancedb(vectors: np.ndarray, queries: np.ndarray, folder: str) -> Callable[[], np.ndarray]:
    import lancedb
    import pyarrow as pa

    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = lancedb.connect(Path(folder) / "lance").create_table(
        "t", pa.table({"id": np.arange(len(vectors)), "vector": values})
    )

    def search() -> np.ndarray:
        found = table.search(list(queries)).distance_type("dot").select(["id"]).limit(K).to_arrow()
        return found["id"].to_numpy().reshape(len(queries), K)

    return search


if __name__ == "__main__":
    command_line(run, contender, WORKS)

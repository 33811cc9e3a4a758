"""Search in 100,000 vectors of 512 numbers, batches of 256 queries: beside faiss flat, faiss HNSW and lancedb's own flat search.

Every contender runs in a process of its own on the same seeded data: two modalities that share forty clusters, so that queries
come from elsewhere than the entries. Seconds are processor seconds for one batch on one thread (best of several, after
building), MiB the peak of building and searching above the input, agreement the share of the exact neighbours found.

    python benchmarks/bench_search.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SIZE = (100_000, 512, 256)
K = 10
WORK = [
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


def run(
    work: list[tuple[str, str, str]] | None = None, size: tuple[int, int, int] = SIZE
) -> list[dict[str, Any]]:
    """One row per piece of work."""
    seen: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        _make(Path(folder), *size)

        def measured(who: str) -> dict[str, Any]:
            if who not in seen:
                seen[who] = _measure(who, folder)
            return seen[who]

        rows = []
        truth = np.load(_places("exact", folder)) if measured("exact") else None
        assert truth is not None
        for what, ours_name, peer_name in WORK if work is None else work:
            ours, peer = measured(ours_name), measured(peer_name)
            found, theirs = (np.load(_places(who, folder)) for who in (ours_name, peer_name))
            rows.append(
                {
                    "work": f"{what}: {size[0]:,} x {size[1]}, {size[2]} queries, k = {K}, {NAMES[ours_name]}",
                    "ours_s": ours["seconds"],
                    "peer": NAMES[peer_name],
                    "peer_s": peer["seconds"],
                    "ratio": peer["seconds"] / ours["seconds"],
                    "ours_mib": ours["mib"],
                    "peer_mib": peer["mib"],
                    "ours_build_s": ours["build"],
                    "peer_build_s": peer["build"],
                    "agreement": _recall(found, truth),
                    "peer_agreement": _recall(theirs, truth),
                }
            )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| work | ours s | peer | peer s | ratio | ours MiB | peer MiB | build s, ours / peer | found, ours / peer |"
    ]
    lines.append("|" + "---|" * 9)
    for r in rows:
        lines.append(
            f"| {r['work']} | {r['ours_s']:.3f} | {r['peer']} | {r['peer_s']:.3f} | {r['ratio']:.2f} | {r['ours_mib']:.0f} "
            f"| {r['peer_mib']:.0f} | {r['ours_build_s']:.1f} / {r['peer_build_s']:.1f} "
            f"| {r['agreement']:.4f} / {r['peer_agreement']:.4f} |"
        )
    return "\n".join(lines)


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


def _measure(who: str, folder: str) -> dict[str, Any]:
    out = subprocess.run(
        [sys.executable, __file__, who, folder],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **ONE_THREAD},
    )
    return dict(json.loads(out.stdout.splitlines()[-1]))


def _contender(who: str, folder: str) -> dict[str, Any]:
    vectors, queries = (np.load(Path(folder) / f"{name}.npy") for name in ("vectors", "queries"))
    build = {
        "exact": _exact,
        "disk": _disk,
        "ivf": _ivf,
        "faiss_flat": _faiss_flat,
        "faiss_hnsw": _faiss_hnsw,
    }
    build["lancedb_flat"] = _lancedb
    before = _peak()
    start = time.process_time()
    search = build[who](vectors, queries, folder)
    built = time.process_time() - start
    times = []
    while len(times) < 5 and sum(times) < 20:
        start = time.process_time()
        places = search()
        times.append(time.process_time() - start)
    np.save(_places(who, folder), places)
    return {"seconds": min(times), "build": built, "mib": _peak() - before}


def _peak() -> float:
    """Of this process alone: getrusage would count what the parent held before the exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


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
    if len(sys.argv) == 3:
        print(json.dumps(_contender(sys.argv[1], sys.argv[2])))
    else:
        print(markdown(run()))

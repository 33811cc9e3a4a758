"""Captions in three languages: sets without an order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import Keep, interval, named, shown

from polymodal import CCA, Modalities
from polymodal.alignment import (
    DTW,
    Assignment,
    GromovWasserstein,
    MutualNeighbours,
    Transport,
    cycle_consistent,
)
from polymodal.alignment.answer import Alignment
from polymodal.encoders import Vectorize

LANGUAGES = "english", "german", "french"
PAIRS = (("english", "german"), ("german", "french"), ("english", "french"))


def read_translations(folder: Path, name: str) -> Modalities:
    rows = [
        line.split("\t") for line in (folder / "multi30k_text" / name).read_text("utf-8").splitlines()[1:]
    ]
    return Modalities({language: [r[k] for r in rows] for k, language in enumerate(LANGUAGES, start=1)})


@dataclass(frozen=True)
class Captions:
    """Costs of all pairs of captions in each two languages, and each language's own vectors."""

    costs: dict[tuple[str, str], np.ndarray]  # 1 - cosine in the space of CCA of the two
    own: dict[str, np.ndarray]
    words: dict[str, np.ndarray]

    def some(self, rows: dict[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
        return {(a, b): c[np.ix_(rows[a], rows[b])] for (a, b), c in self.costs.items()}


def embed_captions(train: Modalities, *asked: Modalities) -> list[Captions]:
    """Vectors of each language alone, then CCA of each two languages, learned from `train`."""
    vectors = Vectorize(200, random_state=0).fit(train)
    first, others = vectors.transform(train), [vectors.transform(a) for a in asked]
    models = {pair: CCA(100, reg=0.1).fit(first.select(*pair)) for pair in PAIRS}
    found = []
    for given, there in zip(asked, others, strict=True):
        costs = {}
        for (a, b), model in models.items():
            both = model.transform(there.select(a, b))
            x, y = (unit(np.asarray(both[n].values(), dtype=float)) for n in (a, b))
            costs[a, b], costs[b, a] = 1 - x @ y.T, 1 - y @ x.T
        own = {n: unit(np.asarray(there[n].values(), dtype=float)) for n in LANGUAGES}
        words = {n: np.array([len(t.split()) for t in given[n].values()]) for n in LANGUAGES}
        found.append(Captions(costs, own, words))
    return found


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def nearest(costs: np.ndarray) -> np.ndarray:
    return np.stack([np.arange(len(costs)), costs.argmin(axis=1)], axis=1)


def around(costs: dict[tuple[str, str], np.ndarray]) -> np.ndarray:
    """English and German captions of chains of nearest neighbours that return by way of French."""
    steps = (LANGUAGES[k : k + 1] + LANGUAGES[(k + 1) % 3 : (k + 1) % 3 + 1] for k in range(3))
    ring = [Alignment.of_path(nearest(costs[s]), costs[s].shape, DTW(), cost=0.0) for s in steps]
    return np.asarray(cycle_consistent(ring)[:, :2])


def caption_methods(limit: float) -> dict[str, Callable[[dict[tuple[str, str], np.ndarray]], np.ndarray]]:
    """Name -> pairs (English, German) of costs."""

    def of(method: Any) -> Callable[[dict[tuple[str, str], np.ndarray]], np.ndarray]:
        return lambda costs: method.align_costs(costs["english", "german"]).path

    return {
        "nearest neighbour": lambda costs: nearest(costs["english", "german"]),
        "mutual neighbours": of(MutualNeighbours()),
        "chains en-de-fr-en that return": around,
        "mutual and returning": lambda costs: both_of(around(costs), MutualNeighbours().align_costs(costs["english", "german"]).path),
        "assignment": of(Assignment()),
        f"assignment, at most {limit:.2f} a pair": of(Assignment(max_cost=limit)),
        "transport, entropy 0.02": of(Transport(epsilon=0.02, tol=1e-4)),
        "transport of 40 % of the mass": of(Transport(balance="partial", mass=0.4)),
    }  # fmt: skip


def both_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    common = {tuple(p) for p in x.tolist()} & {tuple(p) for p in y.tolist()}
    return np.array(sorted(common), dtype=np.int64).reshape(-1, 2)


def halved(n: int, seed: int) -> dict[str, np.ndarray]:
    """All English and French captions, and every second German one."""
    half = np.sort(np.random.default_rng(seed).permutation(n)[: n // 2])
    return {"english": np.arange(n), "german": half, "french": np.arange(n)}


def choose_limit(held: Captions) -> float:
    """The largest cost of an assigned pair that finds most, on captions that nothing was learned from, half of the German ones gone."""
    rows = halved(len(held.own["english"]), 1)
    costs = held.some(rows)["english", "german"]
    limits = np.arange(0.3, 1.01, 0.05)
    worth = []
    for limit in limits:
        pairs = Assignment(max_cost=float(limit)).align_costs(costs).path
        worth.append((rows["german"][pairs[:, 1]] == pairs[:, 0]).sum() * 2 / (len(pairs) + costs.shape[1]))
    return float(limits[int(np.argmax(worth))])


def study_captions(folder: Path, keep: Keep) -> None:
    """Which German caption translates which English one: all there, half gone, and without any pair to learn from."""
    whole, test = read_translations(folder, "train.tsv"), read_translations(folder, "val.tsv")

    @cache
    def learned() -> tuple[Captions, float]:
        found, held = embed_captions(whole[:4000], test, whole[4000:5000])
        return found, choose_limit(held)

    for name in caption_methods(0.0):
        for where in ("all there", "half of the German gone"):

            def work(name: str = name, where: str = where) -> dict[str, Any]:
                captions, limit = learned()
                n = len(test)
                rows = halved(n, 2) if "half" in where else dict.fromkeys(LANGUAGES, np.arange(n))
                place = list(caption_methods(0.0)).index(name)
                pairs = list(caption_methods(limit).values())[place](captions.some(rows))
                right = np.zeros(n, dtype=int)
                claimed = np.bincount(pairs[:, 0], minlength=n)
                np.add.at(right, pairs[:, 0], rows["german"][pairs[:, 1]] == pairs[:, 0])
                there = np.isin(np.arange(n), rows["german"]).astype(int)
                return {
                    "right": right.tolist(),
                    "claimed": claimed.tolist(),
                    "there": there.tolist(),
                    "limit": limit,
                }

            keep(f"captions/{where}/{name}", work)
    for other in ("german", "french"):
        for name in ("Gromov-Wasserstein", "assigned by number of words"):

            def without(name: str = name, other: str = other) -> dict[str, Any]:
                captions, _ = learned()
                rng = np.random.default_rng(0)
                right = []
                for _ in range(20):
                    rows = rng.permutation(len(test))[:40]
                    moved = rng.permutation(40)  # so that the order tells nothing
                    if name == "Gromov-Wasserstein":
                        A, B = (
                            1 - captions.own[x][r] @ captions.own[x][r].T
                            for x, r in (("english", rows), (other, rows[moved]))
                        )
                        path = GromovWasserstein(scale=True).align_structures(symmetric(A), symmetric(B)).path
                    else:
                        x, y = captions.words["english"][rows], captions.words[other][rows[moved]]
                        path = Assignment().align_costs(np.abs(x[:, None] - y).astype(float)).path
                    right.append(int((moved[path[:, 1]] == path[:, 0]).sum()))
                return {"right": right, "of": [40] * 20}

            keep(f"unpaired/english-{other}/{name}", without)


def symmetric(distances: np.ndarray) -> np.ndarray:
    found = np.maximum((distances + distances.T) / 2, 0)
    np.fill_diagonal(found, 0)
    return np.asarray(found)


def tables_captions(done: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for where in ("all there", "half of the German gone"):
        lines = [
            "| method | precision (95 %) | found, of what is there (95 %) | pairs claimed | cpu-s |",
            "|---|---|---|---|---|",
        ]
        for name, entry in named(done, f"captions/{where}"):
            right = entry["right"]
            lines.append(
                f"| {name.replace('0.00', format(entry['limit'], '.2f'))} | {shown(interval(right, entry['claimed']))} | "
                f"{shown(interval(right, entry['there']))} | {sum(entry['claimed'])} | {entry['seconds']:.2g} |"
            )
        yield f"captions {where}", "\n".join(lines)
    lines = ["| pair | method | right (95 %) | by chance |", "|---|---|---|---|"]
    for key, entry in done.items():
        if key.startswith("unpaired/"):
            _, pair, name = key.split("/")
            lines.append(
                f"| {pair} | {name} | {shown(interval(entry['right'], entry['of']))} | {1 / entry['of'][0]:.3f} |"
            )
    yield "unpaired", "\n".join(lines)

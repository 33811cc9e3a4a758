"""Which coordination method retrieves best, on which data, for what cost: the study behind docs/studies/coordination.md.

    python recipes/compare_coordination.py DATA [--tasks emoji,wikipedia] [--out docs/studies]

DATA is a folder with the sets of `load_*` below (one that is absent is left out); the glyphs are built in. For every set: a test split
that no method sees; every method has three settings to choose from on a validation part of the training rows, is then fitted on
all of them, and asked both ways for each row of the test split. Intervals are bootstraps over test rows. Each fit runs in a process of its
own, on one thread; memory is what it grew by. Results go to OUT/coordination.json after every method, so that a run that dies goes on where
it stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from sklearn.linear_model import Ridge

from polymodal import CCA, CLIP, Modalities, Training, datasets
from polymodal.coordination import (
    PLS,
    CoordinatedAutoencoder,
    DeepCCA,
    DeepGeneralisedCCA,
    GatedCoordination,
    GeneralisedCCA,
    IntactSpace,
    KernelCCA,
    MarginCoordination,
    MultisetCCA,
    PartialCoordination,
    SparseCCA,
    VisualSemanticEmbedding,
)
from polymodal.core import Files
from polymodal.core.atomic import atomic_file
from polymodal.core.files import ImageReader
from polymodal.encoders import ConvEncoder, MLPEncoder, TextTransformerEncoder, Vectorize
from polymodal.evaluation import bootstrap_interval, rank_embeddings
from polymodal.evaluation.retrieval import any_hit, inverse_place, mean_precision

SEED = 0
SEEDS = (0, 1)  # of methods that draw numbers; the first is chosen on, both are reported


@dataclass(frozen=True)
class Task:
    """One data set: what is learned from, what is asked."""

    name: str
    train: Modalities
    test: Modalities
    query: str
    target: str
    labels: np.ndarray | None = None  # of the test rows: what counts as found; None: the row itself
    groups: np.ndarray | None = None  # of the training rows: what must stay together in validation
    raw: dict[str, Any] | None = None  # encoders of the values themselves, where they are not numbers

    @property
    def measure(self) -> str:
        return "MRR" if self.labels is None else "mAP"


# --- data -----------------------------------------------------------------------------------------------------------


def load_emoji(folder: Path) -> Task:
    """Pictures and their names with keywords; whole subgroups are held out."""
    place = folder / "emoji_image_text"
    rows = [json.loads(line) for line in (place / "captions.jsonl").read_text("utf-8").splitlines()]
    texts = [" ".join([r["caption"], *r["keywords"]]) for r in rows]
    data = Modalities(
        {"image": Files([place / r["file"] for r in rows], ImageReader(size=(36, 36))), "text": texts}
    )
    subgroups = np.array([r["subgroup"] for r in rows])
    held = np.random.default_rng(SEED).permutation(np.unique(subgroups))[:9]
    train = ~np.isin(subgroups, held)
    raw = {
        "image": ConvEncoder(width=24, shift=2, dropout=0.2),
        "text": TextTransformerEncoder(depth=1, mix="mean", dropout=0.1),
    }
    return Task("emoji", data[train], data[~train], "image", "text", groups=subgroups[train], raw=raw)


def load_wikipedia(folder: Path) -> Task:
    """Articles: a picture's words of SIFT, a text's topics; an answer of the same subject is right."""
    sets = np.load(folder / "wikipedia_xmodal" / "wikipedia_train.npz")
    data = Modalities({"image": sets["image"].astype(float), "text": sets["text"].astype(float)})
    train, test = _split(len(data), 0.25)
    return Task("wikipedia", data[train], data[test], "image", "text", labels=sets["label"][test])


def load_mfeat(folder: Path) -> Task:
    """Six views of handwritten digits; pixel averages are asked for Fourier coefficients of the same digit."""
    sets = np.load(folder / "mfeat_digits" / "mfeat.npz")
    views = {name: sets[name].astype(float) for name in sets.files if name != "label"}
    data = Modalities(views)
    train, test = _split(len(data), 0.25)
    return Task("mfeat", data[train], data[test], "pix", "fou")


def load_multi30k(folder: Path) -> Task:
    """Captions in three languages; an English one is asked for its German translation."""
    place = folder / "multi30k_text"

    def read(name: str) -> Modalities:
        lines = [line.split("\t") for line in (place / name).read_text("utf-8").splitlines()[1:]]
        return Modalities(
            {
                "english": [r[1] for r in lines],
                "german": [r[2] for r in lines],
                "french": [r[3] for r in lines],
            }
        )

    return Task("multi30k", read("train.tsv")[:2500], read("val.tsv"), "english", "german")


def load_breast(folder: Path) -> Task:
    """Three tables of molecules of 150 tumours, more columns than rows; a patient's RNA is asked for the protein table."""
    place = folder / "omics_breast_tcga"
    tables = {
        name: np.genfromtxt(place / f"train_{name}.csv", delimiter=",", skip_header=1)[:, 1:]
        for name in ("mrna", "mirna", "protein")
    }
    data = Modalities(tables)
    train, test = _split(len(data), 0.3)
    return Task("breast", data[train], data[test], "mrna", "protein")


def load_glyphs(folder: Path) -> Task:
    """Greek and Cyrillic letters as picture and as official name; the test characters were never seen in any font."""
    glyphs = datasets.load_glyphs(scripts=["greek", "cyrillic"], progress=False)
    train, test = datasets.held_out_characters(glyphs, test_size=100, random_state=SEED)
    _, first = np.unique(test["codepoint"], return_index=True)
    names = "picture", "name"
    return Task(
        "glyphs",
        train.data.select(*names),
        test.data.select(*names)[first],
        *names,
        groups=np.asarray(train["codepoint"]),
        raw={},
    )


LOADERS: dict[str, Callable[[Path], Task]] = {
    "emoji": load_emoji,
    "wikipedia": load_wikipedia,
    "mfeat": load_mfeat,
    "multi30k": load_multi30k,
    "breast": load_breast,
    "glyphs": load_glyphs,
}


def _split(n: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(SEED).permutation(n)
    return np.sort(order[round(share * n) :]), np.sort(order[: round(share * n)])


# --- methods --------------------------------------------------------------------------------------------------------


class LeastSquares:
    """Baseline: predict the other modality's vector by ridge regression, and look for what is nearest."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def fit(self, data: Modalities) -> LeastSquares:
        whole = data.complete()
        values = {name: np.asarray(column.values(), dtype=float) for name, column in whole.items()}
        self.means = {name: x.mean(axis=0) for name, x in values.items()}
        self.maps = {
            (a, b): Ridge(self.alpha * len(whole)).fit(values[a], values[b])
            for a in values
            for b in values
            if a != b
        }
        return self

    def both(self, data: Modalities, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
        return self.maps[a, b].predict(np.asarray(data[a].values())) - self.means[b], np.asarray(
            data[b].values()
        ) - self.means[b]


def _training(epochs: int = 40, decay: float = 1e-2, rows: int = 128) -> Training:
    return Training(
        max_epochs=epochs,
        batch_size=rows,
        learning_rate=2e-3,
        weight_decay=decay,
        progress=False,
        device="cpu",
    )


def methods(task: Task, seed: int) -> dict[str, list[Any]]:
    """Name -> its three settings, all on the same vectors."""
    few = len(task.train) < 300
    names = list(task.train.names)
    pair = [task.query, task.target]
    widths = {name: column.shape[0] for name, column in task.train.items() if column.kind == "vector"}
    most = (
        min((widths[name] for name in pair if name in widths), default=100) - 1
    )  # topics add up to one: one less than columns
    k, epochs = min(10 if few else 40, most), 60 if few else 30

    def learned(
        method: Any,
        *arguments: Any,
        over: list[str] = names,
        decay: float = 0.1,
        depth: int = 1,
        **options: Any,
    ) -> Any:
        heads = {name: MLPEncoder(width=128, depth=depth, dropout=0.3 if depth else 0.0) for name in over}
        return method(
            *arguments, encoders=heads, training=_training(epochs, decay), random_state=seed, **options
        )

    others = [name for name in names if name != task.target]
    decays = 0.01, 0.1, 1.0
    found: dict[str, list[Any]] = {
        "least squares": [LeastSquares(a) for a in (1e-3, 1e-1, 10.0)],
        "PLS": [PLS(n) for n in (5, 10, k)],
        "CCA": [CCA(k, reg=r) for r in (0.01, 0.1, 0.5)],
        "multiset CCA": [MultisetCCA(k, reg=r) for r in (0.01, 0.1, 0.5)],
        "generalised CCA": [GeneralisedCCA(k, reg=r) for r in (0.01, 0.1, 0.5)],
        "sparse CCA": [
            SparseCCA(min(k, 10, *(w - 1 for w in widths.values())), l1=s) for s in (0.3, 0.6, 0.9)
        ],
        "kernel CCA": [KernelCCA(k, reg=r, random_state=seed) for r in (0.01, 0.1, 0.5)],
        "intact space": [IntactSpace(n) for n in (5, 10, k)],
        "deep CCA": [learned(DeepCCA, k, over=pair, reg=r) for r in (1e-4, 1e-2, 1e-1)],
        "DCCAE": [learned(DeepCCA, k, over=pair, reg=1e-2, reconstruction=r) for r in (1e-3, 1e-2, 1e-1)],
        "deep generalised CCA": [learned(DeepGeneralisedCCA, k, reg=r) for r in (1e-4, 1e-2, 1e-1)],
        "coordinated autoencoder": [
            learned(CoordinatedAutoencoder, k, alpha=a, cross=1.0) for a in (0.1, 1.0, 10.0)
        ],
        "into the other's space": [
            learned(VisualSemanticEmbedding, task.target, over=others, objective=o)
            for o in ("hinge", "cosine", "squared")
        ],
        "margin": [learned(MarginCoordination, 64, negatives=n) for n in ("all", "semi-hard", "hardest")],
        "CLIP": [learned(CLIP, 64, decay=d) for d in decays],
        "CLIP, linear heads": [learned(CLIP, 64, decay=d, depth=0) for d in decays],
        "CLIP, sigmoid": [learned(CLIP, 64, decay=d, loss="sigmoid") for d in decays],
        "partial": [learned(PartialCoordination, 64, n_private=16, weight=w) for w in (0.01, 0.1, 1.0)],
        "gated": [learned(GatedCoordination, 64, decay=d) for d in decays],
    }
    if len(names) > 2:
        for name in ("CCA", "deep CCA", "DCCAE"):  # these take two: the pair that is asked
            found[name] = [_Pair(m, (task.query, task.target)) for m in found[name]]
    if len(names) > 3:
        del found[
            "gated"
        ]  # its cost grows with the pairs of modalities, and each pair costs ten times CLIP's
    if task.raw is not None:
        raw = CLIP(64, encoders=task.raw or None, training=_training(12, 0.1, 64), random_state=seed)
        found["CLIP from raw values"] = [_Raw(raw)]
    return found


class _Pair:
    """A method of two modalities, where there are more."""

    def __init__(self, model: Any, pair: tuple[str, str]) -> None:
        self.model, self.pair = model, pair

    def fit(self, data: Modalities) -> _Pair:
        self.model.fit(data.select(*self.pair))
        return self

    def transform(self, data: Modalities) -> Modalities:
        found: Modalities = self.model.transform(data.select(*self.pair))
        return found


class _Raw:
    """A method of the values themselves, not of their vectors."""

    def __init__(self, model: Any) -> None:
        self.model = model


EXACT = {"least squares", "PLS", "CCA", "multiset CCA", "generalised CCA", "sparse CCA", "intact space"}
"""Methods that draw no numbers."""


# --- measuring ------------------------------------------------------------------------------------------------------


def scores(model: Any, data: Modalities, task: Task, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    """Per row, both directions together: the measure, and whether the answer was first, or among the first ten."""
    from scipy.sparse import csr_matrix, identity

    a, b = task.query, task.target
    found: dict[str, list[np.ndarray]] = {"measure": [], "r1": [], "r10": []}
    for x, y in ((a, b), (b, a)):
        if isinstance(model, LeastSquares):
            asked, there = model.both(data, x, y)
        else:
            embedded = model.transform(data.select(x, y))
            asked, there = (np.asarray(embedded[n].values(), dtype=float) for n in (x, y))
        right = identity(len(data), format="csr") if labels is None else csr_matrix(labels[:, None] == labels)
        ranking = rank_embeddings(asked, there, right)
        found["measure"].append(inverse_place(ranking) if labels is None else mean_precision(ranking))
        found["r1"].append(any_hit(ranking, 1))
        found["r10"].append(any_hit(ranking, 10))
    return {key: np.mean(parts, axis=0) for key, parts in found.items()}


def _work(
    connection: Any, model: Any, train: Modalities, test: Modalities, task: Task, labels: np.ndarray | None
) -> None:
    warnings.simplefilter("ignore")
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        model.fit(train)
    except ValueError as error:  # a method may refuse data, in words
        connection.send({"refused": str(error).split(". ")[0]})
        return
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {key: values.tolist() for key, values in scores(model, test, task, labels).items()}
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    connection.send({**found, "seconds": seconds, "mib": (after.ru_maxrss - before.ru_maxrss) / 1024})


def measure(
    model: Any, train: Modalities, test: Modalities, task: Task, labels: np.ndarray | None
) -> dict[str, Any]:
    """Fit and score in a process of its own."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=_work, args=(there, model, train, test, task, labels))
    process.start()
    there.close()
    try:
        found: dict[str, Any] = here.recv()
    except EOFError:
        found = {"refused": "the process died"}
    process.join()
    return found


def validation(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """A fifth of the training rows, whole groups."""
    labels = (
        np.arange(len(task.train)) if task.groups is None else np.unique(task.groups, return_inverse=True)[1]
    )
    chosen = np.random.default_rng(SEED + 1).permutation(labels.max() + 1)[: max(1, (labels.max() + 1) // 5)]
    held = np.isin(labels, chosen)
    return np.flatnonzero(~held), np.flatnonzero(held)[:1000]


def study(task: Task, done: dict[str, Any], save: Callable[[], None]) -> None:
    """Every method on one set."""
    fit_rows, held_rows = validation(task)
    first = Vectorize(100, random_state=SEED).fit(task.train[fit_rows])
    inner, held = first.transform(task.train[fit_rows]), first.transform(task.train[held_rows])
    whole = Vectorize(100, random_state=SEED).fit(task.train)
    train, test = whole.transform(task.train), whole.transform(task.test)
    for name in methods(task, SEED):
        key = f"{task.name}/{name}"
        if key in done:
            continue
        settings = methods(task, SEED)[name]
        raw = isinstance(settings[0], _Raw)
        begin = time.time()
        if raw:
            best, seeds, outer = 0, (SEED,), (task.train, task.test)
        else:
            tried = [measure(m, inner, held, task, None) for m in settings]
            worth = [float(np.mean(t["measure"])) if "measure" in t else -1.0 for t in tried]
            best, seeds, outer = int(np.argmax(worth)), (SEED,) if name in EXACT else SEEDS, (train, test)
        runs = []
        for seed in seeds:
            model = methods(task, seed)[name][best]
            runs.append(measure(model.model if raw else model, *outer, task, task.labels))
        done[key] = {
            "runs": runs,
            "setting": best,
            "rows": len(task.train),
            "measure": task.measure,
            "tests": len(task.test),
        }
        save()
        shown = f"{np.mean(runs[0]['measure']):.3f}" if "measure" in runs[0] else runs[0]["refused"]
        print(f"{key}: {shown} ({time.time() - begin:.0f} s with the search)", file=sys.stderr, flush=True)


# --- telling --------------------------------------------------------------------------------------------------------


def rows_of(done: dict[str, Any], task: str) -> list[dict[str, Any]]:
    """One row a method, best first."""
    found = []
    for key, entry in done.items():
        where, name = key.split("/", 1)
        runs = [r for r in entry["runs"] if "measure" in r]
        if where != task or not runs:
            continue
        values = np.mean([r["measure"] for r in runs], axis=0)
        interval = bootstrap_interval(values)
        found.append({
            "method": name, "measure": entry["measure"], "value": interval.value, "low": interval.low, "high": interval.high,
            "r1": float(np.mean([r["r1"] for r in runs])), "r10": float(np.mean([r["r10"] for r in runs])),
            "seconds": float(np.mean([r["seconds"] for r in runs])), "mib": float(np.max([r["mib"] for r in runs])),
        })  # fmt: skip
    return sorted(found, key=lambda row: -row["value"])


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        f"| method | {rows[0]['measure']} | 95 % | R@1 | R@10 | fit, cpu-s | MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['method']} | {row['value']:.3f} | {row['low']:.3f}-{row['high']:.3f} | {row['r1']:.3f} | {row['r10']:.3f} | "
            f"{row['seconds']:.2g} | {row['mib']:.0f} |"
        )
    return "\n".join(lines)


def written(page: str, name: str, rows: str) -> str:
    """The page with a table in place of what stood between its marks, or at its end."""
    marked = f"<!-- table {name} -->\n\n{rows}\n\n<!-- end -->"
    place = re.compile(rf"<!-- table {name} -->\n.*?<!-- end -->", re.DOTALL)
    return place.sub(lambda _: marked, page) if place.search(page) else f"{page}\n{marked}\n"


def picture(done: dict[str, Any], tasks: list[str], file: Path) -> None:
    """One panel a set, one line a method."""
    import matplotlib.pyplot as plt

    found = {task: {row["method"]: row for row in rows_of(done, task)} for task in tasks}
    names = sorted({name for rows in found.values() for name in rows})
    worth = {}
    for name in names:
        shares = [
            f[name]["value"] / max(row["value"] for row in f.values()) for f in found.values() if name in f
        ]
        worth[name] = float(np.mean(shares))
    order = sorted(worth, key=lambda n: worth[n])
    figure, axes = plt.subplots(
        1,
        len(tasks),
        figsize=(1.0 + 1.75 * len(tasks), 0.5 + 0.24 * len(order)),
        sharey=True,
        layout="constrained",
    )
    for axis, task in zip(np.atleast_1d(axes), tasks, strict=True):
        for place, name in enumerate(order):
            if name not in found[task]:
                continue
            row = found[task][name]
            colour = (
                "tab:orange"
                if "CLIP" in name
                else "tab:gray"
                if name in ("least squares", "PLS")
                else "tab:blue"
            )
            axis.plot([row["low"], row["high"]], [place] * 2, color=colour, linewidth=1.5)
            axis.plot(row["value"], place, "o", color=colour, markersize=4)
        axis.set_title(f"{task} ({next(iter(found[task].values()))['measure']})", fontsize=9)
        axis.grid(axis="y", color="0.9")
        axis.set_xlim(left=0)
        axis.tick_params(labelsize=8)
    np.atleast_1d(axes)[0].set_yticks(range(len(order)), order, fontsize=8)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def main() -> None:
    """Run what is not done yet, and write the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default=",".join(LOADERS))
    parser.add_argument("--out", type=Path, default=Path("docs/studies"))
    parser.add_argument(
        "--tell",
        action="store_true",
        help="write the tables and the picture of what is done, and nothing more",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "coordination.json"
    done: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}

    def save() -> None:
        with atomic_file(kept) as part:
            Path(part).write_text(json.dumps(done), encoding="utf-8")

    names = []
    for name in options.tasks.split(","):
        if options.tell:
            names.append(name)
            continue
        try:
            task = LOADERS[name](options.data)
        except (FileNotFoundError, StopIteration):
            print(f"{name} is not in {options.data}: left out", file=sys.stderr)
            continue
        names.append(name)
        study(task, done, save)
    page = options.out / "coordination.md"
    text = page.read_text("utf-8") if page.exists() else ""
    for name in names:
        if rows := rows_of(done, name):
            text = written(text, name, table(rows))
    page.write_text(text, encoding="utf-8")
    (options.out / "images").mkdir(exist_ok=True)
    picture(
        done, [name for name in names if rows_of(done, name)], options.out / "images" / "coordination.png"
    )


if __name__ == "__main__":
    main()

"""Which modalities are redundant, unique or synergistic on eight sets, and does fission's shared part retrieve: docs/studies/modalities.md.

    python recipes/diagnose_modalities.py DATA [--sets mfeat,mosi] [--out docs/studies]

DATA is a folder with the sets of `load_*` below (one that is absent is left out); the glyphs are built in. Every set goes through
`diagnose`; the fission part fits `SharedIndividual` and `PredictiveFission` on three quarters of the rows and asks, with the shared and
with the private part of one modality, for the row's partner in another among at most 500 rows of the rest. Results go to
OUT/modalities.json after every set, so that a run that dies goes on where it stopped; pictures and two reports go to OUT/images and
OUT/reports, tables into OUT/modalities.md.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from scipy.sparse import eye_array

from polymodal import Modalities, Training, datasets
from polymodal.cli.answering import plain
from polymodal.commands.diagnosing import Diagnosis, Effort, diagnose
from polymodal.commands.diagnosis_report import report_of
from polymodal.core import Files
from polymodal.core.atomic import atomic_file
from polymodal.core.files import ImageReader
from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.datasets.dataset import Dataset
from polymodal.encoders import Vectorize
from polymodal.evaluation import bootstrap_interval, rank_embeddings
from polymodal.evaluation.retrieval import inverse_place
from polymodal.fission import PredictiveFission, SharedIndividual

SEED = 0
REPORTS = ("clothes", "mfeat")
EFFORT = Effort(rows=1200, permutations=199, resamples=60)


@dataclass(frozen=True)
class Task:
    """One data set and its question; and the two modalities that fission is asked about, if any."""

    dataset: Dataset
    target: str
    group: str | None = None
    fission: tuple[str, str] | None = None


# --- data -----------------------------------------------------------------------------------------------------------


def load_mfeat(folder: Path) -> Task:
    """Six views of 2,000 handwritten digits: Fourier coefficients, profiles, Karhunen-Loeve, pixels, moments, shape."""
    sets = np.load(folder / "mfeat_digits" / "mfeat.npz")
    data = Modalities({name: sets[name].astype(float) for name in sets.files if name != "label"})
    return Task(
        Dataset(data, {"digit": sets["label"].astype(str)}, name="mfeat"), "digit", fission=("pix", "fou")
    )


def load_av_digits(folder: Path) -> Task:
    """A written and a spoken digit, paired by label; rows that share a recording are held out together."""
    place = folder / "av_digits"
    with gzip.open(place / "t10k-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    sounds = np.load(place / "fsdd_audio.npz")
    with (place / "pairs_test.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    clips, places = np.unique([int(r["fsdd_index"]) for r in rows], return_inverse=True)
    starts, samples = sounds["offsets"], sounds["samples"].astype(np.float32) / 2**15
    waves = [samples[starts[i] : starts[i + 1]] for i in clips]
    store = Ragged(np.concatenate(waves), np.cumsum([0, *map(len, waves)]), 8000.0)
    data = Modalities(
        {
            "image": pictures[[int(r["mnist_index"]) for r in rows]],
            "sound": Modality(store, places.astype(np.int64)),
        }
    )
    return Task(Dataset(data, {"digit": np.array([r["label"] for r in rows])}, name="av_digits"), "digit")


def load_mosi(folder: Path) -> Task:
    """Opinions in videos: words spoken and features of the voice; positive or not, speakers held out."""
    everything = load_mosi_leaking(folder)
    return replace(
        everything,
        dataset=replace(everything.dataset, data=everything.dataset.data.drop("video"), name="mosi"),
    )


def load_mosi_leaking(folder: Path) -> Task:
    """The same with features of the face, which behave as if their network had been trained on these very labels.

    So do the set's own text features; the transcripts take their place in both.
    """
    place = folder / "mosi_features"
    sets = np.load(place / "mosi_train.npz")
    with (place / "transcripts_train.csv").open(encoding="utf-8") as lines:
        words = [row["transcript"] for row in csv.DictReader(lines)]
    data = Modalities(
        {"text": words, "audio": sets["audio"].astype(float), "video": sets["video"].astype(float)}
    )
    known = {"positive": np.where(sets["label"] > 0, "yes", "no"), "speaker": sets["video_id"].astype(str)}
    return Task(Dataset(data, known, name="mosi_leaking"), "positive", "speaker")


def load_breast(folder: Path) -> Task:
    """Three tables of molecules of 150 breast tumours; the subtype."""
    place = folder / "omics_breast_tcga"
    tables = {
        name: np.genfromtxt(place / f"train_{name}.csv", delimiter=",", skip_header=1)[:, 1:]
        for name in ("mrna", "mirna", "protein")
    }
    with (place / "train_labels.csv").open(encoding="utf-8") as lines:
        subtype = np.array([row[-1] for row in list(csv.reader(lines))[1:]])
    return Task(Dataset(Modalities(tables), {"subtype": subtype}, name="breast"), "subtype")


def load_nutrimouse(folder: Path) -> Task:
    """Genes and fatty acids in the livers of 40 mice; their diet."""
    place = folder / "omics_nutrimouse"
    tables = {
        name: np.genfromtxt(place / f"{name}.csv", delimiter=",", skip_header=1)[:, 1:]
        for name in ("gene", "lipid")
    }
    with (place / "labels.csv").open(encoding="utf-8") as lines:
        diet = np.array([row["diet"] for row in csv.DictReader(lines)])
    return Task(Dataset(Modalities(tables), {"diet": diet}, name="nutrimouse"), "diet")


def load_clothes(folder: Path) -> Task:
    """Reviews of clothes: the text, and age, votes and kind of garment; whether it is recommended."""
    with (folder / "clothing_reviews" / "val.csv").open(encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if r["Review Text"].strip()]
    kinds = sorted({r["Department Name"] for r in rows})
    table = [
        [
            float(r["Age"]),
            float(r["Positive Feedback Count"]),
            *(float(r["Department Name"] == k) for k in kinds),
        ]
        for r in rows
    ]
    texts = [f"{r['Title']} {r['Review Text']}".strip() for r in rows]
    data = Modalities({"text": texts, "table": np.array(table)})
    told = np.array(["yes" if r["Recommended IND"] == "1" else "no" for r in rows])
    return Task(Dataset(data, {"recommended": told}, name="clothes"), "recommended")


def load_emoji(folder: Path) -> Task:
    """Pictures and names of emoji; the category, with whole subgroups held out."""
    place = folder / "emoji_image_text"
    rows = [json.loads(line) for line in (place / "captions.jsonl").read_text("utf-8").splitlines()]
    texts = [" ".join([r["caption"], *r["keywords"]]) for r in rows]
    data = Modalities(
        {"image": Files([place / r["file"] for r in rows], ImageReader(size=(36, 36))), "text": texts}
    )
    known = {k: np.array([r[k] for r in rows]) for k in ("category", "subgroup")}
    return Task(Dataset(data, known, name="emoji"), "category", "subgroup", ("image", "text"))


def load_glyphs(folder: Path) -> Task:
    """Letters as picture, outline and name; the script. Every font of a character is held out together."""
    glyphs = datasets.load_glyphs(scripts=["greek", "cyrillic", "latin"], progress=False)
    rows = np.sort(np.random.default_rng(SEED).permutation(len(glyphs))[:2500])
    part = glyphs[rows]
    known = {"script": part["script"].astype(str), "codepoint": part["codepoint"].astype(str)}
    return Task(Dataset(part.data, known, name="glyphs"), "script", "codepoint", ("picture", "outline"))


LOADERS: dict[str, Callable[[Path], Task]] = {
    "mfeat": load_mfeat,
    "av_digits": load_av_digits,
    "mosi": load_mosi,
    "mosi_leaking": load_mosi_leaking,
    "breast": load_breast,
    "nutrimouse": load_nutrimouse,
    "clothes": load_clothes,
    "emoji": load_emoji,
    "glyphs": load_glyphs,
}


# --- fission --------------------------------------------------------------------------------------------------------


def retrieve(task: Task) -> list[dict[str, Any]]:
    """Mean reciprocal rank from one modality to the other, by shared and by private parts, as they are and after a map."""
    if task.fission is None:
        return []
    a, b = task.fission
    group = task.dataset[task.group] if task.group else None
    train, test = task.dataset.split(group=group, random_state=SEED)
    keep = np.random.default_rng(SEED).permutation(len(test))[:500]
    train = train[np.random.default_rng(SEED).permutation(len(train))[:2000]]
    vectors = Vectorize(60, random_state=SEED).fit(train.data.select(a, b))
    seen, asked = (vectors.transform(part.data.select(a, b)) for part in (train, test[np.sort(keep)]))
    training = Training(max_epochs=40, batch_size=128, learning_rate=2e-3, progress=False, device="cpu")
    models: dict[str, Any] = {
        "SharedIndividual": SharedIndividual(10, n_private=10, max_iter=200, tol=1e-5),
        "PredictiveFission": PredictiveFission(16, n_private=16, training=training, random_state=SEED),
    }
    found, own = [], eye_array(len(asked), format="csr")
    for name, model in models.items():
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(seen)
        parts = {m: (model.transform(seen.select(m)), model.transform(asked.select(m))) for m in (a, b)}
        for part in ("shared", "private"):
            left, right = (
                [np.asarray(side["shared" if part == "shared" else m].values()) for side in parts[m]]
                for m in (a, b)
            )
            for how, query in (("as it is", left[1]), ("after a map", mapped(left[0], right[0], left[1]))):
                places = inverse_place(rank_embeddings(query, right[1], own))
                score = bootstrap_interval(np.asarray(places), random_state=SEED)
                found.append(
                    {
                        "model": name, "from": a, "to": b, "part": part, "how": how, "mrr": score.to_dict(),
                        "chance": float(np.mean(1 / np.arange(1, len(query) + 1))), "rows": len(query),
                        "seconds": time.process_time() - start,
                    }
                )  # fmt: skip
    return found


def mapped(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The other modality's part as ridge regression predicts it, in the part's own units about its mean."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(np.logspace(-3, 3, 7)).fit(x, y - y.mean(axis=0))
    return np.asarray(model.predict(asked))


# --- the study ------------------------------------------------------------------------------------------------------


def study(name: str, task: Task, out: Path) -> dict[str, Any]:
    """Diagnose one set, and write its report where it is one of the two."""
    effort = Effort() if name in REPORTS else EFFORT  # the reports are of all rows
    start = time.process_time()
    found = diagnose(task.dataset, task.target, group=task.group, effort=effort, random_state=SEED)
    seconds = time.process_time() - start
    if name in REPORTS:
        (out / "reports").mkdir(parents=True, exist_ok=True)
        report_of(found).write(out / "reports" / f"{name}.html")
    return {"diagnosis": short(found), "cpu_seconds": round(seconds, 1)}


def short(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON, without the shuffles."""
    answer: dict[str, Any] = plain(found.to_dict())
    for pair in answer["pairs"]:
        if pair["correlation"]:
            shuffled = pair["correlation"].pop("shuffled")
            pair["correlation"]["shuffled"] = [float(q) for q in np.quantile(shuffled, (0.025, 0.5, 0.975))]
    return answer


def span(interval: dict[str, float], sign: str = "") -> str:
    return f"{interval['value']:{sign}.3f} [{interval['low']:{sign}.3f}, {interval['high']:{sign}.3f}]"


def scores_table(done: dict[str, Any]) -> str:
    """A line a set: the best modality, the best fusion, what fusing gains, and the verdict."""
    lines = [
        "| set | rows (units) | measure | best alone | best fusion | gain | verdict | cpu-s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in done.items():
        d = entry["diagnosis"]
        s, u = d["scores"], d["understanding"]
        best = s["alone"][0]
        top = max(s["gains"], key=lambda g: g["difference"]["value"])
        fused = next(f for f in s["fusions"] if f["name"] == top["model"])
        sure = "" if top["sure"]["low"] > 0 else " (not sure)"
        lines.append(
            f"| {name} | {u['used']:,} ({u['units']:,}) | {s['metric']} | {best['name']} {span(best['score'])} | {fused['name']} "
            f"{span(fused['score'])} | {span(top['difference'], '+')}{sure} | {d['recommendation']['verdict']} | "
            f"{entry['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines)


def pairs_table(entry: dict[str, Any]) -> str:
    """A line a pair: the parts in bits by held-out predictions, what was found, and whether clusters agree."""
    lines = [
        "| pair | redundant | unique to the first | unique to the second | synergy | found | estimators agree | products, p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for pair in entry["diagnosis"]["pairs"]:
        a, b = pair["names"]
        first = pair["parts"][0] if pair["parts"] else None
        cells = ["-"] * 4 if first is None else [
            span(first["redundant"]), span(first["unique"][a]), span(first["unique"][b]), span(first["synergy"])
        ]  # fmt: skip
        agreed = {True: "yes", False: "no", None: "-"}[pair["agreed"]]
        p = pair["products"]["product"]
        told = "-" if p is None else f"{p:.3f}"
        lines.append(f"| {a}, {b} | {' | '.join(cells)} | {', '.join(pair['labels'])} | {agreed} | {told} |")
    return "\n".join(lines)


def fission_table(done: dict[str, Any]) -> str:
    """A line a set, method and part: how well it finds the partner."""
    lines = [
        "| set | from, to | method | part | as it is | after a learned map | chance |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in done.items():
        rows = {(r["model"], r["part"], r["how"]): r for r in entry["fission"]}
        for model, part in dict.fromkeys((m, p) for m, p, _ in rows):
            plainly, learned = rows[model, part, "as it is"], rows[model, part, "after a map"]
            lines.append(
                f"| {name} | {plainly['from']}, {plainly['to']} | {model} | {part} | {span(plainly['mrr'])} | {span(learned['mrr'])} | "
                f"{plainly['chance']:.3f} |"
            )
    return "\n".join(lines)


def written(page: str, name: str, table: str) -> str:
    """The page with a table between its marks; appended where it has none."""
    start, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
    block = f"{start}\n\n{table}\n\n{end}"
    if start not in page:
        return page.rstrip() + f"\n\n{block}\n"
    return page[: page.index(start)] + block + page[page.index(end) + len(end) :]


def picture(done: dict[str, Any], path: Path) -> None:
    """The parts of every pair of every set, as shares of the target's entropy; pale where the interval holds 0."""
    from matplotlib import pyplot as plt

    lines = [
        (name, pair, entry["diagnosis"]["entropy"])
        for name, entry in done.items()
        for pair in entry["diagnosis"]["pairs"]
        if pair["parts"]
    ]
    colours = ("#2f5bea", "#e4932a", "#f2c879", "#1f9d55")
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.21 * len(lines)), layout="constrained")
    for place, (_, pair, entropy) in enumerate(lines):
        first, left = pair["parts"][0], 0.0
        parts = (first["redundant"], *(first["unique"][n] for n in pair["names"]), first["synergy"])
        for part, colour in zip(parts, colours, strict=True):
            width = max(part["value"], 0) / entropy
            axes.barh(place, width, left=left, color=colour, alpha=1.0 if part["low"] > 0 else 0.25)
            left += width
    axes.set_yticks(range(len(lines)), [f"{n}: {', '.join(p['names'])}" for n, p, _ in lines], fontsize=7)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the target's entropy")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    names = ("redundant", "unique to the first", "unique to the second", "synergy")
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def keep(done: dict[str, Any], store: Path) -> None:
    """Write what is known so far, in one step."""
    with atomic_file(store) as temporary:
        temporary.write_text(json.dumps(done, indent=1), encoding="utf-8")


def main() -> None:
    """Run what is not done yet, then write tables and the picture."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", type=Path)
    options.add_argument("--sets", default=",".join(LOADERS))
    options.add_argument("--out", type=Path, default=Path("docs/studies"))
    given = options.parse_args()
    store = given.out / "modalities.json"
    done: dict[str, Any] = json.loads(store.read_text("utf-8")) if store.exists() else {}
    for name in given.sets.split(","):
        if "fission" in done.get(name, {}):
            continue
        try:
            task = LOADERS[name](given.data)
        except FileNotFoundError as error:
            print(f"{name}: left out, {error.filename} is not there")
            continue
        if name not in done:
            done[name] = study(name, task, given.out)
            print(
                f"{name}: {done[name]['cpu_seconds']} s, {done[name]['diagnosis']['recommendation']['sentence']}",
                flush=True,
            )
            keep(done, store)
        done[name]["fission"] = retrieve(task)
        keep(done, store)
    done = {name: done[name] for name in LOADERS if name in done}
    page = given.out / "modalities.md"
    text = page.read_text("utf-8") if page.exists() else "# Study: what modalities are worth\n"
    text = written(text, "scores", scores_table(done))
    for name, entry in done.items():
        text = written(text, name, pairs_table(entry))
    text = written(text, "fission", fission_table(done))
    page.write_text(text, encoding="utf-8")
    picture(done, given.out / "images" / "modalities.png")


if __name__ == "__main__":
    main()

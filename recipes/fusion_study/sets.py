"""The data sets of the study: what is predicted from what, and which rows are learned from and tested on."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polymodal import Modalities, datasets
from polymodal.commands.comparing_data import Material
from polymodal.core import Files
from polymodal.core.files import ImageReader
from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.evaluation import Split, honest_splits
from polymodal.evaluation.splits import row_groups

SPLITS = 3
LEARN, TEST = 300, 400
"""Most rows to learn from and to test on, so that every method can be fitted on every split on one processor."""


@dataclass(frozen=True)
class Task:
    """One data set, and what is particular about how it is run."""

    material: Material
    methods: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()
    noise: tuple[float, ...] = (0.0, 1.0, 2.0)
    words: str = ""


def made(
    data: Modalities,
    y: np.ndarray,
    target: str,
    groups: np.ndarray | None = None,
    *,
    learn: int = LEARN,
    test: int = TEST,
) -> Material:
    """Random divisions with whole groups, cut down to the first rows of a random order."""
    labels = row_groups(data, groups)
    rng = np.random.default_rng(0)
    splits = []
    for s in honest_splits(data, y, n_splits=SPLITS, test_size=0.4, groups=labels):
        train, held = (rng.permutation(rows)[:most] for rows, most in ((s.train, learn), (s.test, test)))
        splits.append(Split(np.sort(train), np.sort(held), s.seed))
    return Material(data, y, "classification", tuple(splits), labels, (), target)


def load_mfeat(folder: Path) -> Task:
    """Six kinds of features of 2,000 handwritten digits."""
    sets = np.load(folder / "mfeat_digits" / "mfeat.npz")
    data = Modalities({name: sets[name].astype(float) for name in sets.files if name != "label"})
    return Task(made(data, sets["label"], "digit"), missing=(0.0, 0.3, 0.6))


def load_breast(folder: Path) -> Task:
    """RNA, micro-RNA and proteins of 150 tumours: three subtypes, more columns than rows."""
    place = folder / "omics_breast_tcga"
    tables = {
        name: np.genfromtxt(place / f"train_{name}.csv", delimiter=",", skip_header=1)[:, 1:]
        for name in ("mrna", "mirna", "protein")
    }
    with (place / "train_labels.csv").open(encoding="utf-8") as file:
        y = np.array([row[-1] for row in csv.reader(file)][1:])
    return Task(made(Modalities(tables), y, "subtype"), missing=(0.0, 0.3, 0.6))


def load_clothing(folder: Path) -> Task:
    """Reviews and a table about their writers and goods: is it recommended? The table says next to nothing."""
    with (folder / "clothing_reviews" / "val.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = [" ".join(part for part in (r["Title"], r["Review Text"]) if part) or None for r in rows]
    numbers = np.array([[float(r["Age"]), float(r["Positive Feedback Count"])] for r in rows])
    kinds = [np.array([r[c] for r in rows]) for c in ("Division Name", "Department Name", "Class Name")]
    ones = [(k[:, None] == np.unique(k)).astype(float) for k in kinds]
    data = Modalities({"text": texts, "table": np.hstack([numbers, *ones])})
    y = np.array([int(r["Recommended IND"]) for r in rows])
    goods = np.array([r["Clothing ID"] for r in rows])
    return Task(made(data, y, "recommended", goods, learn=500, test=800), noise=(0.0, 1.0, 2.0))


def load_emoji(folder: Path) -> Task:
    """Pictures, and names with keywords: which of nine categories? Whole subgroups are held out."""
    place = folder / "emoji_image_text"
    rows = [json.loads(line) for line in (place / "captions.jsonl").read_text("utf-8").splitlines()]
    texts = [" ".join([r["caption"], *r["keywords"]]) for r in rows]
    pictures = Files([place / r["file"] for r in rows], ImageReader(size=(36, 36)))
    data = Modalities({"image": pictures, "text": texts})
    y = np.array([r["category"] for r in rows])
    return Task(made(data, y, "category", np.array([r["subgroup"] for r in rows])), missing=(0.0, 0.3, 0.6))


def load_glyphs(folder: Path) -> Task:
    """Greek and Cyrillic letters as picture and as outline: which of the two scripts? Whole characters are held out."""
    glyphs = datasets.load_glyphs(scripts=["greek", "cyrillic"], progress=False)
    data = glyphs.data.select("picture", "outline")
    y = np.array([name.split()[0] for name in np.asarray(glyphs.data["name"].values(), dtype=object)])
    two = np.isin(y, ("greek", "cyrillic"))
    return Task(made(data[two], y[two], "script", np.asarray(glyphs["codepoint"])[two]))


def _digits(folder: Path, learn: int | None, test: int | None) -> Material:
    """Pictures and sounds of digits, put together by what they show; the split of the data, which parts pictures and sounds."""
    place = folder / "av_digits"
    pictures = np.frombuffer(
        gzip.decompress((place / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    )
    sounds = np.load(place / "fsdd_audio.npz")
    pairs = []
    for part, most in (("train", learn), ("test", test)):
        with (place / f"pairs_{part}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        order = np.random.default_rng(0).permutation(len(rows))
        pairs.append([rows[i] for i in order[:most]])
    rows = [*pairs[0], *pairs[1]]
    y = np.array([int(r["label"]) for r in rows])
    clips = Ragged(sounds["samples"].astype(np.float32) / 32768, sounds["offsets"], 8000.0)
    image = pictures.reshape(-1, 784)[[int(r["mnist_index"]) for r in rows]].astype(float) / 255
    audio = Modality(clips, np.array([int(r["fsdd_index"]) for r in rows]))
    data = Modalities({"image": image, "audio": audio})
    train = np.arange(len(pairs[0]))
    held = np.arange(len(pairs[0]), len(rows))
    splits = tuple(Split(train, held, seed) for seed in range(SPLITS))
    return Material(data, y, "classification", splits, row_groups(data), (), "digit")


def load_digits(folder: Path) -> Task:
    """Pictures and sounds of digits: 300 of the pairs to learn from, 1,000 to test on."""
    return Task(_digits(folder, LEARN, 1000), missing=(0.0, 0.3, 0.6))


def load_digits_all(folder: Path) -> Task:
    """The same with all 8,000 and 2,000 pairs, and the methods that are solved in closed form or nearly so."""
    whole = _digits(folder, None, None)
    once = Material(**{**vars(whole), "splits": whole.splits[:1]})
    return Task(once, methods=("late-mean", "late-product", "late-vote", "hybrid"), noise=())


def load_mfeat_all(folder: Path) -> Task:
    """The same with half of all rows to learn from."""
    task = load_mfeat(folder).material
    rows = tuple(honest_splits(task.data, task.y, n_splits=SPLITS, test_size=0.5))
    every = Material(**{**vars(task), "splits": rows})
    return Task(every, methods=("late-mean", "late-product", "late-vote", "hybrid"), noise=())


LOADERS: dict[str, Callable[[Path], Task]] = {
    "breast": load_breast,
    "mfeat": load_mfeat,
    "digits": load_digits,
    "emoji": load_emoji,
    "clothing": load_clothing,
    "glyphs": load_glyphs,
    "mfeat-all": load_mfeat_all,
    "digits-all": load_digits_all,
}

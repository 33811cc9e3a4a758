"""Hear a digit, see the digit: five methods make handwritten digits from spoken ones, and spectra of speech from handwriting.

    python recipes/hear_a_digit.py DATA [--out pictures.png] [--methods MVAE,MMVAE,MoPoE,JMVAE,MultimodalAutoencoder]
                                        [--epochs 10] [--speaker theo]

DATA holds `fsdd_audio.npz` (3,000 spoken digits of six speakers, 8 kHz), the 10,000 test pictures of MNIST and `pairs_train.csv`: 8,000
pairs that share nothing but their label. The recordings of the test split (takes 0 to 4 of each speaker and digit, 300) are heard by no
model in training, and no test picture is seen; with --speaker, all that one speaker said is held out instead.

Coherence is the share of what was made that a classifier calls the right digit: made pictures by a classifier trained on real pictures
of the training split, made spectra by one trained on real spectra. Their accuracies on real test data stand in the first line (what a
sound does not tell, no picture of it can show); .1 is chance. Beside it stands how varied pictures of one digit are (from one draw
each): their variance over that of real ones.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polymodal import Modalities, Training
from polymodal.core import Ragged
from polymodal.core.modalities import Modality
from polymodal.encoders import MLPEncoder, SoundEncoder
from polymodal.fusion import JMVAE, MMVAE, MVAE, MoPoE, MultimodalAutoencoder

METHODS = {kind.__name__: kind for kind in (MVAE, MMVAE, MoPoE, JMVAE, MultimodalAutoencoder)}
BANDS, FRAMES = 32, 20
SEED = 0


def spectra(samples: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(clips, FRAMES * BANDS) log-mel energies, each clip cut into FRAMES parts of equal length, less its loudest value."""
    sounds = Ragged(samples.astype(np.float32) / 32768, offsets, rate=8000.0)
    frames = SoundEncoder(bands=BANDS).spectrogram(8000.0)(sounds)
    clips = []
    for start, stop in zip(frames.offsets[:-1], frames.offsets[1:], strict=True):
        edges = np.linspace(0, stop - start, FRAMES + 1)
        steps = frames.values[start:stop]
        parts = [steps[int(a) : max(int(a) + 1, int(np.ceil(b)))].mean(axis=0) for a, b in pairwise(edges)]
        clip = np.stack(parts)
        clips.append(np.maximum(clip - clip.max(), -12.0).ravel())
    return np.stack(clips)


def read(folder: Path, speaker: str | None) -> tuple[Modalities, np.ndarray, Modalities, np.ndarray]:
    """Training pairs and their labels; test recordings, each beside a test picture of its digit, and theirs."""
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as raw:
        pictures = np.frombuffer(raw.read(), np.uint8, offset=16).reshape(-1, 784) / 255
    audio = np.load(folder / "fsdd_audio.npz")
    sounds = spectra(audio["samples"], audio["offsets"])
    pairs = {}
    for split in ("train", "test"):
        with (folder / f"pairs_{split}.csv").open() as table:
            rows = list(csv.DictReader(table))
        pairs[split] = {
            key: np.array([int(row[key]) for row in rows]) for key in ("mnist_index", "fsdd_index", "label")
        }
    train, test = pairs["train"], pairs["test"]
    clips = np.unique(test["fsdd_index"])
    if speaker is not None:  # all that this one said is for the test
        theirs = audio["speaker"] == audio["speaker_names"].tolist().index(speaker)
        clips = np.flatnonzero(theirs)
        train = {key: values[~theirs[train["fsdd_index"]]] for key, values in train.items()}
    labels = audio["label"][clips]
    rng = np.random.default_rng(SEED)
    partners = np.array([rng.choice(test["mnist_index"][test["label"] == digit]) for digit in labels])
    learned = {
        "picture": Modality(pictures, train["mnist_index"]),
        "sound": Modality(sounds, train["fsdd_index"]),
    }
    asked = {"picture": Modality(pictures, partners), "sound": Modality(sounds, clips)}
    return Modalities(learned), train["label"], Modalities(asked), labels


def build(method: str, epochs: int) -> Any:
    """A model with the settings used for all: 24 components, one hidden layer of 400, Bernoulli pixels."""
    options: dict[str, Any] = {
        "encoders": {"picture": MLPEncoder(width=400), "sound": MLPEncoder(width=400, dropout=0.2)},
        "likelihoods": {"picture": "bernoulli"},
        "training": Training(max_epochs=epochs, batch_size=64, device="cpu", progress=False),
        "random_state": SEED,
    }
    return METHODS[method](24, **options)


def spread(pictures: np.ndarray, labels: np.ndarray) -> float:
    """Mean over digits of the variance of their pictures, added up over pixels."""
    return float(np.mean([pictures[labels == digit].var(axis=0).sum() for digit in range(10)]))


def main() -> None:
    """Fit, measure, print a table, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--speaker", help="hold all recordings of one speaker out, such as theo")
    arguments = parser.parse_args()

    train, y, test, y_test = read(arguments.data, arguments.speaker)
    judge = MLPClassifier(
        (256,), max_iter=60, random_state=SEED, early_stopping=True, n_iter_no_change=3
    ).fit(train["picture"].values(), y)
    ear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    clips, first = np.unique(train["sound"].index, return_index=True)
    ear.fit(train["sound"].store[clips], y[first])
    real = test["picture"].values()
    accuracies = judge.score(real, y_test), ear.score(test["sound"].values(), y_test)
    print("real pictures {:.3f}   real sounds {:.3f}   ({} test rows)".format(*accuracies, len(test)))

    drawn = {}
    print(
        "method                 picture from sound   one draw   sound from picture   spread   bound   cpu s"
    )
    for method in arguments.methods.split(","):
        start = time.process_time()
        model = build(method, arguments.epochs).fit(train)
        seconds = time.process_time() - start
        seen = model.generate(test.select("sound"), target="picture")
        heard = model.generate(test.select("picture"), target="sound")
        shares = [judge.predict(seen) == y_test, ear.predict(heard) == y_test]
        drawn[method] = seen
        one, bound = float("nan"), float("nan")
        if method != "MultimodalAutoencoder":
            draws = model.generate(test.select("sound"), target="picture", n_samples=4, random_state=SEED)
            one = float((judge.predict(draws.reshape(-1, 784)) == np.tile(y_test, 4)).mean())
            drawn[method] = draws[0]
            bound = float(model.bound(test, n_samples=32).mean())
        varied = spread(drawn[method], y_test) / spread(real, y_test)
        figures = f"{shares[0].mean():>18.3f} {one:>10.3f} {shares[1].mean():>20.3f} {varied:>8.2f} {bound:>7.0f} {seconds:>7.0f}"
        print(f"{method:<22} {figures}", flush=True)
    if arguments.out:
        draw(drawn, test, y_test, arguments.out)


def draw(drawn: dict[str, np.ndarray], test: Modalities, labels: np.ndarray, file: Path) -> None:
    """A column for each digit: what was heard, what each method saw."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [int(np.flatnonzero(labels == digit)[11]) for digit in range(10)]
    figure, axes = plt.subplots(2 + len(drawn), 10, figsize=(8, 0.85 * (2 + len(drawn))))
    sounds, real = test["sound"].values(), test["picture"].values()
    lines = {"heard": sounds, "a real one": real, **drawn}
    for (name, values), line in zip(lines.items(), axes, strict=True):
        for row, place in zip(rows, line, strict=True):
            if name == "heard":
                place.imshow(
                    values[row].reshape(FRAMES, BANDS).T, origin="lower", aspect="auto", cmap="magma"
                )
            else:
                place.imshow(values[row].reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
            place.set(xticks=[], yticks=[])
        label = "autoencoder" if name == "MultimodalAutoencoder" else name
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(file, dpi=72, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()

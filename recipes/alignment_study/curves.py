"""Made curves at changing speeds, whose paths are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import Keep, as_answer, diagonal, interval, rounded, shown

from polymodal import datasets
from polymodal.alignment import (
    DTW,
    CanonicalTimeWarping,
    DeepTimeWarping,
    SoftDTW,
    align,
)
from polymodal.evaluation.alignment import path_error

FEATURES = 4
SENSORS = 3  # each sees a third of the pairs


def seen_through(space: str, sequences: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """What another sensor makes of the frames; "folded" takes what lies far out back to the middle."""
    if space == "the same":
        return list(sequences)
    into = rng.normal(size=(FEATURES, 6)) / np.sqrt(FEATURES)
    bend = {"mixed linearly": lambda x: x, "bent (tanh)": np.tanh, "folded (sin)": lambda x: np.sin(2 * x)}[
        space
    ]
    return [bend(s @ into) for s in sequences]


def curve_paths(name: str, a: list[np.ndarray], b: list[np.ndarray]) -> list[np.ndarray]:
    """A path for each pair; deep canonical time warping learns from all of them together."""
    if name == "straight line":
        return [as_answer(diagonal(len(x), len(y)), x, y).path for x, y in zip(a, b, strict=True)]
    if name == "deep canonical time warping":
        how = DeepTimeWarping(FEATURES, width=32, n_iter=8, n_steps=15, random_state=0, device="cpu")
        return [one.path for one in how.fit(list(zip(a, b, strict=True))).alignments]
    method = {
        "DTW": DTW(),
        "soft-DTW (gamma 1)": SoftDTW(1.0),
        "canonical time warping": CanonicalTimeWarping(2, reg=0.03, n_iter=20),
    }[name]
    return [align(x, y, method).path for x, y in zip(a, b, strict=True)]


def study_curves(_: Path, keep: Keep) -> None:
    """One curve seen twice at changing speeds: more noise, more change of speed, other features."""
    settings = [("noise", noise, 3, "the same") for noise in (0.0, 0.25, 0.5, 1.0)]
    settings += [("speed", 0.25, repeats, "the same") for repeats in (2, 5, 8)]
    settings += [
        ("space", 0.1, 3, space) for space in ("the same", "mixed linearly", "bent (tanh)", "folded (sin)")
    ]
    for kind, noise, repeats, space in settings:
        made, truth = datasets.make_warped(
            30, length=60, n_features=FEATURES, max_repeats=repeats, noise=noise, random_state=0
        )
        a, b = ([np.asarray(made.data[n].values()[i]) for i in range(30)] for n in "ab")
        b = [s for k in range(SENSORS) for s in seen_through(space, b[k::SENSORS], np.random.default_rng(k))]
        a, paths = ([x for k in range(SENSORS) for x in rows[k::SENSORS]] for rows in (a, truth.paths))
        for name in (
            "straight line",
            "DTW",
            "soft-DTW (gamma 1)",
            "canonical time warping",
            "deep canonical time warping",
        ):
            if space != "the same" and "DTW" in name:
                continue

            def work(name: str = name, a: Any = a, b: Any = b, paths: Any = paths) -> dict[str, Any]:
                thirds = [slice(k * len(a) // SENSORS, (k + 1) * len(a) // SENSORS) for k in range(SENSORS)]
                links = [p for third in thirds for p in curve_paths(name, a[third], b[third])]
                found = [path_error(p, t).mean for p, t in zip(links, paths, strict=True)]
                return {"mean": rounded(found), "frames": round(float(np.mean([len(y) for y in b])), 1)}

            keep(f"curves/{kind}, {noise:g}, {repeats}, {space}/{name}", work)


def tables_curves(done: dict[str, Any]) -> Iterator[tuple[str, str]]:
    settings = list(dict.fromkeys(key.split("/")[1] for key in done if key.startswith("curves/")))
    names = list(dict.fromkeys(key.split("/")[2] for key in done if key.startswith("curves/")))
    lines = [
        f"| noise | longest dwelling | features of b | {' | '.join(names)} |",
        "|" + "---|" * (len(names) + 3),
    ]
    for setting in settings:
        _, noise, repeats, space = setting.split(", ")
        found = [done.get(f"curves/{setting}/{n}") for n in names]
        cells = ["cannot" if f is None else shown(interval(f["mean"]), 2) for f in found]
        lines.append(f"| {noise} | {repeats} | {space} | {' | '.join(cells)} |")
    yield "curves", "\n".join(lines)

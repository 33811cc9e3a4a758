"""Time series whose errors by nearest neighbour are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import Keep, interval, shown, wrong

from polymodal.alignment import (
    DTW,
    SakoeChiba,
    pairwise_dtw,
    soft_dtw,
)


def left_out(costs: np.ndarray, labels: np.ndarray) -> float:
    """Share of training series whose nearest other one is of another class."""
    return float(wrong(costs + np.diag(np.full(len(costs), np.inf)), labels, labels).mean())


def soft_divergences(x: np.ndarray, y: np.ndarray, gamma: float) -> np.ndarray:
    """All pairs; each series' own value is worked out once."""
    own = [soft_dtw(s, s, gamma=gamma).numpy() for s in (x, y)]
    between = [soft_dtw(np.repeat(row[None], len(y), axis=0), y, gamma=gamma).numpy() for row in x]
    return np.asarray(np.stack(between) - 0.5 * (own[0][:, None] + own[1]))


def study_series(folder: Path, keep: Keep) -> None:
    """1-NN with every distance; windows and gammas are chosen on the training series."""
    place = folder / "ucr_timeseries"
    for name in ("GunPoint", "ArrowHead", "BasicMotions"):
        sets = np.load(place / f"{name}.npz")
        train, test = (np.swapaxes(sets[f"X_{part}"].astype(float), 1, 2) for part in ("train", "test"))
        labels, truth = sets["y_train"], sets["y_test"]

        def by(
            method: DTW, train: Any = train, test: Any = test, labels: Any = labels, truth: Any = truth
        ) -> dict[str, Any]:
            return {
                "wrong": wrong(pairwise_dtw(test, train, method, n_jobs=1), labels, truth)
                .astype(int)
                .tolist()
            }

        def windowed(train: Any = train, labels: Any = labels, by: Any = by) -> dict[str, Any]:
            radii = sorted({round(train.shape[1] * share / 100) for share in range(0, 21)})
            tried = [
                left_out(pairwise_dtw(train, None, DTW("sqeuclidean", SakoeChiba(r)), n_jobs=1), labels)
                for r in radii
            ]
            radius = radii[int(np.argmin(tried))]  # of equally good ones the narrowest
            return {**by(DTW("sqeuclidean", SakoeChiba(radius))), "chosen": f"radius {radius}"}

        def soft(
            train: Any = train, test: Any = test, labels: Any = labels, truth: Any = truth
        ) -> dict[str, Any]:
            gammas = 0.01, 0.1, 1.0
            tried = [left_out(soft_divergences(train, train, g), labels) for g in gammas]
            gamma = gammas[int(np.argmin(tried))]
            found = wrong(soft_divergences(test, train, gamma), labels, truth)
            return {"wrong": found.astype(int).tolist(), "chosen": f"gamma {gamma:g}"}

        keep(f"series/{name}/Euclidean", lambda by=by: by(DTW("sqeuclidean", SakoeChiba(0))))
        keep(f"series/{name}/DTW", lambda by=by: by(DTW("sqeuclidean")))
        if train.shape[2] > 1:
            keep(
                f"series/{name}/DTW, each feature alone",
                lambda by=by: by(DTW("sqeuclidean", features="independent")),
            )
        keep(f"series/{name}/DTW, band chosen", windowed)
        keep(f"series/{name}/soft-DTW divergence, gamma chosen", soft)


def tables_series(done: dict[str, Any]) -> Iterator[tuple[str, str]]:
    lines = ["| set | distance | error (95 %) | wrong of all | chosen | cpu-s |", "|---|---|---|---|---|---|"]
    for key, entry in done.items():
        if key.startswith("series/"):
            _, name, method = key.split("/")
            flags = entry["wrong"]
            lines.append(
                f"| {name} | {method} | {shown(interval(flags), 4)} | {sum(flags)} of {len(flags)} | {entry.get('chosen', '')} | "
                f"{entry['seconds']:.2g} |"
            )
    yield "series", "\n".join(lines)

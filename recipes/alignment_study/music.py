"""Performances of one piece of music, with the notes matched by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import Keep, interval, named, positions, rounded, shown

from polymodal import Training
from polymodal.alignment import (
    DTW,
    CanonicalTimeWarping,
    SakoeChiba,
    SoftDTW,
    SupervisedAligner,
    align,
)
from polymodal.alignment.answer import Alignment

RATE = 20.0  # frames a second
BOOST = 2.0  # what a first frame of a note counts more than the others
TRAINING = 8  # performances that the learned costs see


@dataclass(frozen=True)
class Performance:
    """Notes as frames, and when each note of the score is played."""

    held: np.ndarray  # (frames, pitches): 1 while a note sounds
    first: np.ndarray  # 1 in the first frame of a note
    onsets: dict[str, float]  # note of the score -> seconds

    @property
    def boosted(self) -> np.ndarray:
        return np.asarray(self.held + BOOST * self.first)

    @property
    def with_before(self) -> np.ndarray:
        """Each frame beside the one before it: an onset can be seen, but nobody says that it counts."""
        return np.hstack([self.held, np.vstack([np.zeros_like(self.held[:1]), self.held[:-1]])])


def performance(
    notes: Sequence[tuple[float, float, int]], pitches: Sequence[int], onsets: dict[str, float]
) -> Performance:
    """Frames of (onset seconds, end seconds, pitch)."""
    place = {p: k for k, p in enumerate(pitches)}
    held = np.zeros((int(np.ceil(max(end for _, end, _ in notes) * RATE)) + 1, len(pitches)))
    first = np.zeros_like(held)
    for begin, end, pitch in notes:
        i, k = int(begin * RATE), place[pitch]
        held[i : max(i + 1, int(np.ceil(end * RATE))), k] = 1
        first[i, k] = 1
    return Performance(held, first, onsets)


def read_music(folder: Path) -> tuple[Performance, list[Performance]]:
    """The score, at the mean tempo of the training performances, and all performances."""
    files = sorted(folder.glob("*/*_p*.csv"))
    if not files:
        raise FileNotFoundError(folder)
    tables = [list(csv.DictReader(f.read_text("utf-8").splitlines())) for f in files]
    pitches = sorted({int(r["perf_pitch"] or r["score_pitch"]) for rows in tables for r in rows})
    played = []
    for rows in tables:
        there = [r for r in rows if r["perf_pitch"]]
        notes = [
            (float(r["perf_onset_sec"]), float(r["perf_offset_sec"]), int(r["perf_pitch"])) for r in there
        ]
        onsets = {r["score_note_id"]: float(r["perf_onset_sec"]) for r in there if r["kind"] == "match"}
        played.append(performance(notes, pitches, onsets))
    score = {r["score_note_id"]: r for rows in tables for r in rows if r["kind"] != "insertion"}
    beats = {k: (float(r["score_onset_beat"]), float(r["score_offset_beat"])) for k, r in score.items()}
    start, last = min(b for b, _ in beats.values()), max(b for b, _ in beats.values())
    tempo = np.mean([max(p.onsets.values()) - min(p.onsets.values()) for p in played[:TRAINING]]) / (
        last - start
    )
    onsets = {k: (b - start) * tempo for k, (b, _) in beats.items()}
    notes = [(onsets[k], (beats[k][1] - start) * tempo, int(r["score_pitch"])) for k, r in score.items()]
    return performance(notes, pitches, onsets), played


def seconds_off(frame_of_b: np.ndarray, a: Performance, b: Performance) -> np.ndarray:
    """How far from its true onset in b each note common to both is put: by the (fractional) frame of b for each frame of a."""
    common = sorted(a.onsets.keys() & b.onsets.keys())
    of_a, of_b = (np.array([p.onsets[k] for k in common]) for p in (a, b))
    where = np.interp(of_a * RATE - 0.5, np.arange(len(frame_of_b)), frame_of_b)
    return np.asarray(np.abs((where + 0.5) / RATE - of_b))


def expected_positions(found: Alignment) -> np.ndarray:
    """The frame of b for each frame of a: the mean over all paths."""
    weights = found.coupling
    return np.asarray(weights @ np.arange(found.length_b) / weights.sum(axis=1)).ravel()


def straight(a: Performance, b: Performance) -> np.ndarray:
    """From the first to the last onset."""
    ends = [(min(p.onsets.values()) * RATE, max(p.onsets.values()) * RATE) for p in (a, b)]
    return np.asarray(
        ends[1][0]
        + (np.arange(len(a.held)) - ends[0][0]) / (ends[0][1] - ends[0][0]) * (ends[1][1] - ends[1][0])
    )


def music_methods(
    learned: Callable[[str, int], Any],
) -> dict[str, Callable[[Performance, Performance], np.ndarray]]:
    """Name -> the frame of b for each frame of a."""

    def of(method: Any, frames: str = "boosted") -> Callable[[Performance, Performance], np.ndarray]:
        return lambda a, b: positions(align(getattr(a, frames), getattr(b, frames), method))

    def by_learned(kind: str, frames: str) -> Callable[[Performance, Performance], np.ndarray]:
        return lambda a, b: positions(
            learned(frames, 64 if kind == "hidden" else 0).align(getattr(a, frames), getattr(b, frames))
        )

    def canonical(a: Performance, b: Performance, reg: float, start: Any = 1) -> np.ndarray:
        return positions(align(a.held, b.held, CanonicalTimeWarping(10, reg=reg, initial=start, n_iter=10)))

    two, eight = SakoeChiba(round(2 * RATE), slanted=True), SakoeChiba(round(8 * RATE), slanted=True)
    return {
        "straight line": straight,
        "DTW, notes held": of(DTW(), "held"),
        "DTW, notes held, and the frame before": of(DTW(), "with_before"),
        "DTW, onsets boosted": of(DTW()),
        "DTW, onsets boosted, squared distance": of(DTW("sqeuclidean")),
        "DTW, onsets boosted, band of 2 s": of(DTW(window=two)),
        "DTW, onsets boosted, band of 8 s": of(DTW(window=eight)),
        "DTW, onsets boosted, steps symmetric2": of(DTW(step="symmetric2")),
        "DTW, onsets boosted, steps symmetric_p1": of(DTW(step="symmetric_p1")),
        "soft-DTW (gamma 1), its path": of(SoftDTW(gamma=1.0)),
        "soft-DTW (gamma 1), expected frame": lambda a, b: expected_positions(align(a.boosted, b.boosted, SoftDTW(gamma=1.0))),
        "canonical time warping, notes held": lambda a, b: canonical(a, b, 1e-3),
        "canonical time warping, ridge 0.9": lambda a, b: canonical(a, b, 0.9),
        "canonical time warping, ridge 0.9, from DTW's path": lambda a, b: canonical(a, b, 0.9, align(a.held, b.held)),
        "learned cost, notes held": by_learned("linear", "held"),
        "learned cost, and the frame before": by_learned("linear", "with_before"),
        "learned cost, frame before, hidden layer": by_learned("hidden", "with_before"),
        "learned cost, onsets boosted": by_learned("linear", "boosted"),
    }  # fmt: skip


def learn_music(
    played: Sequence[Performance], frames: str, width: int, epochs: int = 40
) -> SupervisedAligner:
    """A cost learned from the notes of all pairs of some performances (or of a score)."""
    pairs = list(combinations(played, 2))
    known = []
    for a, b in pairs:
        at = np.array([[a.onsets[k], b.onsets[k]] for k in sorted(a.onsets.keys() & b.onsets.keys())])
        known.append(np.unique((at * RATE).astype(np.int64), axis=0))
    training = Training(
        max_epochs=epochs, batch_size=4, learning_rate=1e-2, weight_decay=0.0, progress=False, device="cpu"
    )
    model = SupervisedAligner(width=width, training=training, random_state=0)
    return model.fit(*([getattr(p[k], frames) for p in pairs] for k in (0, 1)), known)


def study_music(folder: Path, keep: Keep) -> None:
    """Errors of every pair of test performances, and of the score with each."""
    score, played = read_music(folder / "vienna4x22_alignment")
    test = played[TRAINING:]

    @cache
    def learned(frames: str, width: int) -> SupervisedAligner:
        return learn_music([score, *played[:TRAINING]], frames, width)

    for name, method in music_methods(learned).items():
        for where, pairs in (
            ("performances", list(combinations(range(len(test)), 2))),
            ("score", [(-1, j) for j in range(len(test))]),
        ):

            def work(method: Any = method, pairs: Any = pairs) -> dict[str, Any]:
                off = [
                    seconds_off(method(a, b), a, b)
                    for a, b in ((score if i < 0 else test[i], test[j]) for i, j in pairs)
                ]
                return {
                    "pairs": pairs,
                    "mean": rounded(e.mean() for e in off),
                    "median": rounded(np.median(e) for e in off),
                    "near": rounded((e < 0.05).mean() for e in off),
                    "worst": rounded(e.max() for e in off),
                }  # fmt: skip

            keep(f"music/{where}/{name}", work)


def tables_music(done: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for where in ("performances", "score"):
        lines = [
            "| method | mean error, s (95 %) | median, s | within 50 ms (95 %) | worst note, s | cpu-s a pair |",
            "|---|---|---|---|---|---|",
        ]
        for name, entry in named(done, f"music/{where}"):
            units = np.asarray(entry["pairs"])[:, -2:] if where == "performances" else None
            lines.append(
                f"| {name} | {shown(interval(entry['mean'], units=units))} | {np.mean(entry['median']):.3f} | "
                f"{shown(interval(entry['near'], units=units))} | {max(entry['worst']):.1f} | "
                f"{entry['seconds'] / len(entry['mean']):.2g} |"
            )
        yield f"music {where}", "\n".join(lines)

"""Spoken digits: recognised, and found in what is said in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import Keep, interval, named, positions, rounded, shown, wrong

from polymodal import Ragged
from polymodal.alignment import (
    DTW,
    ForcedAligner,
    Gaussian,
    HiddenMarkovModel,
    LeftToRight,
    SakoeChiba,
    align,
    pairwise_dtw,
)
from polymodal.encoders.sound import Spectrogram

HOP = 0.01  # seconds
SPECTROGRAM = Spectrogram(8000, 200, round(HOP * 8000), 32, 8000 * 20)
TEMPLATES = 10  # recordings a digit


@dataclass(frozen=True)
class Speech:
    """Spoken digits: frames of each clip, and what it is."""

    sounds: Ragged
    bands: list[np.ndarray]  # log-mel energies
    cepstra: list[np.ndarray]  # 13 coefficients, without the clip's mean
    label: np.ndarray
    speaker: np.ndarray
    take: np.ndarray


def read_speech(folder: Path) -> Speech:
    sets = np.load(folder / "av_digits" / "fsdd_audio.npz")
    sounds = Ragged(sets["samples"].astype(np.float32) / 32768, sets["offsets"], rate=8000)
    frames = SPECTROGRAM(sounds)
    bands = [np.asarray(frames[i], dtype=float) for i in range(len(frames))]
    return Speech(
        sounds, bands, [mel_cepstra(x) for x in bands], sets["label"], sets["speaker"], sets["take"]
    )


def templates(speech: Speech, rows: np.ndarray) -> np.ndarray:
    """So many of `rows` a digit, speakers in turn."""
    chosen: list[int] = []
    rng = np.random.default_rng(0)
    for digit in range(10):
        mine = rng.permutation(rows[speech.label[rows] == digit])
        queues = [list(mine[speech.speaker[mine] == s]) for s in np.unique(speech.speaker[rows])]
        turn = [q[k] for k in range(TEMPLATES) for q in queues if k < len(q)]
        chosen += turn[:TEMPLATES]
    return np.array(chosen)


def resampled(x: np.ndarray, frames: int = 40) -> np.ndarray:
    at = np.linspace(0, len(x) - 1, frames)
    return np.stack([np.interp(at, np.arange(len(x)), column) for column in x.T], axis=1)


def digit_models(x: Sequence[np.ndarray], labels: np.ndarray) -> list[HiddenMarkovModel]:
    """A left-to-right model of each digit."""
    return [
        HiddenMarkovModel(
            6, emission=Gaussian(), topology=LeftToRight(), prior=0.1, max_iter=15, random_state=0
        ).fit([x[i] for i in np.flatnonzero(labels == digit)])
        for digit in range(10)
    ]


def mel_cepstra(bands: np.ndarray) -> np.ndarray:
    """13 coefficients of each frame, without their mean."""
    from scipy.fft import dct

    c = dct(bands, norm="ortho", axis=1)[:, :13]
    return np.asarray(c - c.mean(axis=0))


def recognise(speech: Speech, name: str, rows: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Whether each test clip is taken for another digit."""
    few = rows if name.endswith("all clips") else templates(speech, rows)
    if name.startswith("HMM"):
        models = digit_models([speech.cepstra[i] for i in few], speech.label[few])
        likely = np.stack([m.log_likelihood([speech.cepstra[i] for i in test]) for m in models], axis=1)
        return np.asarray(likely.argmax(axis=1) != speech.label[test])
    frames = speech.bands if "log-mel" in name else speech.cepstra
    x, y = ([frames[i] for i in some] for some in (test, few))
    if name.startswith("stretched"):
        x, y = ([resampled(s) for s in side] for side in (x, y))
        method = DTW(window=SakoeChiba(0))
    else:
        method = DTW(step="symmetric2")
    costs = pairwise_dtw(x, y, method, n_jobs=1)
    if method.step == "symmetric2":  # long clips cost more
        costs = costs / np.add.outer([len(s) for s in x], [len(s) for s in y])
    return wrong(costs, speech.label[few], speech.label[test])


def sentences(speech: Speech, rows: np.ndarray, many: int, seed: int) -> list[np.ndarray]:
    """Four to seven clips of one speaker, one after the other."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(many):
        speakers = np.unique(speech.speaker[rows])
        mine = rows[speech.speaker[rows] == speakers[k % len(speakers)]]
        found.append(rng.choice(mine, int(rng.integers(4, 8)), replace=False))
    return found


def boundaries_off(speech: Speech, how: str, train: np.ndarray, test: np.ndarray) -> dict[str, list[float]]:
    """Seconds between true and found inner boundaries of sentences of test clips."""
    known, asked = sentences(speech, train, 90, 1), sentences(speech, test, 60, 2)

    def frames(clips: np.ndarray) -> np.ndarray:
        """Of the sounds put together: windows lie across the seams, and the mean is that of the whole."""
        whole = np.concatenate([speech.sounds[int(i)] for i in clips])
        return mel_cepstra(np.asarray(SPECTROGRAM(Ragged.of([whole], rate=8000))[0], dtype=float))

    def words(clips: np.ndarray) -> list[str]:
        return [str(speech.label[i]) for i in clips]

    def ends(clips: np.ndarray) -> np.ndarray:
        return np.asarray(np.cumsum([speech.sounds.lengths[i] for i in clips])[:-1] / 8000)

    if how == "forced alignment":
        model = ForcedAligner(5, silence=False, max_iter=20).fit(
            [frames(c) for c in known], [words(c) for c in known]
        )
    few = templates(speech, train)
    off, which = [], []
    for number, clips in enumerate(asked):
        if how == "equal parts":
            found = np.arange(1, len(clips)) / len(clips) * (len(frames(clips)) * HOP)
        elif how == "DTW to one template a digit":
            first = [few[speech.label[few] == speech.label[i]][0] for i in clips]
            to_model = align(frames(np.array(first)), frames(clips), DTW(step="symmetric2"))
            found = np.interp(ends(np.array(first)) / HOP, *centres(positions(to_model))) * HOP
        else:
            answer = model.align(Ragged.of([frames(clips)], rate=1 / HOP), words(clips))
            found = (
                np.array([s.start_seconds for s in answer.segments[1:]]) + 0.75 * HOP
            )  # between two middles
        off += rounded(np.abs(found - ends(clips)))
        which += [number] * (len(clips) - 1)
    return {"off": off, "sentence": which}


def centres(frame_of_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles of frames of a, and where in b they come to lie, both in hops (a window is 2.5 hops)."""
    return np.arange(len(frame_of_b)) + 1.25, frame_of_b + 1.25


def study_digits(folder: Path, keep: Keep) -> None:
    """Spoken digits of speakers who were heard before, and of speakers who were not."""
    speech = read_speech(folder)
    test, rest = np.flatnonzero(speech.take < 5), np.flatnonzero(speech.take >= 5)
    names = (
        "stretched to one length, MFCC", "DTW, log-mel", "DTW, MFCC", "HMM a digit, MFCC",
        "HMM a digit, MFCC, all clips", "DTW, MFCC, all clips",
    )  # fmt: skip
    speakers = np.unique(speech.speaker)

    def apart(work: Callable[[np.ndarray, np.ndarray], Any]) -> list[Any]:
        """For each speaker: learned from the others."""
        return [work(rest[speech.speaker[rest] != s], test[speech.speaker[test] == s]) for s in speakers]

    for name in names:
        keep(
            f"digits/heard before/{name}",
            lambda n=name: {
                "wrong": recognise(speech, n, rest, test).astype(int).tolist(),
                "speaker": speech.speaker[test].tolist(),
            },
        )

        def new(name: str = name) -> dict[str, Any]:
            found = apart(lambda rows, asked: recognise(speech, name, rows, asked))
            who = np.repeat(speakers, [len(f) for f in found])
            return {"wrong": np.concatenate(found).astype(int).tolist(), "speaker": who.tolist()}

        keep(f"digits/new speaker/{name}", new)
    for how in ("equal parts", "DTW to one template a digit", "forced alignment"):
        keep(f"boundaries/heard before/{how}", lambda h=how: boundaries_off(speech, h, rest, test))

        def new_boundaries(how: str = how) -> dict[str, Any]:
            parts = apart(lambda rows, asked: boundaries_off(speech, how, rows, asked))
            off = [v for p in parts for v in p["off"]]
            return {"off": off, "sentence": [k for k, p in enumerate(parts) for _ in p["off"]]}

        keep(f"boundaries/new speaker/{how}", new_boundaries)


def tables_digits(done: dict[str, Any]) -> Iterator[tuple[str, str]]:
    lines = [
        "| method | error, heard before (95 %) | error, new speaker (95 %) | cpu-s, heard before |",
        "|---|---|---|---|",
    ]
    for name, entry in named(done, "digits/heard before"):
        new = done[f"digits/new speaker/{name}"]
        lines.append(
            f"| {name} | {shown(interval(entry['wrong']))} | {shown(interval(new['wrong'], units=new['speaker']))} | "
            f"{entry['seconds']:.2g} |"
        )
    yield "digits", "\n".join(lines)
    lines = [
        "| method | speaker | mean error, s (95 %) | median, s | within 50 ms (95 %) |",
        "|---|---|---|---|---|",
    ]
    for key, entry in done.items():
        if key.startswith("boundaries/"):
            _, who, how = key.split("/")
            off = np.asarray(entry["off"])
            lines.append(
                f"| {how} | {who} | {shown(interval(off, units=entry['sentence']))} | {np.median(off):.3f} | "
                f"{shown(interval(off < 0.05, units=entry['sentence']), 2)} |"
            )
    yield "boundaries", "\n".join(lines)

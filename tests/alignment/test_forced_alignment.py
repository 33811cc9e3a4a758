"""Recordings and transcripts: planted changes, spoken digits, refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal import Ragged
from polymodal.alignment import ForcedAligner, GaussianMixture
from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.encoders.sound import Spectrogram

UNITS = {"a": 0.0, "b": 4.0, "c": 8.0}


def planted(rng, n, pauses=False):
    recordings, transcripts, truths = [], [], []
    for _ in range(n):
        said = [str(u) for u in rng.choice(list(UNITS), rng.integers(2, 5))]
        said = [u for i, u in enumerate(said) if not i or u != said[i - 1]]
        frames, bounds = [], []
        for u in said:
            if pauses and rng.random() < 0.5:
                frames.append(np.full(rng.integers(4, 9), -6.0))
            start = sum(map(len, frames))
            frames.append(np.full(rng.integers(5, 20), UNITS[u]))
            bounds.append((start, start + len(frames[-1])))
        x = np.concatenate(frames)
        recordings.append((x + 0.4 * rng.normal(size=len(x)))[:, None])
        transcripts.append(said)
        truths.append(bounds)
    return recordings, transcripts, truths


@pytest.mark.parametrize("states", [1, 2])
@pytest.mark.parametrize("pauses", [False, True])
def test_planted_changes_are_found(rng, states, pauses):
    recordings, transcripts, truths = planted(rng, 40, pauses)
    aligner = ForcedAligner(states, silence=pauses).fit(recordings, transcripts)
    assert np.diff(aligner.history_).min() > -1e-7
    assert aligner.units_ == ["a", "b", "c"]
    errors = []
    for x, said, truth in zip(recordings, transcripts, truths, strict=True):
        found = [s for s in aligner.align(Ragged.of([x], rate=50.0), said).segments if s.unit]
        assert [s.unit for s in found] == said
        errors += [abs(s.start_seconds * 50 - t[0]) for s, t in zip(found, truth, strict=True)]
        errors += [abs(s.end_seconds * 50 - t[1]) for s, t in zip(found, truth, strict=True)]
    assert np.mean(errors) < 0.1  # frames


def test_every_frame_is_in_one_segment_and_the_coupling_holds_posteriors(rng):
    recordings, transcripts, _ = planted(rng, 20, pauses=True)
    aligner = ForcedAligner(1).fit(recordings, transcripts)
    found = aligner.align(recordings[0], transcripts[0])
    edges = [(s.start_seconds, s.end_seconds) for s in found.segments]
    assert edges[0][0] == 0
    assert edges[-1][1] == len(recordings[0])
    assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))
    assert found.coupling.toarray().sum(1).max() <= 1 + 1e-9
    assert (np.diff(found.path[:, 1]) >= 0).all()
    spoken = sum(s.end_seconds - s.start_seconds for s in found.segments if s.unit)
    assert len(found.path) == spoken
    assert (found.length_a, found.length_b) == (len(recordings[0]), len(transcripts[0]))


def test_the_right_transcript_fits_best(rng):
    recordings, transcripts, _ = planted(rng, 30)
    aligner = ForcedAligner(1, silence=False, emission=GaussianMixture(1), random_state=0).fit(
        recordings, transcripts
    )
    x = np.repeat([0.0, 8.0, 4.0], 8)[:, None] + 0.4 * rng.normal(size=(24, 1))
    right = aligner.log_likelihood(x, ["a", "c", "b"])
    assert right > aligner.log_likelihood(x, ["a", "b", "c"]) + 50
    assert aligner.score([x, x], [["a", "c", "b"]] * 2) == pytest.approx(2 * right)


def test_refusals_say_what_is_needed(rng):
    recordings, transcripts, _ = planted(rng, 10)
    aligner = ForcedAligner(3).fit(recordings, transcripts)
    with pytest.raises(
        ModalityError, match=r"2 units needs at least 6 frames \(3 states per unit\), the recording has 5"
    ):
        aligner.align(np.zeros((5, 1)), ["a", "b"])
    with pytest.raises(ModalityError, match="at least one unit"):
        aligner.align(np.zeros((9, 1)), [])
    with pytest.raises(ModalityError, match="text.split"):
        aligner.align(np.zeros((9, 1)), "a b")
    with pytest.raises(ModalityError, match="Unknown unit 'd'"):
        aligner.align(np.zeros((9, 1)), ["d"])
    with pytest.raises(ModalityError, match="Transcript 1 needs at least one unit"):
        ForcedAligner().fit([np.zeros((9, 1))] * 2, [["a"], []])
    with pytest.raises(ModalityError, match="1 recordings, 2 transcripts"):
        ForcedAligner().fit([np.zeros((9, 1))], [["a"], ["b"]])
    with pytest.raises(ModalityError, match="one recording, got 2"):
        aligner.align([np.zeros((9, 1))] * 2, ["a"])
    with pytest.raises(ModalityError, match="align\\(recording, transcript\\)"):
        aligner.align_costs(np.zeros((3, 3)))
    with pytest.raises(NotFittedError, match="ForcedAligner is not fitted"):
        ForcedAligner().align(np.zeros((9, 1)), ["a"])


def digit_strings(data, speakers, n, rng):
    """Three or four clips of one speaker in a row: cepstra and their slopes, the digits, and where each begins and ends."""
    from scipy.fft import dct

    bands = Spectrogram(8000, 200, 80, 26, 80_000)
    recordings, transcripts, edges = [], [], []
    for _ in range(n):
        mine = np.flatnonzero(data["speaker"] == rng.choice(speakers))
        chosen = rng.choice(mine, rng.integers(3, 5))
        clips = [data["samples"][data["offsets"][i] : data["offsets"][i + 1]] / 32768 for i in chosen]
        edges.append(np.cumsum([0] + [len(c) for c in clips]) / 8000)
        frames = bands(Ragged.of([np.concatenate(clips)], rate=8000.0)).values.astype(float)
        cepstra = dct(frames, norm="ortho", axis=1)[:, :13]
        cepstra = (cepstra - cepstra.mean(0)) / cepstra.std(0)
        recordings.append(np.hstack([cepstra, np.gradient(cepstra, axis=0)]))
        transcripts.append([str(data["label"][i]) for i in chosen])
    return recordings, transcripts, edges


def test_spoken_digits_of_unheard_speakers(real_data, rng):
    """Learned from 60 strings of four speakers, aligned on 20 of two others: seconds from the true joints, against equal parts."""
    file = np.load(real_data / "av_digits" / "fsdd_audio.npz")
    data = {k: file[k] for k in ("samples", "offsets", "label", "speaker")}
    recordings, transcripts, _ = digit_strings(data, [0, 1, 2, 3], 60, rng)
    aligner = ForcedAligner(6, max_iter=12).fit(recordings, transcripts)
    ours, equal = [], []
    for x, said, edges in zip(*digit_strings(data, [4, 5], 20, rng), strict=True):
        found = [s for s in aligner.align(Ragged.of([x], rate=100.0), said).segments if s.unit]
        joints = [(s.end_seconds + t.start_seconds) / 2 for s, t in itertools.pairwise(found)]
        ours += list(abs(np.array(joints) - edges[1:-1]))
        equal += list(abs(np.linspace(0, edges[-1], len(said) + 1)[1:-1] - edges[1:-1]))
    print(np.mean(ours), np.mean(equal))
    assert np.mean(ours) < 0.035 < 0.06 < np.mean(equal)

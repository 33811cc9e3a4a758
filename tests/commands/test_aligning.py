"""`align_files`: what is found, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.alignment import DTW, align
from polymodal.commands.aligning import align_files
from polymodal.commands.alignment_settings import AlignSettings
from polymodal.commands.alignment_sources import SequenceReading
from polymodal.core.errors import ConfigError, DataError, ModalityError, PolymodalError
from polymodal.core.ragged import Ragged

soundfile = pytest.importorskip("soundfile")
RATE = 8000
PITCHES = (262, 330, 392, 523, 440, 349)


def tune(lengths):
    """Notes of given lengths in seconds."""
    notes = []
    for pitch, length in zip(PITCHES, lengths, strict=True):
        n = int(length * RATE)
        notes.append(np.sin(2 * np.pi * pitch * np.arange(n) / RATE) * np.hanning(n))
    return 0.5 * np.concatenate(notes)


@pytest.fixture
def tunes(tmp_path, rng):
    """One tune played twice, the second faster and noisy; and when each note begins."""
    lengths = [0.4] * 6, [0.3, 0.2, 0.3, 0.25, 0.3, 0.2]
    places = tmp_path / "langsam ü.wav", tmp_path / "fast.wav", tmp_path / "onsets.csv"
    for place, each in zip(places, lengths, strict=False):
        played = tune(each)
        soundfile.write(place, played + 1e-4 * rng.normal(size=len(played)), RATE)
    starts = np.stack([np.cumsum([0, *each[:-1]]) for each in lengths], axis=1)
    np.savetxt(places[2], starts, delimiter=",", header="seconds_a,seconds_b", comments="")
    return places


@pytest.fixture
def arrays(tmp_path, rng):
    """Two sequences of two features, and one of three that is a mixture of the first, warped."""
    t, u = np.linspace(0, 6, 60), 6 * np.linspace(0, 1, 45) ** 1.3
    made = {
        "a": np.c_[np.sin(2 * t), np.cos(3 * t)],
        "b": np.c_[np.sin(2 * u), np.cos(3 * u)],
        "mixed": np.c_[np.sin(2 * u), np.cos(3 * u)] @ rng.normal(size=(2, 3)),
    }
    for name, values in made.items():
        np.save(tmp_path / f"{name}.npy", values)
    return tmp_path, made


def test_two_recordings_of_one_tune(tunes):
    a, b, truth = tunes
    found = align_files(
        a, b, truth=truth, settings=AlignSettings(tolerance=0.05), reading=SequenceReading(sample_rate=RATE)
    )
    assert found.method == "dtw"
    assert found.error["mean"] < 0.02
    assert found.error["within"] == 1.0
    assert found.tempo == pytest.approx(1.55 / 2.4, rel=0.05)
    assert found.rate_a == found.rate_b == 50.0
    assert (found.coverage_a, found.coverage_b) == (1.0, 1.0)
    assert any("all bands together deviation 1" in note for note in found.notes)
    assert found.output is None


def test_arrays_are_aligned_as_python_does(arrays):
    folder, made = arrays
    plain = align_files(folder / "a.npy", folder / "b.npy", settings=AlignSettings(normalise="none"))
    assert plain.cost == pytest.approx(align(made["a"], made["b"]).cost)
    np.testing.assert_array_equal(plain.pairs[0].alignment.path, align(made["a"], made["b"]).path)
    scaled = [(x - x.mean(0)) / x.std(0) for x in (made["a"], made["b"])]
    each = align_files(folder / "a.npy", folder / "b.npy")
    assert each.cost == pytest.approx(align(*scaled).cost)
    both = np.concatenate([made["a"], made["b"]])
    scaled = [(x - both.mean(0)) / both.std(0) for x in (made["a"], made["b"])]
    together = align_files(folder / "a.npy", folder / "b.npy", settings=AlignSettings(normalise="both"))
    assert together.cost == pytest.approx(align(*scaled).cost)


def test_parameters_reach_the_method(arrays):
    folder, made = arrays
    settings = AlignSettings({"metric": "cityblock", "step": "symmetric2"}, window="30", normalise="none")
    found = align_files(folder / "a.npy", folder / "b.npy", settings=settings)
    from polymodal.alignment import SakoeChiba

    method = DTW("cityblock", SakoeChiba(30, slanted=True), "symmetric2")
    assert found.cost == align(made["a"], made["b"], method).cost
    assert "metric='cityblock'" in found.settings
    assert found.pairs[0].alignment.method == method


def test_different_features_are_warped_canonically(arrays):
    folder, _ = arrays
    found = align_files(folder / "a.npy", folder / "mixed.npy")
    assert found.method == "ctw"
    assert any("2 and 3 features" in note for note in found.notes)
    assert found.normalised_cost < 0.05
    with pytest.raises(ModalityError, match="--method ctw"):
        align_files(folder / "a.npy", folder / "mixed.npy", method="dtw")
    np.save(folder / "single.npy", np.sin(np.linspace(0, 6, 40)))
    assert (
        align_files(folder / "a.npy", folder / "single.npy").settings
        == "CanonicalTimeWarping(n_components=1)"
    )


@pytest.mark.parametrize(
    "method", ["soft_dtw", "assignment", "transport", "gromov_wasserstein", "mutual_neighbours"]
)
def test_every_method_by_name(arrays, method, tmp_path):
    folder, _ = arrays
    found = align_files(folder / "a.npy", folder / "b.npy", method=method, output=tmp_path / method)
    assert found.method == method
    assert found.n_matches == len(found.pairs[0].alignment)
    assert ("coupling.png" in found.files) == (method in ("soft_dtw", "transport", "gromov_wasserstein"))
    assert (found.tempo is None) == (method != "soft_dtw")
    json.dumps(found.to_dict())


def test_a_matching_is_judged_by_shares(arrays, tmp_path):
    folder, _ = arrays
    own = align_files(folder / "a.npy", folder / "b.npy", method="mutual_neighbours", output=tmp_path / "out")
    assert own.coverage_a < 1
    again = align_files(folder / "a.npy", folder / "b.npy", method="mutual_neighbours", truth=tmp_path / "out" / "matches.csv")  # fmt: skip
    assert again.error == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_a_window_in_seconds_and_one_that_is_too_narrow(tmp_path, rng):
    for name, n in (("a", 30), ("b", 12)):
        rows = [f"{k / 10},{v:.4f}" for k, v in enumerate(rng.normal(size=n))]
        (tmp_path / f"{name}.csv").write_text("time,x\n" + "\n".join(rows) + "\n")
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    wide = align_files(a, b, settings=AlignSettings(window="0.5s"))
    assert wide.pairs[0].alignment.method.window.radius == 5
    with pytest.raises(ConfigError, match=r"12 by 30 frames stays within --window 0\. --window 2 would do"):
        align_files(b, a, settings=AlignSettings(window="0"))
    assert align_files(b, a, settings=AlignSettings(window="2")).coverage_b == 1.0
    with pytest.raises(ConfigError, match="frames of b"):
        align_files(a, b, settings=AlignSettings(window="wide"))
    with pytest.raises(ConfigError, match="transport has none"):
        align_files(a, b, method="transport", settings=AlignSettings(window="3"))
    np.save(tmp_path / "b.npy", rng.normal(size=12))
    with pytest.raises(ConfigError, match="no even time"):
        align_files(a, tmp_path / "b.npy", settings=AlignSettings(window="1s"))
    timed = align_files(a, tmp_path / "b.npy")  # seconds on one side only: both are counted in frames
    assert timed.pairs[0].alignment.rate_a == 1.0
    assert "seconds_a" in timed.first[0]
    assert "seconds_b" not in timed.first[0]


def test_one_frame_and_constant_features(tmp_path):
    np.save(tmp_path / "one.npy", np.array([[1.0, 2.0]]))
    np.save(tmp_path / "flat.npy", np.ones((5, 2)))
    found = align_files(tmp_path / "one.npy", tmp_path / "flat.npy", output=tmp_path / "out")
    assert found.n_matches == 5
    assert found.cost == 0.0
    assert found.tempo is None
    with pytest.raises(PolymodalError, match="frame|constant"):
        align_files(tmp_path / "one.npy", tmp_path / "flat.npy", method="ctw")


def test_a_hundred_thousand_samples(tmp_path, rng):
    steps = np.cumsum(rng.normal(size=(2, 100_000)), axis=1)
    np.save(tmp_path / "a.npy", steps[0])
    np.save(tmp_path / "b.npy", steps[0][::2] + 0.01)
    found = align_files(tmp_path / "a.npy", tmp_path / "b.npy", settings=AlignSettings(window="20"))
    assert found.coverage_a == found.coverage_b == 1.0
    with pytest.raises(ModalityError, match="GiB"):
        align_files(tmp_path / "a.npy", tmp_path / "b.npy", method="assignment")


def test_what_does_not_fit_is_said(arrays, tmp_path):
    folder, _ = arrays
    a, b = folder / "a.npy", folder / "b.npy"
    (tmp_path / "text.txt").write_text("ein Haus\n")
    soundfile.write(tmp_path / "sound.wav", tune([0.1] * 6), RATE)
    with pytest.raises(ConfigError, match="Did you mean 'dtw'"):
        align_files(a, b, method="dtv")
    with pytest.raises(ConfigError, match="links words of texts"):
        align_files(a, b, method="ibm1")
    with pytest.raises(ConfigError, match="ForcedAligner"):
        align_files(tmp_path / "sound.wav", tmp_path / "text.txt")
    with pytest.raises(ConfigError, match="holds numbers"):
        align_files(tmp_path / "text.txt", a)
    with pytest.raises(ConfigError, match="dtw has no parameter 'metrik'.*Did you mean 'metric'"):
        align_files(a, b, settings=AlignSettings({"metrik": "cosine"}))
    with pytest.raises(ModalityError, match="euclidian"):
        align_files(a, b, settings=AlignSettings({"metric": "euclidian"}))
    with pytest.raises(ConfigError, match="given by --window"):
        align_files(a, b, settings=AlignSettings({"window": 5}))
    for method, wrong in (
        ("ctw", {"n_components": 1.5}),
        ("ctw", {"initial": "x"}),
        ("assignment", {"max_cost": "x"}),
    ):
        with pytest.raises(PolymodalError):
            align_files(a, b, method=method, settings=AlignSettings(wrong))
    with pytest.raises(ConfigError, match="frames need none"):
        align_files(a, b, settings=AlignSettings(train=("x.txt", "y.txt")))
    with pytest.raises(ConfigError, match="--normalise both needs"):
        align_files(a, folder / "mixed.npy", settings=AlignSettings(normalise="both"))
    with pytest.raises(DataError, match="does not exist"):
        align_files(tmp_path / "no.wav", b)


def test_an_output_that_exists_is_left(arrays, tmp_path):
    folder, _ = arrays
    a, b = folder / "a.npy", folder / "b.npy"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(ConfigError, match="exists and is left"):
        align_files(a, b, output=tmp_path / "mine")
    with pytest.raises(ConfigError, match="never overwritten"):
        align_files(a, b, output=tmp_path / "mine", overwrite=True)
    align_files(a, b, output=tmp_path / "ours")
    (tmp_path / "ours" / "note.txt").write_text("dear")
    with pytest.raises(ConfigError, match="note.txt"):
        align_files(a, b, output=tmp_path / "ours", overwrite=True)
    (tmp_path / "ours" / "note.txt").unlink()
    assert align_files(a, b, output=tmp_path / "ours", overwrite=True).output == str(tmp_path / "ours")
    with pytest.raises(DataError):
        align_files(a, tmp_path / "no.npy", output=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_columns_are_compared_by_name(tmp_path, rng):
    x = rng.normal(size=(9, 2))
    for name, header, values in (("a", "x,y", x), ("b", "y,x", x[:, ::-1]), ("c", "p,q", x)):
        np.savetxt(tmp_path / f"{name}.csv", values, delimiter=",", header=header, comments="")
    same = align_files(tmp_path / "a.csv", tmp_path / "b.csv")
    assert same.cost == pytest.approx(0.0, abs=1e-9)
    assert any("compared by name" in note for note in same.notes)
    other = align_files(tmp_path / "a.csv", tmp_path / "c.csv")
    assert other.cost == pytest.approx(0.0, abs=1e-9)
    assert any("in order: x with p, y with q" in note for note in other.notes)


def test_a_recording_and_as_many_columns_of_numbers_are_not_compared_directly(tunes, tmp_path, rng):
    np.save(tmp_path / "other.npy", rng.normal(size=(50, 32)))
    found = align_files(tunes[0], tmp_path / "other.npy")
    assert found.method == "ctw"
    assert any("a recording and numbers" in note for note in found.notes)


def test_one_sequence_within_another(tmp_path):
    t = np.linspace(0, 20, 200)
    np.save(tmp_path / "whole.npy", np.c_[np.sin(t), np.cos(0.7 * t)])
    np.save(tmp_path / "part.npy", np.c_[np.sin(t), np.cos(0.7 * t)][60:110])
    settings = AlignSettings({"open_begin": True, "open_end": True}, normalise="none")
    found = align_files(tmp_path / "part.npy", tmp_path / "whole.npy", settings=settings)
    assert found.first[0]["index_b"] == 60
    assert found.last[-1]["index_b"] == 109
    assert found.coverage_b == 0.25


def test_rates_reach_the_alignment(tunes):
    a, b, _ = tunes
    found = align_files(a, b, reading=SequenceReading(sample_rate=RATE, hop_seconds=0.05))
    assert found.pairs[0].alignment.rate_b == 20.0
    frames = [Ragged.of([side.frames], rate=20.0) for side in (found.pairs[0].a, found.pairs[0].b)]
    assert align(*frames).cost == found.cost

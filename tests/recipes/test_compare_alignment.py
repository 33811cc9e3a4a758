"""The study of alignment: its parts on small made data, and that a run which died goes on."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("compare_alignment")


def part(name: str) -> Any:
    return importlib.import_module(f"alignment_study.{name}")


def test_interval_draws_rows_clusters_or_pairs(recipe: Any, rng: np.random.Generator) -> None:
    interval = part("common").interval
    x = rng.normal(size=200)
    value, low, high = interval(x)
    assert value == pytest.approx(x.mean())
    assert low < value < high
    assert high - low == pytest.approx(2 * 1.96 * x.std() / np.sqrt(200), rel=0.15)
    _, wide_low, wide_high = interval(np.repeat(x[:20], 10), units=np.repeat(np.arange(20), 10))
    assert wide_high - wide_low > 2 * (high - low)  # ten times the same number is one number
    pairs = np.array([(i, j) for i in range(8) for j in range(i + 1, 8)])
    assert interval(np.full(len(pairs), 0.5), units=pairs) == (0.5, 0.5, 0.5)
    assert interval([1, 2], [2, 2])[0] == 0.75


def test_tables_stand_between_their_marks(recipe: Any) -> None:
    page = "Words.\n<!-- table one -->\nold\n<!-- end -->\nMore words.\n"
    found = recipe.written(page, {"one": "new", "two": "added"})
    assert "old" not in found
    assert found.index("new") < found.index("More words.") < found.index("added")
    assert recipe.written(found, {"one": "new", "two": "added"}) == found


def test_what_is_done_is_not_done_again(recipe: Any, tmp_path: Path) -> None:
    done: dict[str, Any] = {}
    keep = recipe.keeper(done, tmp_path / "kept.json")
    keep("a/b", lambda: {"value": 1})
    keep("a/b", lambda: {"value": 2})
    assert json.loads((tmp_path / "kept.json").read_text("utf-8"))["a/b"]["value"] == 1


@pytest.fixture
def music_folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Ten performances of a scale, each at changing speed."""
    folder = tmp_path / "vienna4x22_alignment" / "scale"
    folder.mkdir(parents=True)
    columns = (
        "score_note_id,score_pitch,score_onset_beat,score_offset_beat,"
        "perf_note_id,perf_pitch,perf_onset_sec,perf_offset_sec,velocity,kind"
    )
    for p in range(10):
        times = np.cumsum(rng.uniform(0.2, 0.6, 13))
        rows = [columns] + [
            f"n{k},{60 + k % 11},{k},{k + 1},m{k},{60 + k % 11},{times[k]},{times[k + 1]},60,match"
            for k in range(12)
        ]
        rows.append("n99,60,12,13,,,,,,deletion")
        (folder / f"scale_p{p:02d}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_music_finds_the_notes(recipe: Any, music_folder: Path) -> None:
    music = part("music")
    score, played = music.read_music(music_folder / "vienna4x22_alignment")
    assert len(played) == 10
    methods = music.music_methods(
        lambda frames, width: music.learn_music(played[:3], frames, width, epochs=1)
    )
    for a, b in ((played[8], played[9]), (score, played[9])):
        off = {n: music.seconds_off(m(a, b), a, b) for n, m in methods.items() if "band of 2" not in n}
        assert off["DTW, onsets boosted"].mean() < 0.05
        assert off["straight line"].mean() > off["DTW, onsets boosted"].mean()
        assert all(len(e) == 12 for e in off.values())


def test_words_are_counted_as_the_measures_say(recipe: Any) -> None:
    words = part("words")
    gold = [np.array([[0, 0], [1, 1]]), np.array([[0, 1]])]
    counts = words.counts_of([np.array([[0, 0]]), np.array([[0, 1], [1, 1]])], gold)
    assert counts == {"hits": [1, 1], "found": [1, 2], "true": [2, 1]}
    scores = words.scores_of(counts)
    assert [scores[k][0] for k in ("AER", "precision", "recall")] == pytest.approx([1 / 3, 2 / 3, 2 / 3])


def test_series_leave_themselves_out(recipe: Any) -> None:
    series = part("series")
    costs = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 3.0], [3.0, 3.0, 0.0]])
    assert series.left_out(costs, np.array([0, 0, 1])) == pytest.approx(1 / 3)
    x = np.arange(12.0).reshape(2, 6, 1)
    assert np.allclose(np.diag(series.soft_divergences(x, x, 0.1)), 0)


def test_digits_are_found_in_a_row(recipe: Any, rng: np.random.Generator) -> None:
    digits = part("digits")
    time = np.arange(2400) / 8000
    label = np.tile(np.arange(10), 6)
    sounds = [
        (0.3 * np.sin(2 * np.pi * (300 + 250 * d) * time) + 0.01 * rng.normal(size=2400)).astype(np.float32)
        for d in label
    ]
    bands = digits.SPECTROGRAM(digits.Ragged.of(sounds, rate=8000))
    frames = [np.asarray(bands[i], dtype=float) for i in range(60)]
    speech = digits.Speech(
        digits.Ragged.of(sounds, rate=8000), frames, [digits.mel_cepstra(x) for x in frames], label,
        np.repeat([0, 1], 30), np.zeros(60, dtype=int),
    )  # fmt: skip
    train, test = np.arange(0, 50), np.arange(50, 60)
    assert digits.recognise(speech, "DTW, log-mel", train, test).mean() == 0
    found = digits.boundaries_off(speech, "DTW to one template a digit", train, test)
    assert np.median(found["off"]) <= 0.02


def test_captions_come_back_around(recipe: Any, rng: np.random.Generator) -> None:
    captions = part("captions")
    costs = {
        pair: 1 - np.eye(6) + 0.1 * rng.random((6, 6)) for pair in [*captions.PAIRS, ("french", "english")]
    }
    for name, method in captions.caption_methods(0.5).items():
        pairs = method(costs)
        assert (pairs[:, 0] == pairs[:, 1]).all(), name


def test_curves_are_told(recipe: Any) -> None:
    curves = part("curves")
    made: dict[str, Any] = {}

    def keep(key: str, work: Any) -> None:
        if key.startswith("curves/noise, 0, ") and "canonical" not in key:
            made[key] = work()

    curves.study_curves(Path(), keep)
    assert np.mean(made["curves/noise, 0, 3, the same/DTW"]["mean"]) < 0.5
    ((name, table),) = curves.tables_curves(made)
    assert name == "curves"
    assert table.count("\n") == 2

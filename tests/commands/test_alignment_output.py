"""The folder that `align` writes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from polymodal.alignment import DTW, Alignment, align
from polymodal.commands import alignment_output
from polymodal.commands.aligning import align_files
from polymodal.commands.alignment_output import thinned
from polymodal.commands.alignment_settings import AlignSettings

pytest.importorskip("matplotlib")


@pytest.fixture
def arrays(tmp_path, rng):
    places = tmp_path / "a.npy", tmp_path / "b.npy"
    for place, n in zip(places, (30, 24), strict=True):
        np.save(place, rng.normal(size=(n, 2)))
    return places


def pixels(path):
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_all_files_agree(arrays, tmp_path):
    found = align_files(*arrays, method="soft_dtw", output=tmp_path / "deep" / "größe")
    place = tmp_path / "deep" / "größe"
    assert sorted(p.name for p in place.iterdir()) == sorted(found.files)
    rows = list(csv.DictReader((place / "matches.csv").read_text(encoding="utf-8").splitlines()))
    path = found.pairs[0].alignment.path
    assert [[int(r["index_a"]), int(r["index_b"])] for r in rows] == path.tolist()
    assert all(0 < float(r["weight"]) <= 1 + 1e-6 for r in rows)
    summary = json.loads((place / "alignment.json").read_text(encoding="utf-8"))
    assert summary["method"] == "soft_dtw"
    assert summary["path"] == path.tolist()
    assert summary["files"] == list(found.files)
    for name in ("path.png", "matches.png", "coupling.png"):
        assert pixels(place / name).std() > 5  # something is drawn
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["größe"]  # nothing half-written beside it


def test_texts_are_drawn_as_rows_of_words(tmp_path):
    (tmp_path / "a.txt").write_text("das Haus\ndas Buch\nein Buch\n")
    (tmp_path / "b.txt").write_text("the house\nthe book\na book\n")
    found = align_files(tmp_path / "a.txt", tmp_path / "b.txt", output=tmp_path / "out")
    assert found.files == ("matches.csv", "alignment.json", "matches.png", "coupling.png")
    rows = list(csv.DictReader((tmp_path / "out" / "matches.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0]["word_a"] == "das"
    assert rows[0]["word_b"] == "the"
    assert {r["sentence"] for r in rows} == {"0", "1", "2"}
    assert any("show sentence 0" in note for note in found.notes)


def test_long_sentences_are_drawn_to_their_sixtieth_word(tmp_path):
    (tmp_path / "a.txt").write_text("wort " * 70 + "\nein wort\n")
    (tmp_path / "b.txt").write_text("word " * 65 + "\na word\n")
    align_files(tmp_path / "a.txt", tmp_path / "b.txt", output=tmp_path / "out")
    assert pixels(tmp_path / "out" / "coupling.png").shape[0] < 2600


def test_thinning_keeps_weight_and_time(rng):
    a, b = rng.normal(size=(2, 101))
    found = align(a, b[:40], "dtw")
    small, every = thinned(found, 25)
    assert every == (5, 2)
    assert (small.length_a, small.length_b) == (21, 20)
    assert small.coupling.sum() == found.coupling.sum()
    assert small.rate_a == 0.2
    assert small.path.max(axis=0).tolist() == [20, 19]
    assert thinned(found, 101)[0] is found


def test_pictures_of_a_long_sequence_are_small(arrays, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(alignment_output, "MAX_COSTS", 10)
    from polymodal.alignment import _costs

    real = _costs.matrix
    monkeypatch.setattr(
        _costs, "matrix", lambda x, y, metric: asked.append((len(x), len(y))) or real(x, y, metric)
    )
    align_files(*arrays, output=tmp_path / "out")
    assert asked == [(10, 8)]


def test_canonical_directions_are_drawn(tmp_path, rng):
    t = np.linspace(0, 6, 50)
    np.save(tmp_path / "a.npy", np.c_[np.sin(t), np.cos(2 * t)])
    np.save(tmp_path / "b.npy", np.c_[np.sin(t), np.cos(2 * t)] @ rng.normal(size=(2, 3)))
    found = align_files(
        tmp_path / "a.npy", tmp_path / "b.npy", output=tmp_path / "out", settings=AlignSettings({"reg": 0.01})
    )
    assert found.method == "ctw"
    assert "reg=0.01" in found.settings
    assert {"path.png", "matches.png"} <= set(found.files)


def test_a_failure_in_the_middle_leaves_nothing(arrays, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(alignment_output, "_png", broken)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        align_files(*arrays, output=tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_numbers_that_json_has_no_word_for_are_null():
    assert alignment_output._plain({"x": [float("inf"), 1.0], "y": (float("nan"),)}) == {
        "x": [None, 1.0],
        "y": [None],
    }


def test_no_match_can_be_written(tmp_path):
    from polymodal.commands.alignment_result import Pair, summarise
    from polymodal.commands.alignment_sources import Signal

    side = Signal("x", "numbers", np.arange(3.0)[:, None], ("x",))
    none = Alignment.of_path(np.zeros((0, 2), dtype=np.int64), (3, 3), DTW(), cost=0.0)
    result = summarise([Pair(none, side, side)], ("a", "b"), "mutual_neighbours", "M()", {}, [])
    alignment_output.write_alignment(result, tmp_path / "out")
    assert (tmp_path / "out" / "matches.csv").read_text() == "index_a,index_b,weight\n"

"""`compare DATA`, as a function."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from polymodal.commands.comparing import CompareSettings, compare_data
from polymodal.commands.comparing_data import Division
from polymodal.commands.sources import Source
from polymodal.core.errors import ConfigError


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sixty rows, three classes; two modalities, of which one says nothing."""
    draws = np.random.default_rng(0)
    y = np.arange(60) % 3
    a, b = np.eye(3)[y] + 0.3 * draws.normal(size=(60, 3)), draws.normal(size=(60, 2))
    lines = ["kind,größe_0,größe_1,größe_2,b_0,b_1"]
    lines += [",".join(["xyz"[k], *(f"{v:.3f}" for v in (*p, *q))]) for k, p, q in zip(y, a, b, strict=True)]
    place = tmp_path_factory.mktemp("compare") / "rows.csv"
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Source(place, target="kind")


FEW = CompareSettings(methods=("late-mean",), division=Division(n=2), noise=())


@pytest.fixture(scope="module")
def done(table, tmp_path_factory):
    place = tmp_path_factory.mktemp("out") / "study"
    settings = dataclasses.replace(FEW, noise=(0.0, 2.0), missing=(0.0, 0.4), epochs=1)
    return compare_data(table, settings=settings, output=place), place


def test_the_modality_that_says_nothing_is_told_apart(done):
    found = done[0].comparison
    assert found.references == {"best single modality": "only größe", "concatenation": "concatenation"}
    assert found["only größe"].score.value > 0.8
    assert found["only b"].score.value < 0.6
    assert found["only b"].against["concatenation"].value < -0.3
    assert done[0].complete


def test_curves_know_which_modality_is_used(done):
    curves = done[0].curves["concatenation"]
    a, b = (curves["noise"][n]["scores"] for n in ("größe", "b"))
    assert a[0] - a[-1] > b[0] - b[-1] + 0.1
    blind = done[0].curves["only größe"]
    assert len(set(blind["noise"]["b"]["scores"])) == 1
    assert blind["absence"]["größe"]["scores"][-1] == pytest.approx(blind["baseline"], abs=0.15)


def test_what_is_written(done):
    result, place = done
    assert set(result.files) == {p.name for p in place.iterdir()}
    assert {"scores.png", "cost.png", "curves.png", "missing.png"} <= set(result.files)
    plain = json.loads((place / "comparison.json").read_text(encoding="utf-8"))
    assert plain["comparison"]["models"][0]["n_splits"] == 2
    assert plain["missing"]["rates"] == [0.0, 0.4]
    text = (place / "comparison.md").read_text(encoding="utf-8")
    assert "| only größe |" in text
    assert "## Missing modalities" in text
    page = (place / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert "only größe" in page


def test_the_same_again_does_nothing_again(table, done):
    result, place = done
    settings = dataclasses.replace(FEW, noise=(0.0, 2.0), missing=(0.0, 0.4), epochs=1)
    again = compare_data(
        table, settings=settings, output=place, told=lambda *_: pytest.fail("a fit was done again")
    )
    assert again.resumed == len(result.comparison.runs) + sum(len(c.runs) for c in result.missing.comparisons)
    assert again.comparison.to_dict() == result.comparison.to_dict()
    with pytest.raises(ConfigError, match="another comparison"):
        compare_data(table, settings=FEW, output=place)


def test_a_stop_leaves_what_was_done_and_the_next_call_goes_on(table, tmp_path):
    def stop(run, done, total):
        assert total == 8
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_data(table, settings=FEW, output=tmp_path / "o", told=stop)
    part = json.loads((tmp_path / "o" / "comparison.json").read_text(encoding="utf-8"))
    assert not part["complete"]
    assert {m["name"]: m["n_splits"] for m in part["comparison"]["models"]}["only größe"] == 2
    assert "Stopped before" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    seen = []
    found = compare_data(
        table, settings=FEW, output=tmp_path / "o", told=lambda run, d, t: seen.append(run.model)
    )
    assert (found.resumed, len(seen), found.complete) == (5, 3, True)
    whole = compare_data(table, settings=FEW)
    assert [(m.name, m.score) for m in whole.comparison.models] == [
        (m.name, m.score) for m in found.comparison.models
    ]
    assert whole.output is None


def test_other_folders_are_left_alone(table, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="mine"):
        compare_data(table, settings=FEW, output=tmp_path / "mine", overwrite=True)
    compare_data(table, settings=FEW, output=tmp_path / "o")
    other = dataclasses.replace(FEW, division=Division(n=3))
    assert compare_data(table, settings=other, output=tmp_path / "o", overwrite=True).resumed == 0


def test_a_near_perfect_modality_is_pointed_at(tmp_path):
    draws = np.random.default_rng(0)
    lines = ["kind,leak_0,leak_1,b_0,b_1"]
    lines += [
        f"{'uv'[i % 2]},{i % 2},{-(i % 2)},{draws.normal():.3f},{draws.normal():.3f}" for i in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found = compare_data(Source(tmp_path / "t.csv", target="kind"), settings=FEW)
    assert any("only leak" in s and "contain the target" in s for s in found.sentences())


def test_quick_is_smaller(table):
    found = compare_data(table, settings=CompareSettings(methods=("late-mean",), quick=True, noise=()))
    assert found.comparison.n_splits == 3

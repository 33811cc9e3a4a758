"""The study of fusion: one small made set through it, and what it tells."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal import Modalities

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("compare_fusion")


def part(name: str) -> Any:
    return importlib.import_module(f"fusion_study.{name}")


@pytest.fixture
def task(recipe: Any, rng: np.random.Generator) -> Any:
    """Two modalities of 120 rows, each of which tells two of four classes apart: together they tell all."""
    y = np.arange(120) % 4
    a, b = (np.eye(2)[k] + 0.3 * rng.normal(size=(120, 2)) for k in (y % 2, y // 2))
    sets = part("sets")
    material = sets.made(Modalities({"a": a, "b": b}), y, "class", learn=60, test=40)
    return sets.Task(material, methods=("late-product",), noise=(0.0, 1.0))


def test_splits_are_cut_down_and_groups_stay_whole(recipe: Any, rng: np.random.Generator) -> None:
    y, who = np.arange(200) % 2, np.arange(200) // 10
    data = Modalities({"a": rng.normal(size=(200, 2)), "b": rng.normal(size=(200, 2))})
    found = part("sets").made(data, y, "y", who, learn=50, test=30)
    for s in found.splits:
        assert (len(s.train), len(s.test)) == (50, 30)
        assert not set(who[s.train]) & set(who[s.test])


def test_the_study_finds_what_was_planted_and_goes_on(
    recipe: Any, task: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    found = recipe.summary(recipe.study("made", task, tmp_path))
    names = {m["name"]: m for m in found["comparison"]["models"]}
    assert set(names) == {"only a", "only b", "concatenation", "late-product"}
    assert names["only a"]["score"]["value"] < 0.65
    assert names["late-product"]["score"]["value"] > 0.8
    assert names["late-product"]["against"]["best single modality"]["verdict"] == "better"
    assert part("tell").verdicts({"made": found})["late-product"]["better"] == ["made"]
    assert "runs" not in found["comparison"]
    capsys.readouterr()
    again = recipe.summary(recipe.study("made", task, tmp_path))
    assert capsys.readouterr().err == ""
    assert again["comparison"] == found["comparison"]
    done = {"made": found}
    json.dumps(done)
    told = part("tell").table(found)
    assert "▲" in told
    assert "| only a |" in told
    assert (
        part("tell").curve_table(found).count("\n") == 4
    )  # the better of the two modalities stands for both


def test_a_table_stands_once_on_the_page(recipe: Any) -> None:
    written = part("tell").written
    page = written("Words.\n", "a", "first")
    assert written(page, "a", r"second \1") == page.replace("first", r"second \1")


def test_every_set_has_a_loader_and_real_ones_are_read(recipe: Any, real_data: Path) -> None:
    sets = part("sets")
    assert len(sets.LOADERS) == 8
    material = sets.load_breast(real_data).material
    assert set(material.data.names) == {"mrna", "mirna", "protein"}
    assert len(np.unique(material.y)) == 3
    whole = sets.load_mfeat_all(real_data)
    assert [len(s.train) for s in whole.material.splits] == [1000] * 3


def test_pages_and_pictures(recipe: Any, task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = part("sets")
    few = sets.Task(task.material, methods=("late-mean",), missing=(0.0, 0.3), noise=(0.0, 1.0))
    monkeypatch.setattr("polymodal.commands.comparing.missing_strategies", strategies)
    done = {"breast": recipe.summary(recipe.study("breast", few, tmp_path))}
    (tmp_path / "fusion.md").write_text("# Page\n")
    recipe.write_page(done, tmp_path)
    text = (tmp_path / "fusion.md").read_text("utf-8")
    for name in ("breast", "breast missing", "breast harmed", "verdicts"):
        assert f"<!-- table {name} -->" in text
    assert {p.name for p in (tmp_path / "images").iterdir()} == {
        "fusion-scores.png", "fusion-curves.png", "fusion-missing.png",
    }  # fmt: skip


def test_a_method_is_held_against_itself_on_one_modality(recipe: Any, task: Any, tmp_path: Path) -> None:
    sets = part("sets")
    few = sets.Task(task.material, methods=("multiple-kernel",), noise=())
    result = recipe.study("made", few, tmp_path)
    found = recipe.control(few, result)
    assert set(found) == {"multiple-kernel"}
    assert found["multiple-kernel"]["references"]["itself"] in (
        "multiple-kernel on a",
        "multiple-kernel on b",
    )
    told = part("tell").control_table({"made": {"control": found}})
    assert "| made | multiple-kernel |" in told
    assert "▲" in told


def strategies(names: Any, task: str, *, epochs: int) -> dict[str, Any]:
    from polymodal.commands.comparing_missing import FILLED
    from polymodal.commands.comparing_models import Restricted
    from polymodal.fusion import EarlyFusion, LateFusion

    return {**{f"only {n}": Restricted(LateFusion(), only=(n,)) for n in names}, FILLED: EarlyFusion()}

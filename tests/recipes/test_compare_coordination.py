"""The study of coordination: one small made set through it, and what it tells."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal import CCA, Modalities

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("compare_coordination")


@pytest.fixture
def task(recipe: Any, rng: np.random.Generator) -> Any:
    z = rng.normal(size=(120, 3))
    noise = 0.3 * rng.normal(size=(2, 120, 6))
    a, b = (z @ rng.normal(size=(3, 6)) + n for n in noise)
    data = Modalities({"left": a, "right": b})
    return recipe.Task("made", data[:90], data[90:], "left", "right")


def test_every_method_is_chosen_fitted_and_asked(
    recipe: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = recipe.methods(task, 0)
    assert {"least squares", "CCA", "CLIP", "deep CCA", "gated"} <= set(every)
    assert all(len(settings) == 3 for settings in every.values())
    quick = {
        "least squares": every["least squares"],
        "CCA": [CCA(3, reg=r) for r in (0.0, 0.1, 1.0)],
        "refusing": [CCA(99)] * 3,
    }
    monkeypatch.setattr(recipe, "methods", lambda task, seed: quick)
    monkeypatch.setattr(recipe, "EXACT", set(quick))
    monkeypatch.setattr(recipe, "measure", in_process(recipe))
    done: dict[str, Any] = {}
    saved: list[int] = []
    recipe.study(task, done, lambda: saved.append(len(done)))
    assert saved == [1, 2, 3]
    assert "CCA needs n_components" in done["made/refusing"]["runs"][0]["refused"]
    rows = recipe.rows_of(done, "made")
    assert {row["method"] for row in rows} == {"least squares", "CCA"}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    assert max(row["value"] for row in rows) > 0.4  # by chance 0.13
    recipe.study(task, done, lambda: saved.append(-1))  # what is done is not done again
    assert saved == [1, 2, 3]


def in_process(recipe: Any) -> Any:
    """`measure` without a process of its own: the same answers."""

    class Here:
        def send(self, found: dict[str, Any]) -> None:
            self.found = found

    def measure(*arguments: Any) -> dict[str, Any]:
        here = Here()
        recipe._work(here, *arguments)
        return here.found

    return measure


def test_least_squares_is_ridge_both_ways(recipe: Any, task: Any) -> None:
    model = recipe.LeastSquares(1e-9).fit(task.train)
    asked, there = model.both(task.test, "left", "right")
    x, y = (np.asarray(task.train[n].values()) for n in ("left", "right"))
    w = np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=None)[0]
    np.testing.assert_allclose(asked, (np.asarray(task.test["left"].values()) - x.mean(0)) @ w, atol=1e-5)
    assert there.shape == asked.shape


def test_tables_and_picture(recipe: Any, tmp_path: Path) -> None:
    run = {"measure": [0.5, 1.0], "r1": [0.0, 1.0], "r10": [1.0, 1.0], "seconds": 1.0, "mib": 3.0}
    done = {f"made/{n}": {"runs": [run], "measure": "MRR"} for n in ("CCA", "CLIP")}
    table = recipe.table(recipe.rows_of(done, "made"))
    assert "| CCA | 0.750 | 0.500-1.000 | 0.500 | 1.000 | 1 | 3 |" in table
    page = recipe.written("# Study\n", "made", table)
    assert recipe.written(page, "made", "nothing").count("<!-- table made -->") == 1
    assert "nothing" in recipe.written(page, "made", "nothing")
    recipe.picture(done, ["made"], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000

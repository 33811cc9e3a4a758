"""The study of modalities: a small made set through it, and what fission retrieves where that is known."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.commands.diagnosing import Effort
from polymodal.datasets.dataset import Dataset

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(RECIPES))
    return importlib.import_module("diagnose_modalities")


def test_shared_parts_retrieve_and_private_ones_do_not(
    recipe: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "Training", lambda **options: shorter(options))
    common = rng.normal(size=(240, 10))
    a, b = (np.hstack([common, 2 * rng.normal(size=(240, 10))]) for _ in "ab")
    task = recipe.Task(Dataset(Modalities({"a": a, "b": b}), {"y": np.zeros(240)}), "y", fission=("a", "b"))
    rows = {(r["model"], r["part"], r["how"]): r for r in recipe.retrieve(task)}
    linear = {
        part: rows["SharedIndividual", part, "as it is"]["mrr"]["value"] for part in ("shared", "private")
    }
    assert linear["shared"] > 0.8
    assert linear["private"] < 0.2
    assert rows["SharedIndividual", "shared", "as it is"]["chance"] == pytest.approx(
        np.mean(1 / np.arange(1, 61))
    )
    assert recipe.retrieve(recipe.Task(task.dataset, "y")) == []
    table = recipe.fission_table({"made": {"fission": list(rows.values())}})
    assert "| made | a, b | SharedIndividual | shared | " in table
    assert len(table.splitlines()) == 6


def shorter(options: dict[str, Any]) -> Any:
    """Two epochs are enough to see that everything is asked."""
    from polymodal import Training

    return Training(**{**options, "max_epochs": 2})


def test_a_map_is_ridge_on_the_training_rows(recipe: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 3))
    w = rng.normal(size=(3, 2))
    np.testing.assert_allclose(recipe.mapped(x, x @ w + 5, x), x @ w - (x @ w).mean(axis=0), atol=0.05)


def test_a_set_goes_through_and_is_written(
    recipe: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    y = np.array(["no", "yes"])[np.arange(80) % 2]
    data = Modalities(
        {"a": rng.normal(size=(80, 2)) + 3 * (y == "yes")[:, None], "b": rng.normal(size=(80, 2))}
    )
    task = recipe.Task(Dataset(data, {"y": y}, name="made"), "y")
    quick = Effort(steps=5, permutations=19, resamples=10, folds=2)
    monkeypatch.setattr(recipe, "EFFORT", quick)
    monkeypatch.setattr(recipe, "Effort", lambda: quick)
    monkeypatch.setattr(recipe, "REPORTS", ("made",))
    monkeypatch.setattr(recipe, "LOADERS", {"made": lambda folder: task, "absent": absent})
    monkeypatch.setattr("sys.argv", ["recipe", "DATA", "--sets", "made,absent", "--out", str(tmp_path)])
    recipe.main()
    done = json.loads((tmp_path / "modalities.json").read_text("utf-8"))
    assert set(done) == {"made"}
    assert "What tells y?" in (tmp_path / "reports" / "made.html").read_text("utf-8")
    page = (tmp_path / "modalities.md").read_text("utf-8")
    assert "| made | 80 (80) | AUC | a alone " in page
    assert "| a, b | " in page
    assert recipe.written(page, "scores", "nothing").count("<!-- table scores -->") == 1
    assert (tmp_path / "images" / "modalities.png").stat().st_size > 1000
    (tmp_path / "reports" / "made.html").unlink()
    recipe.main()  # what is done is not done again
    assert not (tmp_path / "reports" / "made.html").exists()


def absent(folder: Path) -> Any:
    raise FileNotFoundError(2, "not there", str(folder))

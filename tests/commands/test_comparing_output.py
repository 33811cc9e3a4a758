"""What a comparison leaves behind."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.commands.comparing import CompareResult
from polymodal.commands.comparing_output import (
    chosen_for_curves,
    colour_of,
    draw_pictures,
    markdown,
    mean_curve,
    write_comparison,
)
from polymodal.evaluation.answers import Answers, Truth
from polymodal.evaluation.model_comparison import summarise_runs
from polymodal.evaluation.model_runs import Run
from polymodal.evaluation.splits import Split

CURVE = {
    "noise": {"a": {"levels": [0, 1], "scores": [0.9, 0.5]}, "b": {"levels": [0, 1], "scores": [0.9, 0.7]}}
}
CURVE |= {"absence": CURVE["noise"], "scorer": "accuracy", "baseline": 0.5}


@pytest.fixture
def result():
    truth = Truth.of(np.arange(40) % 4)
    splits = [Split(np.empty(0, dtype=np.int64), np.arange(40))]
    right = truth.values[:, 0]
    said = {"only $a": right * 0, "only b": right * 0, "concatenation": right, "ten<sor": right, "漢": right}
    runs = [
        Run(n, 0, {"accuracy": 0.5}, Answers(x[:, None], np.empty(0)), 0.1, float("nan"), 3)
        for n, x in said.items()
    ]
    runs.append(Run("bad", 0, {}, Answers(np.empty((0, 1)), np.empty(0)), 0.1, 0.0, 0, "needs | more\nlines"))
    comparison = summarise_runs(
        runs,
        truth,
        splits,
        references={"best single modality": ["only $a", "only b"], "concatenation": ["concatenation"]},
    )
    return CompareResult(
        comparison, {"concatenation": CURVE, "ten<sor": CURVE, "only $a": {"refused": "no"}}, None, "y",
        {"$a": "vector", "b": "text"}, ("a note",), True, 0, 1.0,
    )  # fmt: skip


def test_names_cannot_break_the_page_or_the_table(result, tmp_path):
    found = write_comparison(result, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "ten<sor" not in page
    assert "ten&lt;sor" in page
    assert "needs \\| more" in markdown(found)
    assert (
        json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))["comparison"]["models"][-1][
            "score"
        ]["value"]
        is None
    )
    assert "missing.png" not in found.files


def test_pictures_of_what_there_is(result):
    found = draw_pictures(result)
    assert set(found) == {"scores.png", "cost.png", "curves.png"}
    assert all(png.startswith(b"\x89PNG") for png in found.values())


def test_what_is_drawn(result):
    assert chosen_for_curves(result.comparison, {"concatenation": 1, "ten<sor": 1, "only b": 1}) == [
        "concatenation",
        "ten<sor",
    ]
    levels, scores = mean_curve(CURVE["noise"])
    assert levels == [0, 1]
    np.testing.assert_allclose(scores, [0.9, 0.6])
    assert [colour_of(n, "concatenation") for n in ("only b", "concatenation", "x")] == [
        "0.5",
        "tab:orange",
        "tab:blue",
    ]

"""`evaluate` of a saved model."""

from __future__ import annotations

import json

import pytest

from polymodal.cli.answering import plain
from polymodal.commands import Source, evaluate_model
from polymodal.commands.fitting import HoldOut, fit_model
from polymodal.core.errors import ConfigError, ModelFormatError


def test_retrieval_on_the_rows_that_fit_held_out(model, shapes) -> None:
    result = evaluate_model(model, Source(shapes), n_resamples=50)
    assert result.rows == 10
    assert result.which == "rows that fit held out"
    assert result.retrieval is not None
    scores = result.retrieval["text", "image"]
    assert scores.n_candidates == 10
    assert scores.any_hit[5].value > 0.5  # chance 0.5
    json.dumps(plain(result.to_dict()), allow_nan=False)


def test_rows_are_chosen(model, shapes) -> None:
    assert evaluate_model(model, Source(shapes), rows="all", n_resamples=10).rows == 60
    assert evaluate_model(model, Source(shapes), rows="shape=bar", n_resamples=10).rows == 20
    grouped = evaluate_model(model, Source(shapes), rows="all", group="shape", n_resamples=10)
    assert grouped.retrieval is not None
    assert grouped.retrieval["text", "image"].recall[10].value <= 0.5  # twenty answers each
    with pytest.raises(ConfigError, match="Did you mean 'shape'"):
        evaluate_model(model, Source(shapes), rows="shap=bar")


def test_accuracy_from_all_and_from_each(shapes, tmp_path) -> None:
    source = Source(shapes, only=("text", "image"), target="shape", image_size=16)
    fit_model(source, tmp_path / "m", method="late-fusion", hold_out=HoldOut(split="split"))
    result = evaluate_model(tmp_path / "m", Source(shapes), n_resamples=50)
    assert result.metric == "accuracy"
    assert set(result.prediction) == {"all", "text alone", "image alone"}
    assert result.prediction["text alone"].value == 1  # the text names the shape
    assert result.retrieval is None


def test_r2_of_a_quantity(tmp_path, rng) -> None:
    x = rng.normal(size=(80, 3))
    lines = ["x_0,x_1,x_2,score"] + [f"{a},{b},{c},{a + 2 * b}" for a, b, c in x]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    fit_model(Source(tmp_path / "d.csv", target="score"), tmp_path / "m", method="late-fusion")
    result = evaluate_model(tmp_path / "m", Source(tmp_path / "d.csv"), n_resamples=50)
    assert result.metric == "R2"
    assert result.prediction["x"].value > 0.99
    assert any("held no rows" in note for note in result.notes)


def test_no_model(shapes, tmp_path) -> None:
    with pytest.raises(ModelFormatError, match="does not exist"):
        evaluate_model(tmp_path / "no", Source(shapes))

"""`index` and `search` from the shell."""

from __future__ import annotations

import json

import pytest

from polymodal.commands.fitting import fit_model
from polymodal.commands.sources import Source


@pytest.fixture(scope="module")
def model(shapes, tmp_path_factory):
    place = tmp_path_factory.mktemp("cli") / "model"
    fit_model(
        Source(shapes, only=("image", "text"), image_size=16),
        place,
        method="cca",
        parameters={"n_components": 4, "reg": 0.5},
    )
    return place


@pytest.fixture(scope="module")
def index(model, shapes, tmp_path_factory):
    from typer.testing import CliRunner

    from polymodal.cli.app import app

    place = tmp_path_factory.mktemp("cli") / "index"
    result = CliRunner().invoke(app, ["index", str(model), str(shapes), "-o", str(place)])
    assert result.exit_code == 0, result.stderr
    assert "Indexed 120 vectors" in result.stdout
    assert "polymodal search" in result.stdout
    return place


def test_search_by_text_image_and_row(run, index, shapes) -> None:
    text = run("search", index, "--text", "a red circle", "-k", 3)
    assert text.exit_code == 0, text.stderr
    assert "+ text 'a red circle', among image" in text.stdout
    assert ".png" in text.stdout
    picture = run(
        "search",
        index,
        "--image",
        shapes / "pictures" / "03.png",
        "--minus-text",
        "circle",
        "--weight",
        "text=0.3",
        "--json",
    )
    answer = json.loads(picture.stdout)
    assert answer["query"].endswith("- 0.3 x text 'circle'")
    row = json.loads(
        run("search", index, "--row", 3, "--target", "all", "--where", "shape = 'bar'", "--json").stdout
    )
    assert {hit["metadata"]["shape"] for hit in row["hits"]} == {"bar"}
    named = json.loads(run("search", index, "--query", "text=a blue bar", "-k", 2, "--json").stdout)
    assert len(named["hits"]) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "something to ask"),
        (("--text", "red", "--weight", "image=2"), "--weight image weighs nothing"),
        (("--text", "red", "--where", "shap = 1"), "shap"),
        (("--audio", "x.wav"), "a recording"),
        (("--row", "999"), "999"),
    ],
)
def test_bad_input_is_2_and_a_sentence(run, index, args, message) -> None:
    result = run("search", index, *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_no_index(run, tmp_path, model) -> None:
    assert "does not exist" in run("search", tmp_path / "no", "--text", "x").stderr
    assert "is a model, not an index" in run("search", model, "--text", "x").stderr
    missing = run("index", model, tmp_path / "no", "-o", tmp_path / "i")
    assert missing.exit_code == 2
    assert not (tmp_path / "i").exists()
    assert "needs -o INDEX" in run("index", model, tmp_path).stderr

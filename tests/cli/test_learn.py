"""`describe`, `fit`, `embed`, `evaluate` from the shell."""

from __future__ import annotations

import json

import pytest

from polymodal.commands import fitting


def test_describe(run, shapes) -> None:
    assert "60 rows, 3 modalities" in run("describe", shapes).stdout
    answer = json.loads(
        run("describe", shapes, "--modality", "words=text,shape", "--only", "words", "--json").stdout
    )
    assert [m["name"] for m in answer["modalities"]] == ["words"]


def test_fit_embed_evaluate(run, shapes, tmp_path) -> None:
    model = tmp_path / "m"
    fitted = run("fit", shapes, "--method", "cca", "--only", "image,text", "--image-size", 16, "-s", "n_components=3", "-s", "reg=0.5",
                 "--split", "split", "-o", model)  # fmt: skip
    assert fitted.exit_code == 0, fitted.stderr
    assert "CCA learned from 50 rows" in fitted.stdout
    assert f"polymodal evaluate {model}" in fitted.stdout
    evaluated = run("evaluate", model, shapes)
    assert "10 rows (rows that fit held out)" in evaluated.stdout
    assert "median rank" in evaluated.stdout
    answer = json.loads(run("evaluate", model, shapes, "--json").stdout)
    assert {(s["query"], s["target"]) for s in answer["retrieval"]["scores"]} == {
        ("image", "text"),
        ("text", "image"),
    }
    embedded = json.loads(run("embed", model, shapes, "-o", tmp_path / "v.npz", "--json").stdout)
    assert embedded["representations"] == {"image": [3], "text": [3]}


def test_a_trained_method_with_training_options(run, tmp_path, rng) -> None:
    from polymodal.datasets import write

    x = rng.normal(size=(40, 3))
    data = write({"a": x, "b": x @ rng.normal(size=(3, 2))}, tmp_path / "d.npz")
    result = run(
        "fit",
        data,
        "--method",
        "clip",
        "--epochs",
        2,
        "--batch-size",
        20,
        "-s",
        "n_components=4",
        "-o",
        tmp_path / "m",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["parameters"]["training"] == {"max_epochs": 2, "batch_size": 20}
    assert answer["parameters"]["random_state"] == 0


def test_fit_from_a_configuration(run, shapes, tmp_path) -> None:
    (tmp_path / "c.toml").write_text(
        f'output = "{tmp_path / "m"}"\n[data]\npath = "{shapes}"\ntarget = "shape"\nonly = ["text"]\n[model]\nuse = "LateFusion"\n'
    )
    result = run("fit", "--config", tmp_path / "c.toml")
    assert result.exit_code == 0, result.stderr
    assert "accuracy" in run("evaluate", tmp_path / "m", shapes).stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--method", "ccc", "-o", "m"), "Did you mean 'CCA'"),
        (("--method", "cca"), "fit needs -o MODEL"),
        (("--method", "cca", "-o", "m", "--epochs", "3"), "closed form and has no 'max_epochs'"),
        (("--method", "cca", "-o", "m", "--modality", "text=txt"), "Did you mean 'text'"),
        (("--method", "clip", "-o", "m", "-s", "n_component=3"), "Did you mean 'n_components'"),
        (("--method", "cca", "-o", "m"), "Use data.select"),
    ],
)
def test_bad_input_is_2_and_a_sentence(run, shapes, tmp_path, monkeypatch, args, message) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("fit", shapes, *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_in_training_loses_nothing(run, shapes, tmp_path, monkeypatch) -> None:
    run("fit", shapes, "--method", "cca", "--only", "image,text", "-s", "reg=0.5", "-o", tmp_path / "m")
    before = (tmp_path / "m" / "model.json").read_bytes()

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "save", stopped)
    result = run(
        "fit",
        shapes,
        "--method",
        "cca",
        "--only",
        "image,text",
        "-s",
        "reg=0.1",
        "-o",
        tmp_path / "m",
        "--overwrite",
    )
    assert result.exit_code == 130
    assert "Stopped by Ctrl-C" in result.stderr
    assert (tmp_path / "m" / "model.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]

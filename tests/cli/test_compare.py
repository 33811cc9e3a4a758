"""`compare` from the shell."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.cli.compare import Progress, numbers
from polymodal.core.errors import ConfigError


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    draws = np.random.default_rng(0)
    y = np.arange(45) % 3
    a, b = (np.eye(3)[y] + 0.3 * draws.normal(size=(45, 3)) for _ in range(2))
    lines = ["kind,a_0,a_1,a_2,b_0,b_1,b_2,who"]
    lines += [
        ",".join(["xyz"[k], *(f"{v:.3f}" for v in (*p, *q)), f"w{i % 9}"])
        for i, (k, p, q) in enumerate(zip(y, a, b, strict=True))
    ]
    place = tmp_path_factory.mktemp("cli") / "rows.csv"
    place.write_text("\n".join(lines) + "\n")
    return place


FEW = ("--methods", "late-mean", "--splits", 2, "--noise", "none")


def test_a_table_for_people(run, rows, tmp_path):
    done = run("compare", rows, "--target", "kind", "--groups", "who", *FEW, "-o", tmp_path / "o")
    assert done.exit_code == 0, done.stderr
    assert "kind from a (vector), b (vector): 8 fits" in done.stdout
    for name in (
        "only a",
        "only b",
        "concatenation",
        "late-mean",
        "minus best single modality",
        "fit, cpu-s",
    ):
        assert name in done.stdout
    assert "Nadeau" in done.stdout
    assert "report.html" in done.stdout
    again = run("compare", rows, "--target", "kind", "--groups", "who", *FEW, "-o", tmp_path / "o")
    assert "8 of them done before" in again.stdout
    other = run("compare", rows, "--target", "kind", *FEW, "-o", tmp_path / "o")
    assert other.exit_code == 2
    assert "--overwrite" in other.stderr


def test_json_for_programs(run, rows):
    found = json.loads(run("compare", rows, "--target", "kind", *FEW, "--json").stdout)
    assert found["comparison"]["metric"] == "accuracy"
    assert {m["name"] for m in found["comparison"]["models"]} == {
        "only a",
        "only b",
        "concatenation",
        "late-mean",
    }
    assert found["output"] is None
    rows = json.loads(run("compare", rows, "--target", "kind", *FEW, "--intervals", "rows", "--json").stdout)
    assert "not other training rows" in rows["comparison"]["interval"]
    assert [m["scores"] for m in rows["comparison"]["models"]] == [
        m["scores"] for m in found["comparison"]["models"]
    ]


def test_folders_and_arrays(run, shapes, tmp_path, rng):
    done = run(
        "compare",
        shapes,
        "--target",
        "shape",
        "--split",
        "split",
        *FEW,
        "--only",
        "image,text",
        "--image-size",
        8,
    )
    assert done.exit_code == 0, done.stderr
    assert "One given split (50 rows to learn from, 10 to test on" in done.stdout
    y = np.arange(40) % 2
    np.savez(tmp_path / "d.npz", a=rng.normal(size=(40, 2)) + y[:, None], b=rng.normal(size=(40, 3)), y=y)
    done = run("compare", tmp_path / "d.npz", "--target", "y", *FEW)
    assert "AUC [95 %]" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target", "knd"), "Did you mean 'kind'"),
        ((), "--target COLUMN"),
        (("--target", "kind", "--methods", "tensr"), "Did you mean 'tensor'"),
        (("--target", "kind", "--task", "guess"), "--task is auto"),
        (("--target", "kind", "--intervals", "guess"), "--intervals is splits or rows"),
        (("--target", "kind", "--noise", "loud"), "--noise is a list of numbers"),
        (("--target", "kind", "--missing", "0,2"), "Rates of missing cells"),
        (("--target", "kind", "--noise", "1,2"), "Levels of noise rise from 0"),
        (("--target", "kind", "--only", "a"), "at least two modalities"),
    ],
)
def test_what_is_refused(run, rows, options, said):
    done = run("compare", rows, *options)
    assert done.exit_code == 2
    assert said in done.stderr


def test_lists_of_numbers():
    assert numbers("0, .2,0.5", "--missing") == (0.0, 0.2, 0.5)
    assert numbers("", "--missing") == ()
    with pytest.raises(ConfigError, match="--missing"):
        numbers("a", "--missing")


def test_progress_is_silent_where_nobody_looks(capsys):
    with Progress() as shown:
        shown.step(type("R", (), {"error": "", "model": "m"})(), 1, 4)
    assert capsys.readouterr().err == ""

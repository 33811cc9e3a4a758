"""`align` from the shell."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.fixture
def tables(tmp_path):
    """One movement twice, at 10 and at 20 rows a second."""
    for name, rate, n in (("a", 10, 40), ("b", 20, 80)):
        t = np.arange(n) / rate
        values = np.c_[t, np.sin(2 * t), np.cos(3 * t)]
        np.savetxt(
            tmp_path / f"{name}.csv", values, delimiter=",", header="time,x,y", comments="", fmt="%.5f"
        )
    return tmp_path / "a.csv", tmp_path / "b.csv"


def test_a_summary_for_people(run, tables, tmp_path):
    done = run("align", *tables, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "Aligned 40 frames" in done.stdout
    assert "by DTW()" in done.stdout
    assert "every feature has mean 0 and deviation 1, in each file (the default" in done.stdout
    assert "tempo 1.0" in done.stdout
    assert "seconds of b per second of a" in done.stdout
    assert "100 % of a and 100 % of b" in done.stdout
    assert "..." in done.stdout
    assert "matches.csv, alignment.json, path.png, matches.png" in done.stdout
    again = run("align", *tables, "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert run("align", *tables, "-o", tmp_path / "out", "--overwrite").exit_code == 0


def test_json_for_programs(run, tables, tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text("seconds_a,seconds_b\n1,1\n2,2\n3,3\n")
    done = run(
        "align", *tables, "--truth", truth, "--tolerance", 0.1, "--metric", "cityblock", "--step", "symmetric2",
        "--window", "0.5s", "--normalise", "none", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["method"] == "dtw"
    assert found["error"]["worst"] <= 0.1
    assert found["error"]["within"] == 1.0
    assert (found["rate_a"], found["rate_b"]) == (10.0, 20.0)
    assert "SakoeChiba(radius=10, slanted=True)" in found["settings"]
    assert found["output"] is None


def test_the_truth_is_told(run, tables, tmp_path):
    (tmp_path / "truth.csv").write_text("index_a,index_b\n0,0\n20,40\n")
    done = run("align", *tables, "--truth", tmp_path / "truth.csv")
    assert "Against the truth: mean " in done.stdout
    assert "With -o FOLDER" in done.stdout


def test_soft_dtw_and_other_parameters(run, tables):
    done = run("align", *tables, "--method", "soft_dtw", "--gamma", 0.1, "--json")
    assert json.loads(done.stdout)["settings"] == "SoftDTW(gamma=0.1)"
    done = run("align", *tables, "--method", "transport", "-s", "epsilon=0.5", "--json")
    assert "epsilon=0.5" in json.loads(done.stdout)["settings"]


def test_texts(run, tmp_path):
    (tmp_path / "de.txt").write_text("das Haus\ndas Buch\nein Buch\n")
    (tmp_path / "en.txt").write_text("the house\nthe book\na book\n")
    done = run("align", tmp_path / "de.txt", tmp_path / "en.txt", "--method", "ibm1", "-s", "n_iter=30")
    assert done.exit_code == 0, done.stderr
    assert "0: das-the Haus-house" in done.stdout
    assert "learned from 3 sentence pairs" in done.stdout
    assert "per word of b" in done.stdout
    alone = run("align", tmp_path / "de.txt", tmp_path / "en.txt", "--train-a", tmp_path / "de.txt")
    assert alone.exit_code == 2
    assert "go together" in alone.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "dtv"), "Did you mean 'dtw'"),
        (("--normalise", "z"), "--normalise is one of"),
        (("--window", "x"), "--window is frames of b"),
        (("--hop-seconds", "0"), "--hop-seconds is"),
        (("--metric", "far"), "far"),
        (("--method", "soft_dtw", "--gamma", "-1"), "gamma"),
        (("-s", "radius=3"), "dtw has no parameter 'radius'"),
        (("--truth", "no.csv"), "does not exist"),
    ],
)
def test_refusals_are_sentences(run, tables, options, says):
    done = run("align", *tables, *options)
    assert done.exit_code == 2, done.stderr
    assert says in done.stderr
    assert "should not have happened" not in done.stderr
    told = json.loads(run("align", *tables, *options, "--json").stderr)
    assert says in told["error"]["message"]

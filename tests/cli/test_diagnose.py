"""`diagnose` from the shell."""

import json

import numpy as np
import pytest


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=60)
    values = rng.normal(size=(60, 4)) + 2 * y[:, None] * [1, 0, 0, 0]
    lines = ["a1,a2,b1,b2,who,answer"]
    for i, (row, c) in enumerate(zip(values, y, strict=True)):
        lines.append(",".join(f"{v:.4f}" for v in row) + f",p{i % 30},{'yes' if c else 'no'}")
    place = tmp_path / "t.csv"
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


READ = ("-m", "a=a1,a2", "-m", "b=b1,b2", "--target", "answer")


@pytest.fixture
def quick(monkeypatch):
    from polymodal.commands import diagnosing

    made = diagnosing.Effort
    monkeypatch.setattr(
        diagnosing, "Effort", lambda rows: made(rows, steps=5, permutations=19, resamples=5, folds=2)
    )


def test_a_summary_for_people_and_a_page(run, table, tmp_path, quick):
    done = run("diagnose", table, *READ, "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.stderr
    assert "Use a alone" in done.stdout
    assert "60 of 60 rows, 60 held out by themselves; answer is a class" in done.stdout
    assert "What these data cannot tell:" in done.stdout
    assert f"The report with pictures: {tmp_path / 'r.html'}" in done.stdout
    assert "s] reading the data" in done.stderr
    assert "a and b: information" in done.stderr
    assert (tmp_path / "r.html").stat().st_size > 20_000
    again = run("diagnose", table, *READ, "-o", tmp_path / "r.html")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_json_for_programs(run, table, quick):
    done = run("diagnose", table, *READ, "--groups", "who", "--json")
    found = json.loads(done.stdout)
    assert found["understanding"]["units"] == 30
    assert found["recommendation"]["verdict"] == "one modality"
    assert found["output"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--target COLUMN"),
        (("--target", "answr"), "Did you mean 'answer'"),
        (("--target", "answer", "--task", "both"), "--task is auto"),
        (("--target", "answer", "--task", "regression"), "holds texts"),
        (("--target", "answer", "--groups", "nobody"), "no metadata column 'nobody'"),
        (("--target", "answer", "--only", "c"), "c"),
    ],
)
def test_refusals_are_sentences(run, table, options, says):
    done = run("diagnose", table, "-m", "a=a1,a2", "-m", "b=b1,b2", *options)
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_one_class_is_refused_with_a_sentence(run, table):
    table.write_text(table.read_text().replace(",yes", ",no"))
    done = run("diagnose", table, *READ)
    assert done.exit_code == 2
    assert "has one value (no) on all 60 rows" in done.stderr

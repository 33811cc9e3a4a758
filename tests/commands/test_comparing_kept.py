"""Runs on disk."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.commands.comparing_kept import RUNS_FILE, KeptRuns, fingerprint
from polymodal.core.errors import ConfigError
from polymodal.evaluation.answers import Answers
from polymodal.evaluation.model_runs import Run


def run(name):
    return Run(
        name, 0, {"accuracy": 0.5}, Answers(np.array([[1.0], [0.0]]), np.empty(0)), 0.1, float("nan"), 7
    )


def test_runs_come_back(tmp_path):
    first = KeptRuns(tmp_path, "mark")
    assert first.runs == []
    first.add(run("ä"))
    first.add(run("b"))
    again = KeptRuns(tmp_path, "mark")
    assert [r.model for r in again.runs] == ["ä", "b"]
    np.testing.assert_array_equal(again.runs[0].answers.predicted, [[1.0], [0.0]])


def test_a_torn_last_line_is_dropped(tmp_path):
    kept = KeptRuns(tmp_path, "mark")
    kept.add(run("a"))
    with (tmp_path / RUNS_FILE).open("a") as file:
        file.write('{"model": "b", "spl')
    again = KeptRuns(tmp_path, "mark")
    assert [r.model for r in again.runs] == ["a"]
    again.add(run("c"))
    assert [r.model for r in KeptRuns(tmp_path, "mark").runs] == ["a", "c"]


def test_a_run_that_two_processes_wrote_counts_once(tmp_path):
    kept = KeptRuns(tmp_path, "mark")
    kept.add(run("a"))
    kept.add(run("a"))
    assert [r.model for r in KeptRuns(tmp_path, "mark").runs] == ["a"]


def test_another_comparison_is_never_mixed_in(tmp_path):
    KeptRuns(tmp_path, "mark")
    with pytest.raises(ConfigError, match="another comparison"):
        KeptRuns(tmp_path, "other")


def test_without_a_folder_nothing_is_kept():
    kept = KeptRuns(None, "mark")
    kept.add(run("a"))
    assert kept.runs == []


def test_what_a_mark_depends_on():
    a = np.arange(3)
    assert fingerprint(a, "x") == fingerprint(np.arange(3), "x")
    assert len({fingerprint(a, "x"), fingerprint(a + 1, "x"), fingerprint(a, "y"), fingerprint("x", a)}) == 4

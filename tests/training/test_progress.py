import io
import sys
from typing import Any

import pytest

import polymodal.training.progress as progress
from polymodal.training import Progress, Training, report_progress, train
from polymodal.training.progress import progress_reports


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_listener_hears_every_step(problem: Any) -> None:
    heard: list[Progress] = []
    with report_progress(heard.append):
        train(
            problem.module(),
            problem.loss,
            problem.data,
            **problem.arguments(),
            options=Training(max_epochs=2, batch_size=20),
            random_state=0,
        )
    assert [(p.done, p.total, p.epoch) for p in heard] == [(i, 6, 1 + (i - 1) // 3) for i in range(1, 7)]
    assert all(p.loss > 0 for p in heard)


def test_nothing_is_shown_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_reports("Training", None) as report:
        report(Progress(1, 2, 1, 0.5))
    assert capsys.readouterr() == ("", "")


def test_lines_for_logs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    with progress_reports("Training", True) as report:
        report(Progress(1, 2, 1, 0.5))
    assert capsys.readouterr().err == "Training: 50 %, epoch 1, loss 0.5000\n"


def test_a_bar_appears_after_two_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_reports("Training", None) as report:
        report(Progress(1, 2, 1, 0.5))
        assert stream.getvalue() == ""
        monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
        monkeypatch.setenv("TERM", "xterm")
        report(Progress(1, 2, 1, 0.5))
        report(Progress(2, 2, 2, 0.25))
    assert "loss 0.2500" in stream.getvalue()

"""Whatever goes wrong becomes one sentence and an exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer

from polymodal.cli.answering import answering, emit, plain, waiting
from polymodal.core.errors import DataError, MissingDependencyError, ModalityError, StoreError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataError("The file x does not exist."), 2, "Error: The file x does not exist."),
        (ModalityError("needs 'text'"), 2, "Error: needs 'text'"),
        (StoreError("The disk is full."), 1, "Error: The disk is full."),
        (MissingDependencyError("pip install y"), 1, "pip install y"),
        (PermissionError(13, "Permission denied", "/x"), 1, "The system refused"),
        (MemoryError(), 1, "memory"),
        (ZeroDivisionError("oops"), 1, "This should not have happened (ZeroDivisionError: oops)"),
        (KeyboardInterrupt(), 130, "Stopped by Ctrl-C. What was there before is as it was. Go on."),
    ],
)
def test_sentences_and_codes(capsys, error, code, text) -> None:
    with pytest.raises(typer.Exit) as caught, answering(after_interrupt=" Go on."):
        raise error
    assert caught.value.exit_code == code
    written = capsys.readouterr()
    assert text in written.err
    assert written.out == ""
    assert "Traceback" not in written.err


def test_python_words_get_their_option(capsys) -> None:
    with pytest.raises(typer.Exit), answering():
        raise ModalityError("Use data.complete().")
    assert "(Here: --complete.)" in capsys.readouterr().err


def test_json_and_debug(capsys, monkeypatch) -> None:
    with pytest.raises(typer.Exit), answering(as_json=True):
        raise DataError("no")
    assert json.loads(capsys.readouterr().err) == {"error": {"kind": "DataError", "message": "no"}}
    monkeypatch.setenv("POLYMODAL_DEBUG", "1")
    with pytest.raises(typer.Exit), answering():
        raise DataError("no")
    assert "Traceback" in capsys.readouterr().err


def test_what_json_can_hold(capsys) -> None:
    class Result:
        def to_dict(self):
            return {"a": np.float32(0.5), "b": (1, float("nan")), "c": np.arange(2), "d": {1: None}}

    assert emit(Result(), True)
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": [1, None], "c": [0, 1], "d": {"1": None}}
    assert not emit(Result(), False)
    assert plain({3}) == [3]


def test_no_spinner_without_a_terminal(capsys) -> None:
    with waiting("Reading"):
        pass
    assert capsys.readouterr().err == ""

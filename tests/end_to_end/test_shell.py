"""A user's first half hour: describe, fit, evaluate, index, search; and, in real processes, kills, Ctrl-C and two writers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from polymodal.cli.app import app

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(*args: object) -> subprocess.Popen[str]:
    """A command that runs beside this test."""
    # where tests run in the background Ctrl-C is ignored, and a child would inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "polymodal", *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ONE_THREAD,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said on the error stream."""
    try:
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert "Traceback" not in stderr
    return process.returncode, stderr


def until(process: subprocess.Popen[str], there: Callable[[], object]) -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + 60
    while not there() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)


def shell(*args: object, code: int = 0) -> str:
    """A command in this process: its output, or what it says on the error stream where it fails."""
    done = CliRunner().invoke(app, [str(a) for a in args], prog_name="polymodal", catch_exceptions=False)
    assert done.exit_code == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> Path:
    """Two related modalities of vectors: read in no time."""
    draws = np.random.default_rng(0)
    a = draws.normal(size=(200, 8))
    place = tmp_path_factory.mktemp("made") / "arrays.npz"
    np.savez(place, a=a, b=a[:, :5] + 0.1 * draws.normal(size=(200, 5)))
    return place


@pytest.fixture(scope="module")
def model(arrays) -> Path:
    """The arrays, by CCA."""
    shell("fit", arrays, "--method", "cca", "-o", arrays.parent / "model")
    return arrays.parent / "model"


@pytest.mark.slow
def test_from_a_folder_to_answers(shapes, tmp_path) -> None:
    assert "60 rows" in shell("describe", shapes)
    model, index = tmp_path / "model", tmp_path / "index"
    shell(
        "fit",
        shapes,
        "--method",
        "cca",
        "--only",
        "image,text",
        "-s",
        "n_components=4",
        "-s",
        "reg=0.5",
        "--split",
        "split",
        "-o",
        model,
    )
    assert "held out" in shell("evaluate", model, shapes)
    shell("index", model, shapes, "-o", index)
    hits = json.loads(shell("search", index, "--text", "a red circle number 0", "-k", "5", "--json"))["hits"]
    assert sum("red" in hit["metadata"]["text"] for hit in hits) >= 3
    assert "Error:" in shell("search", index, "--audio", "x.wav", code=2)


@pytest.mark.slow
def test_ctrl_c_while_training_leaves_a_checkpoint_and_no_model(arrays, tmp_path) -> None:
    process = start("fit", arrays, "--method", "clip", "--epochs", "5000",
                    "--checkpoint", tmp_path / "steps", "-o", tmp_path / "model")  # fmt: skip
    until(process, lambda: list(tmp_path.glob("steps/epoch-*")))
    process.send_signal(signal.SIGINT)
    code, stderr = ends(process)
    assert code == 130
    assert "Stopped by Ctrl-C" in stderr
    assert "goes on from" in stderr
    assert (tmp_path / "steps").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_model(arrays, tmp_path) -> None:
    def fit(name: str) -> tuple[object, ...]:
        return ("fit", arrays, "--method", "clip", "--epochs", "25",
                "--checkpoint", tmp_path / f"{name}.steps", "-o", tmp_path / name)  # fmt: skip

    whole, cut = start(*fit("whole")), start(*fit("cut"))
    until(cut, lambda: list(tmp_path.glob("cut.steps/epoch-*")))
    cut.kill()  # SIGKILL: nothing can be tidied up
    cut.communicate()
    assert not (tmp_path / "cut").exists()
    assert ends(start(*fit("cut")))[0] == 0
    assert ends(whole)[0] == 0
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_ctrl_c_while_indexing_leaves_nothing(model, arrays, tmp_path) -> None:
    process = start("index", model, arrays, "-o", tmp_path / "index")
    until(process, lambda: list(tmp_path.glob(".index.*")))
    process.send_signal(signal.SIGINT)
    code, stderr = ends(process)
    assert code == 130
    assert "Stopped by Ctrl-C" in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "index"])
def test_two_processes_write_one_place(model, arrays, tmp_path, command: str) -> None:
    place = tmp_path / "made"
    args = ("index", model, arrays, "-o", place) if command == "index" else ("fit", arrays, "--method", "cca", "-o", place)  # fmt: skip
    answers = [ends(process) for process in (start(*args), start(*args))]
    assert 0 in [code for code, _ in answers]
    for code, stderr in answers:
        assert code == 0 or f"{place}" in stderr, stderr  # the second is told, whenever it noticed
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    if command == "index":
        assert len(json.loads(shell("search", place, "--row", "3", "-k", "3", "--json"))["hits"]) == 3
    else:
        assert json.loads(shell("evaluate", place, arrays, "--json"))["rows"] == 200


def test_streams_that_are_closed_or_cannot_write_a_letter() -> None:
    command = [sys.executable, "-m", "polymodal", "describe", "/سلام"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 2
    assert "/\\u0633" in done.stderr
    quiet = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m polymodal --version >&- <&-', sys.executable], check=False
    )
    assert quiet.returncode == 0


@pytest.mark.slow
def test_real_pictures_and_names(real_data, tmp_path) -> None:
    data, model = real_data / "emoji_image_text", tmp_path / "model"
    shell("fit", data, "--method", "cca", "--modality", "text=caption,tags,keywords", "--image-size", "32",
          "-s", "n_components=40", "-s", "reg=0.3", "--split", "split", "-o", model)  # fmt: skip
    answer = json.loads(shell("evaluate", model, data, "--rows", "split=test", "--json"))
    scores = {(s["query"], s["target"]): s for s in answer["retrieval"]["scores"]}
    assert scores["image", "text"]["any_hit"]["1"]["value"] > 0.15  # chance .008
    assert scores["image", "text"]["any_hit"]["5"]["value"] > 0.40

"""A user's first half hour, in real processes: describe, fit, evaluate, index, search; and a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def shell(*args: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "polymodal", *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


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
    assert "Traceback" in shell("search", index, "--audio", "x.wav", "--debug", code=2)


@pytest.mark.slow
def test_ctrl_c_while_training_leaves_a_checkpoint_and_no_model(shapes, tmp_path) -> None:
    command = [sys.executable, "-m", "polymodal", "fit", str(shapes), "--method", "clip", "--only", "image,text", "--epochs", "5000",
               "--checkpoint", str(tmp_path / "steps"), "-o", str(tmp_path / "model")]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "steps").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "Stopped by Ctrl-C" in stderr
    assert "goes on from" in stderr
    assert (tmp_path / "steps").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_real_pictures_and_names(real_data, tmp_path) -> None:
    data, model = real_data / "emoji_image_text", tmp_path / "model"
    shell("fit", data, "--method", "cca", "--modality", "text=caption,tags,keywords", "--image-size", "32",
          "-s", "n_components=40", "-s", "reg=0.3", "--split", "split", "-o", model)  # fmt: skip
    answer = json.loads(shell("evaluate", model, data, "--rows", "split=test", "--json"))
    scores = {(s["query"], s["target"]): s for s in answer["retrieval"]["scores"]}
    assert scores["image", "text"]["any_hit"]["1"]["value"] > 0.15  # chance .008
    assert scores["image", "text"]["any_hit"]["5"]["value"] > 0.40

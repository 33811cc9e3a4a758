"""`polymodal align` in processes of their own: two recordings, and a kill in the middle."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def start(*args):
    return subprocess.Popen(
        [sys.executable, "-m", "polymodal", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def test_two_recordings(tmp_path):
    t = np.arange(16_000) / 8000
    for name, speed in (("langsam", 1.0), ("schnell", 1.25)):
        sound = 0.5 * np.sin(2 * np.pi * (200 * t + 40 * np.sin(3 * t * speed)) * speed) * (t < 2 / speed)
        soundfile.write(tmp_path / f"{name}.wav", sound[: int(16_000 / speed)], 8000)
    process = start(
        "align", tmp_path / "langsam.wav", tmp_path / "schnell.wav", "-o", tmp_path / "paare", "--json"
    )
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert stderr == ""
    summary = json.loads(stdout)
    assert summary["tempo"] == pytest.approx(0.8, abs=0.1)
    rows = list(csv.DictReader((tmp_path / "paare" / "matches.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == summary["n_matches"]
    assert sorted(p.name for p in (tmp_path / "paare").iterdir()) == sorted(summary["files"])


def test_a_kill_leaves_no_result_that_looks_whole(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", rng.normal(size=600))
    process = start("align", tmp_path / "a.npy", tmp_path / "b.npy", "-o", tmp_path / "out")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert list(tmp_path.glob(".out.*"))  # killed while it wrote
    assert not (tmp_path / "out").exists()

"""`polymodal diagnose` in a process of its own, on twelve rows: it answers, and refuses to conclude."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np


def test_twelve_rows_conclude_nothing(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["text,x1,x2,y"]
    lines += [
        f"a {'good' if i % 2 else 'bad'} day,{rng.normal():.3f},{rng.normal():.3f},{i % 2}" for i in range(12)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "polymodal", "diagnose", "t.csv", "-m", "text=text", "-m", "x=x1,x2", "--target", "y",
         "-o", "r.html", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["recommendation"]["verdict"] == "too few rows"
    assert "12 independent rows are too few" in found["recommendation"]["sentence"]
    assert found["recommendation"]["use"] == []
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("drawing the report")
    assert "No conclusion" in (tmp_path / "r.html").read_text(encoding="utf-8")

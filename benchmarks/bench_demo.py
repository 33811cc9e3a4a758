"""The demo as a whole: wall time, peak memory, and what it found."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Row, command_line, row


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "demo"
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "polymodal.cli", "demo", "-o", str(target), "--json"],
            check=True,
            capture_output=True,
        )
        wall = time.perf_counter() - begin
        found = json.loads((target / "demo.json").read_text("utf-8"))
    scores = {(s["query"], s["target"]): s["any_hit"] for s in found["retrieval"]["scores"]}
    hits = scores["name", "picture + outline"]
    mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        row(
            work="polymodal demo, whole",
            ours={"seconds": wall, "mib": mib},
            peer_name="four minutes",
            peer={"seconds": 240.0},
            agreement=f"name -> picture + outline R@1 {hits['1']['value']:.3f}, R@10 {hits['10']['value']:.3f}",
        )
    ]


if __name__ == "__main__":
    command_line(run)

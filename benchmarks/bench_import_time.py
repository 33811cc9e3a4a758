"""What `import polymodal` and `polymodal --help` cost, beside numpy alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from measuring import Row, command_line, row


def seconds(command: list[str], repeats: int = 5) -> tuple[float, float]:
    """Median wall time of a whole process, and its largest peak memory in MiB."""
    times, peaks = [], []
    for _ in range(repeats + 1):  # the first run warms the disk's cache
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{command} failed")
        times.append(time.perf_counter() - begin)
        peaks.append(usage.ru_maxrss / 1024)
    return sorted(times[1:])[repeats // 2], max(peaks)


def run() -> list[Row]:
    python = sys.executable
    bare, _ = seconds([python, "-c", "pass"])
    numpy, numpy_mib = seconds([python, "-c", "import numpy"])
    rows = []
    for work, command in {
        "import polymodal": [python, "-c", "import polymodal"],
        "polymodal --help": [python, "-m", "polymodal.cli", "--help"],
    }.items():
        ours, mib = seconds(command)
        rows.append(
            row(
                work=work,
                ours={"seconds": ours - bare, "mib": mib},
                peer_name="import numpy",
                peer={"seconds": numpy - bare, "mib": numpy_mib},
                agreement="seconds beyond a bare interpreter",
            )
        )
    return rows


if __name__ == "__main__":
    command_line(run)

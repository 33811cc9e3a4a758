"""Every benchmark, side by side with named peers: `make bench`. One table, and benchmarks/results/*.json.

Peers live in environments of their own (`.venv-bench`, and one more for peers that need other versions of numpy), so
that ours stays what users install. A peer that cannot be installed is said to be absent, and the rest still runs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

from measuring import COLUMNS, Row, table

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PARTS = (
    "cca",
    "gcca",
    "kernel_cca",
    "deep_cca",
    "info_nce",
    "gradient_cache",
    "dtw",
    "soft_dtw",
    "hmm",
    "transport",
    "search",
    "tensor_fusion",
    "vit",
    "mkl",
    "vae",
    "private_vae",
    "broja",
    "ksg",
    "import_time",
    "demo",
)
PEERLESS = {
    "info_nce",
    "gradient_cache",
    "search",
    "tensor_fusion",
    "vit",
    "ksg",
    "import_time",
    "demo",
}  # their peers are formulas, or come with polymodal
ENVIRONMENTS = {
    "POLYMODAL_BENCH_PYTHON": (
        ".venv-bench",
        [
            "cca-zoo",
            "statsmodels",
            "scikit-learn",
            "dtaidistance",
            "tslearn",
            "dtw-python",
            "hmmlearn",
            "POT",
            "geomloss",
            "MKLpy",
            "multivae",
        ],
    ),
    "POLYMODAL_BENCH_AEON_PYTHON": (".venv-bench-aeon", ["aeon"]),  # wants another numpy
    "POLYMODAL_BENCH_DIT_PYTHON": (".venv-bench-dit", ["dit", "cvxpy", "clarabel"]),
}


def prepare() -> None:
    """Environments with the peers, made once; one that the caller names is used as it is."""
    for variable, (name, packages) in ENVIRONMENTS.items():
        if variable in os.environ:
            continue
        python = ROOT / name / "bin" / "python"
        os.environ[variable] = str(python)
        if not python.exists():
            print(f"Preparing {name} with {', '.join(packages)} ...", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(ROOT / name)], check=True)
            constraint = ["-c", str(ROOT / "constraints.txt")] if name == ".venv-bench" else []
            for package in packages:
                done = subprocess.run(
                    [str(python), "-m", "pip", "install", "-q", *constraint, package], check=False
                )
                if done.returncode:
                    print(f"{package} cannot be installed here; its rows will say so.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", default=list(PARTS), help=f"some of {', '.join(PARTS)}; all by default"
    )
    chosen = parser.parse_args().parts
    if set(chosen) - PEERLESS:
        prepare()
    RESULTS.mkdir(exist_ok=True)
    rows: list[Row] = []
    for part in chosen:
        print(f"\n## {part}", flush=True)
        found = importlib.import_module(f"bench_{part}").run()
        (RESULTS / f"{part}.json").write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
        print(table(found), flush=True)
        rows += found
    print("\n## all\n" + table(rows, COLUMNS))
    (RESULTS / "table.md").write_text(table(rows, COLUMNS) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

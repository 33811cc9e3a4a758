"""Tensor fusion, forward and backward: the outer product with one linear layer (the published way) beside the contraction.

Every contender runs in a process of its own on the same seeded inputs and coefficients. Seconds are processor seconds on one
thread (best of five), MiB the peak above inputs and coefficients (their gradient included in both), agreement the largest relative
difference of output and gradients.

    python benchmarks/bench_tensor_fusion.py
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# rows, features of each modality, components
WORK = [
    (256, (32, 32, 32), 32),
    (256, (64, 64, 64), 32),
    (1024, (32, 32, 32), 128),
    (1024, (128, 128), 64),
    (256, (8, 8, 8, 8, 8), 32),
]


def run() -> list[dict[str, Any]]:
    rows = []
    for n, dims, k in WORK:
        with tempfile.TemporaryDirectory() as folder:
            ours, peer = (measure(who, n, dims, k, Path(folder)) for who in ("ours", "peer"))
            ratio = compare(Path(folder))
        rows.append(
            {
                "work": f"tensor fusion, {n} rows, {' x '.join(map(str, dims))} -> {k}",
                "ours_s": ours["seconds"],
                "peer": "outer product, linear layer",
                "peer_s": peer["seconds"],
                "ratio": peer["seconds"] / ours["seconds"],
                "ours_mib": ours["mib"],
                "peer_mib": peer["mib"],
                "agreement": f"{ratio:.1e}",
            }
        )
    return rows


def measure(who: str, n: int, dims: tuple[int, ...], k: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, who, json.dumps([n, dims, k]), str(folder / f"{who}.npz")]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(folder: Path) -> float:
    a, b = (np.load(folder / f"{who}.npz") for who in ("ours", "peer"))
    return max(float(np.abs(a[key] - b[key]).max() / np.abs(b[key]).max()) for key in a.files)


def contender(who: str, n: int, dims: list[int], k: int, result: Path) -> dict[str, float]:
    import torch

    from polymodal.fusion import outer_product, tensor_contract

    torch.manual_seed(0)
    vectors = [torch.nn.functional.pad(torch.randn(n, d), (0, 1), value=1.0).requires_grad_() for d in dims]
    weight = torch.randn(k, *(d + 1 for d in dims)).requires_grad_()
    weight.grad = torch.zeros_like(weight)

    def once() -> torch.Tensor:
        if who == "ours":
            out = tensor_contract(vectors, weight)
        else:
            out = torch.nn.functional.linear(outer_product(vectors), weight.flatten(1))
        out.pow(2).mean().backward()
        return out

    small = [v[:1] for v in vectors]
    tensor_contract(small, weight)  # what loading the routines costs is not measured
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out = once()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    np.savez(
        result,
        out=out.detach().numpy(),
        first=vectors[0].grad.numpy(),
        weight=weight.grad.flatten()[:100_000].numpy(),
    )
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        once()
        seconds.append(time.process_time() - begin)
    return {"seconds": min(seconds), "mib": peak / 1024}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(contender(sys.argv[1], *json.loads(sys.argv[2]), Path(sys.argv[3]))))
    else:
        for row in run():
            print(row)

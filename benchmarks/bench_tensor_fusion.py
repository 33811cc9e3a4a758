"""Tensor fusion, forward and backward: the outer product with one linear layer (the published way) beside the contraction,
and low-rank fusion beside the same outer product with the same coefficients written out, by number of modalities and width.

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
from collections.abc import Callable
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
RANK = 4
LOW_RANK_WORK = [
    (256, (32, 32), 32),
    (256, (128, 128), 32),
    (256, (16, 16, 16), 32),
    (256, (32, 32, 32), 32),
    (256, (64, 64, 64), 32),
    (256, (8, 8, 8, 8), 32),
    (256, (16, 16, 16, 16), 32),
    (256, (8, 8, 8, 8, 8), 32),
]


def run() -> list[dict[str, Any]]:
    rows = []
    cases = [("tensor", "ours", "peer", work) for work in WORK]
    cases += [("low-rank", "low rank", "written out", work) for work in LOW_RANK_WORK]
    for name, first, second, (n, dims, k) in cases:
        with tempfile.TemporaryDirectory() as folder:
            ours, peer = (measure(who, n, dims, k, Path(folder)) for who in (first, second))
            ratio = compare(Path(folder), first, second)
        rows.append(
            {
                "work": f"{name} fusion, {n} rows, {' x '.join(map(str, dims))} -> {k}",
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


def compare(folder: Path, first: str, second: str) -> float:
    a, b = (np.load(folder / f"{who}.npz") for who in (first, second))
    return max(float(np.abs(a[key] - b[key]).max() / np.abs(b[key]).max()) for key in a.files)


def contender(who: str, n: int, dims: list[int], k: int, result: Path) -> dict[str, float]:
    import torch

    from polymodal.fusion import LowRankLayer, low_rank_to_tensor, outer_product, tensor_contract

    torch.manual_seed(0)
    if who in ("low rank", "written out"):
        names = [f"m{i}" for i in range(len(dims))]
        layer = LowRankLayer(dict(zip(names, dims, strict=True)), k, RANK)
        inputs = {name: torch.randn(n, d).requires_grad_() for name, d in zip(names, dims, strict=True)}
        coefficients = result.parent / "coefficients.npy"

        def low_rank() -> torch.Tensor:
            out = layer(inputs)
            out.pow(2).mean().backward()
            return out

        layer({name: value[:1] for name, value in inputs.items()})
        if who == "low rank":
            found = clocked(low_rank, inputs[names[0]], None, result)
            np.save(coefficients, low_rank_to_tensor(layer).weight.detach().flatten(1).numpy())
            return found
        weight = torch.from_numpy(np.load(coefficients)).requires_grad_()
        weight.grad = torch.zeros_like(weight)

        def written_out() -> torch.Tensor:
            ones = [torch.nn.functional.pad(value, (0, 1), value=1.0) for value in inputs.values()]
            out = torch.nn.functional.linear(outer_product(ones), weight)
            out.pow(2).mean().backward()
            return out

        return clocked(written_out, inputs[names[0]], None, result)

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

    tensor_contract([v[:1] for v in vectors], weight)  # what loading the routines costs is not measured
    return clocked(once, vectors[0], weight, result)


def clocked(once: Callable[[], Any], first: Any, weight: Any, result: Path) -> dict[str, float]:
    """Peak memory and results of the first run, processor seconds of the best of five more."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out = once()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found = {"out": out.detach().numpy(), "first": first.grad.numpy()}
    if weight is not None:
        found["weight"] = weight.grad.flatten()[:100_000].numpy()
    np.savez(result, **found)
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

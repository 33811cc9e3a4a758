"""Tensor fusion, forward and backward: the outer product with one linear layer (the published way) beside the contraction,
and low-rank fusion beside the same outer product with the same coefficients written out, by number of modalities and width.

Every contender runs in a process of its own on the same seeded inputs and coefficients. Seconds are processor seconds on one
thread (best of five), MiB the peak above inputs and coefficients (their gradient included in both), agreement the largest relative
difference of output and gradients.

    python benchmarks/bench_tensor_fusion.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend, present, row

RANK = 4
# method, rows, features of each modality, components
WORKS = [
    ("tensor", 256, (32, 32, 32), 32),
    ("tensor", 256, (64, 64, 64), 32),
    ("tensor", 1024, (32, 32, 32), 128),
    ("tensor", 1024, (128, 128), 64),
    ("tensor", 256, (8, 8, 8, 8, 8), 32),
    ("low-rank", 256, (32, 32), 32),
    ("low-rank", 256, (128, 128), 32),
    ("low-rank", 256, (16, 16, 16), 32),
    ("low-rank", 256, (32, 32, 32), 32),
    ("low-rank", 256, (64, 64, 64), 32),
    ("low-rank", 256, (8, 8, 8, 8), 32),
    ("low-rank", 256, (16, 16, 16, 16), 32),
    ("low-rank", 256, (8, 8, 8, 8, 8), 32),
]
CONTENDERS = {"tensor": ("ours", "peer"), "low-rank": ("low rank", "written out")}


def run(works: Sequence[tuple[str, int, tuple[int, ...], int]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    rows = []
    for method, n, dims, k in works:
        with tempfile.TemporaryDirectory() as folder:
            files = {who: f"{folder}/{who}.npz" for who in CONTENDERS[method]}
            ours, peer = (
                present(contend(__file__, who, n, dims, k, file)) for who, file in files.items()
            )  # in this order: the second reads the coefficients of the first
            agreement = compare(*files.values())
        rows.append(
            row(
                work=f"{method} fusion, {n} rows, {' x '.join(map(str, dims))} -> {k}",
                ours=ours,
                peer_name="outer product, linear layer",
                peer=peer,
                agreement=agreement,
            )
        )
    return rows


def compare(first: str, second: str) -> float:
    a, b = np.load(first), np.load(second)
    return max(float(np.abs(a[key] - b[key]).max() / np.abs(b[key]).max()) for key in a.files)


def contender(who: str, n: int, dims: tuple[int, ...], k: int, result: str) -> Answer:
    import torch

    from polymodal.fusion import LowRankLayer, low_rank_to_tensor, outer_product, tensor_contract

    torch.manual_seed(0)
    if who in ("low rank", "written out"):
        names = [f"m{i}" for i in range(len(dims))]
        layer = LowRankLayer(dict(zip(names, dims, strict=True)), k, RANK)
        inputs = {name: torch.randn(n, d).requires_grad_() for name, d in zip(names, dims, strict=True)}
        coefficients = Path(result).parent / "coefficients.npy"

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


def clocked(once: Callable[[], Any], first: Any, weight: Any, result: str) -> Answer:
    """Results of the first run, memory and seconds of all."""
    results: dict[str, np.ndarray] = {}

    def work() -> None:
        out = once()
        if not results:
            results.update(out=out.detach().numpy(), first=first.grad.numpy().copy())
            if weight is not None:
                results["weight"] = weight.grad.flatten()[:100_000].numpy().copy()

    figures = best_of(work, repeats=5, enough=60).figures()
    np.savez(result, **results)
    return figures


if __name__ == "__main__":
    command_line(run, contender, WORKS)

"""A contrastive step in chunks (`Training(chunk_size=...)`) beside the same step in one piece, at growing batches.

Prediction, written before measuring: a step in one piece costs one pass forward (F) and one backward (about 2 F); in chunks one
more pass forward, so 4/3 of the time, less what smaller pieces gain in cache. Memory: the graph of one chunk instead of the
batch's, so flat in the batch but for its input and its vectors.

The encoders are the package's defaults for pictures and texts, on random pictures of 32 x 32 x 3 and texts of eight words; the
loss is InfoNCE. Each contender runs in a process of its own; seconds are processor seconds on one thread, best of two; MiB are
the peak above the collated batch.

    python benchmarks/bench_gradient_cache.py             # batches of 256, 1,024 and 4,096
    python benchmarks/bench_gradient_cache.py 512 128     # batch and chunk
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PEER = "the whole batch at once"


def run(sizes: tuple[tuple[int, int], ...] = ((256, 128), (1024, 128), (4096, 128))) -> list[dict[str, Any]]:
    """One row per batch: seconds, memory, and the largest relative difference of loss and gradients."""
    rows = []
    for batch, chunk in sizes:
        ours, peer = _measure(batch, chunk), _measure(batch, 0)
        rows.append(
            {
                "work": f"contrastive step, pictures and texts, batch {batch:,}, chunks of {chunk}",
                "ours_s": ours["seconds"],
                "peer": PEER,
                "peer_s": peer["seconds"],
                "ratio": peer["seconds"] / ours["seconds"],
                "ours_mib": ours["mib"],
                "peer_mib": peer["mib"],
                "agreement": max(
                    abs(x - y) / abs(y) for x, y in zip(ours["answers"], peer["answers"], strict=True)
                ),
            }
        )
    return rows


def _measure(batch: int, chunk: int) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--contender", str(batch), str(chunk)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _contend(rows: int, chunk: int) -> dict[str, Any]:
    from contextlib import nullcontext

    import numpy as np
    import torch

    from polymodal import Modalities
    from polymodal.coordination._contrast import ContrastiveModule, contrastive_loss
    from polymodal.encoders import build_encoders, choose_encoders, prepare_encoders
    from polymodal.nn import Towers
    from polymodal.training import make_batch
    from polymodal.training.gradient_cache import cached_loss

    draws = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    data = Modalities(
        {
            "image": draws.integers(0, 256, (rows, 32, 32, 3)).astype(np.uint8),
            "text": [" ".join(draws.choice(words, 8)) for _ in range(rows)],
        }
    )
    encoders = choose_encoders(None, data)
    torch.manual_seed(0)
    module = ContrastiveModule(Towers(build_encoders(encoders, prepare_encoders(encoders, data), 64))).eval()
    loss = contrastive_loss(data, [("image", "text")])
    whole = make_batch(data, np.arange(rows), module.towers.collates)

    def step(size: int) -> float:
        module.zero_grad(set_to_none=True)
        if not chunk:
            value = loss(module, whole)
            value.backward()
            return value.item()
        value, finish = cached_loss(
            loss, module, whole, chunk_size=size, device=torch.device("cpu"), precision=nullcontext
        )
        value.backward()
        finish()
        return value.item()

    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts here
    before = _status("VmRSS")
    seconds = float("inf")
    for _ in range(2 if rows < 4000 else 1):
        start = time.process_time()
        value = step(chunk)
        seconds = min(seconds, time.process_time() - start)
    mib = (_status("VmHWM") - before) / 1024
    norms = [float(p.grad.norm()) for p in module.parameters() if p.grad is not None]
    return {"seconds": seconds, "mib": mib, "answers": [value, sum(norms), max(norms), float(norms[0])]}


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def main() -> None:
    if sys.argv[1:2] == ["--contender"]:
        print(json.dumps(_contend(int(sys.argv[2]), int(sys.argv[3]))))
        return
    rows = run(((int(sys.argv[1]), int(sys.argv[2])),)) if len(sys.argv) > 2 else run()
    print(
        "| work | in chunks, cpu-s | whole, cpu-s | time, whole / chunks | MiB, chunks | MiB, whole | agreement |"
    )
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r['work']} | {r['ours_s']:.2f} | {r['peer_s']:.2f} | {r['ratio']:.2f} | {r['ours_mib']:.0f} | "
            f"{r['peer_mib']:.0f} | {r['agreement']:.1e} |"
        )


if __name__ == "__main__":
    main()

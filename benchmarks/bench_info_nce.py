"""InfoNCE and the sigmoid loss, forward and backward: in tiles, beside the materialised losses of open_clip (`ClipLoss`, `SigLipLoss`).

open_clip imports torchvision, which is not everywhere; its published formulas are therefore written out here (one process: two
products and two cross-entropies; one product and one log-sigmoid). Each contender runs in a process of its own, on the same seeded
unit vectors; seconds are processor seconds on one thread, best of several; MiB are the peak above the input.

    python benchmarks/bench_info_nce.py            # N = 8,192 and 16,384
    python benchmarks/bench_info_nce.py 4096 512   # N and d
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PEERS = {"InfoNCE": "open_clip ClipLoss (formula)", "sigmoid": "open_clip SigLipLoss (formula)"}
LOG_SCALE = 2.6592600  # ln(1 / 0.07)


def run(sizes: tuple[tuple[int, int], ...] = ((8192, 512), (16384, 512))) -> list[dict[str, Any]]:
    """One row per size: seconds, memory, and the largest relative difference of loss and gradients."""
    rows = []
    for loss, (n, d) in ((loss, size) for loss in PEERS for size in sizes):
        ours, peer = _measure("ours", loss, n, d), _measure("peer", loss, n, d)
        rows.append(
            {
                "work": f"{loss} forward + backward, N = {n:,}, d = {d}",
                "ours_s": ours["seconds"],
                "peer": PEERS[loss],
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


def _measure(who: str, loss: str, n: int, d: int) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--contender", who, loss, str(n), str(d)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _contend(who: str, kind: str, n: int, d: int) -> dict[str, Any]:
    import torch
    from torch.nn import functional

    from polymodal.objectives import info_nce, sigmoid_loss

    def clip_loss(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        per_image, per_text = scale * a @ b.T, scale * b @ a.T
        labels = torch.arange(len(a))
        return (functional.cross_entropy(per_image, labels) + functional.cross_entropy(per_text, labels)) / 2

    def tiled_sigmoid(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return sigmoid_loss(a, b, scale=scale, bias=-10.0)

    def siglip_loss(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        a, b = (
            functional.normalize(a, dim=1),
            functional.normalize(b, dim=1),
        )  # as ours does, and CLIP's encoders
        sign = 2 * torch.eye(len(a)) - 1
        return -functional.logsigmoid(sign * (scale * a @ b.T - 10.0)).sum() / len(a)

    def loss(a: torch.Tensor, b: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
        if kind == "sigmoid":
            return (siglip_loss if who == "peer" else tiled_sigmoid)(a, b, log_scale.exp())
        if who == "peer":
            return clip_loss(a, b, log_scale.exp())
        return info_nce(a, b, temperature=(-log_scale).exp(), normalize=False)

    def inputs(rows: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        a = functional.normalize(torch.randn(rows, d), dim=1)
        b = functional.normalize(a + 0.07 * torch.randn(rows, d), dim=1)
        return [a.requires_grad_(), b.requires_grad_(), torch.tensor(LOG_SCALE).requires_grad_()]

    loss(*inputs(64)).backward()  # loads the kernels
    tensors = inputs(n)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts here
    before = _status("VmRSS")
    seconds, gradients = float("inf"), ()
    for _ in range(3 if n < 12_000 else 2):
        gradients = ()
        start = time.process_time()
        value = loss(*tensors)
        gradients = torch.autograd.grad(value, tensors)
        seconds = min(seconds, time.process_time() - start)
    mib = (_status("VmHWM") - before) / 1024
    probe = torch.linspace(
        -1, 1, d
    )  # fingerprints of the gradients, so that processes need not exchange them
    answers = [
        value.item(),
        *(float(g.norm()) for g in gradients),
        *(float((g[:9] @ probe).norm()) for g in gradients[:2]),
    ]
    return {"seconds": seconds, "mib": mib, "answers": answers}


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def main() -> None:
    if sys.argv[1:2] == ["--contender"]:
        print(json.dumps(_contend(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
        return
    rows = run(((int(sys.argv[1]), int(sys.argv[2])),)) if len(sys.argv) > 2 else run()
    print("| work | ours cpu-s | peer cpu-s | times faster | ours MiB | peer MiB | memory | agreement |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r['work']} | {r['ours_s']:.2f} | {r['peer_s']:.2f} | {r['ratio']:.2f} | {r['ours_mib']:.0f} | "
            f"{r['peer_mib']:.0f} | 1/{r['peer_mib'] / r['ours_mib']:.0f} | {r['agreement']:.1e} |"
        )


if __name__ == "__main__":
    main()

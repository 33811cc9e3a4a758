"""The loss of deep CCA, forward and backward, beside cca_zoo's; and whether gradients are numbers where correlations repeat.

Every contender runs in a process of its own on the same seeded float32 features, which share 64 factors. Seconds are processor
seconds on one thread (best of five), MiB the peak above the input and torch, agreement the largest difference of the gradients,
relative to the largest entry. cca_zoo has the sum of squared correlations ("frobenius"). The sum of correlations is also compared
with its plain form in torch: symmetric roots by eigh, then the nuclear norm. In the last two pieces of work the features are
orthonormal and equal, so that all variances, and all correlations, are the same.

    python benchmarks/bench_deep_cca.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_deep_cca.py    # peers installed elsewhere
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
REG = 1e-4
# rows, features a side, norm, data, peer
WORK = [
    (4096, 512, "frobenius", "factors", "cca_zoo"),
    (4096, 512, "nuclear", "factors", "plain"),
    (1024, 64, "frobenius", "factors", "cca_zoo"),
    (1024, 64, "frobenius", "repeated", "cca_zoo"),
    (1024, 64, "nuclear", "repeated", "plain"),
]
NAMES = {"cca_zoo": "cca_zoo CCALoss", "plain": "torch: eigh, then the nuclear norm"}


def run(work: list[tuple[int, int, str, str, str]] | None = None) -> list[dict[str, Any]]:
    """One row per piece of work; a peer that cannot be imported has None for its figures."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n, d, norm, data, peer_name in WORK if work is None else work:
            ours = _measure("ours", n, d, norm, data, Path(folder) / "ours.npy")
            peer = _measure(peer_name, n, d, norm, data, Path(folder) / "peer.npy")
            assert ours is not None
            row: dict[str, Any] = {
                "work": f"correlation loss, {norm}, {n:,} x {d}, {data}",
                "ours_s": ours["seconds"],
                "peer": NAMES[peer_name] + ("" if peer else ": not installed"),
                "peer_s": peer and peer["seconds"],
                "ratio": peer and peer["seconds"] / ours["seconds"],
                "ours_mib": ours["mib"],
                "peer_mib": peer and peer["mib"],
                "agreement": None,
                "ours_finite": ours["finite"],
                "peer_finite": peer and peer["finite"],
            }
            if peer and peer["finite"]:
                mine, theirs = np.load(Path(folder) / "ours.npy"), np.load(Path(folder) / "peer.npy")
                row["agreement"] = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
            rows.append(row)
    return rows


def _measure(who: str, n: int, d: int, norm: str, data: str, gradient: Path) -> dict[str, Any] | None:
    python = os.environ.get("POLYMODAL_BENCH_PYTHON", sys.executable) if who == "cca_zoo" else sys.executable
    done = subprocess.run(
        [python, __file__, "--contender", who, str(n), str(d), norm, data, str(gradient)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _features(n: int, d: int, data: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    if data == "repeated":
        q = np.linalg.qr(rng.standard_normal((n, d)))[0]
        q = np.linalg.qr(q - q.mean(axis=0))[0].astype(np.float32) * np.float32(np.sqrt(n))
        return q, q.copy()
    z = rng.standard_normal((n, 64))
    a, b = (z @ rng.standard_normal((64, d)) * 0.2 + rng.standard_normal((n, d)) for _ in range(2))
    return a.astype(np.float32), b.astype(np.float32)


def _loss(who: str, norm: str) -> Callable[[Any, Any], Any]:
    import torch

    if who == "ours":
        from polymodal.objectives import correlation_loss

        return lambda a, b: correlation_loss(a, b, reg=REG, norm=norm)  # type: ignore[arg-type]
    if who == "cca_zoo":
        from cca_zoo.deep.objectives import CCALoss

        zoo = CCALoss(REG)
        return lambda a, b: zoo([a, b])

    def root(S: Any) -> Any:
        values, vectors = torch.linalg.eigh(S)
        return vectors / values.clamp_min(REG).sqrt() @ vectors.T

    def plain(a: Any, b: Any) -> Any:
        a, b = a - a.mean(dim=0), b - b.mean(dim=0)
        m, eye = len(a) - 1, torch.eye(a.shape[1])
        T = root(a.T @ a / m + REG * eye) @ (a.T @ b / m) @ root(b.T @ b / m + REG * eye)
        return -torch.linalg.matrix_norm(T, ord="nuc")

    return plain


def _contend(who: str, n: int, d: int, norm: str, data: str, gradient: str) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        loss = _loss(who, norm)
    except ImportError:
        sys.exit(3)
    # small ones first: what loading libraries costs is not counted
    loss(*(torch.randn(32, 4, requires_grad=True) for _ in range(2))).backward()
    a, b = (torch.from_numpy(x).requires_grad_() for x in _features(n, d, data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(5):
        a.grad = b.grad = None
        start = time.process_time()
        loss(a, b).backward()
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert a.grad is not None
    found = a.grad.numpy()
    np.save(gradient, found)
    finite = bool(np.isfinite(found).all())
    print(json.dumps({"seconds": min(seconds), "mib": (peak - before) / 1024, "finite": finite}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        _contend(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:8])
    else:
        for line in run():
            print(line)

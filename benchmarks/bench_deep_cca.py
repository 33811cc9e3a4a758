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

import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend, interpreter, present, row

REG = 1e-4
# rows, features a side, norm, data, peer
WORKS = [
    (4096, 512, "frobenius", "factors", "cca_zoo"),
    (4096, 512, "nuclear", "factors", "plain"),
    (1024, 64, "frobenius", "factors", "cca_zoo"),
    (1024, 64, "frobenius", "repeated", "cca_zoo"),
    (1024, 64, "nuclear", "repeated", "plain"),
]
NAMES = {"cca_zoo": "cca_zoo CCALoss", "plain": "torch: eigh, then the nuclear norm"}


def run(works: Sequence[tuple[int, int, str, str, str]] = WORKS) -> list[Row]:
    """One row per piece of work; the agreement is None where the peer's gradient is not finite."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{who}.npy" for who in ("ours", "peer")]

        def agreement(ours: Answer, peer: Answer) -> float | None:
            del ours
            mine, theirs = map(np.load, files)
            return float(np.abs(mine - theirs).max() / np.abs(theirs).max()) if peer["finite"] else None

        for n, d, norm, data, peer_name in works:
            ours = present(contend(__file__, "ours", n, d, norm, data, files[0]))
            peer = contend(__file__, peer_name, n, d, norm, data, files[1], python=_python(peer_name))
            found = row(
                work=f"correlation loss, {norm}, {n:,} x {d}, {data}",
                ours=ours,
                peer_name=NAMES[peer_name],
                peer=peer,
                agreement=agreement,
            )
            finite = peer["finite"] if isinstance(peer, dict) else None
            rows.append(found | {"ours_finite": ours["finite"], "peer_finite": finite})
    return rows


def _python(peer: str) -> str:
    return interpreter() if peer == "cca_zoo" else sys.executable


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


def contender(who: str, n: int, d: int, norm: str, data: str, gradient: str) -> Answer:
    import torch

    loss = _loss(who, norm)
    # small ones first: what loading libraries costs is not counted
    loss(*(torch.randn(32, 4, requires_grad=True) for _ in range(2))).backward()
    a, b = (torch.from_numpy(x).requires_grad_() for x in _features(n, d, data))

    def step() -> np.ndarray:
        a.grad = b.grad = None
        loss(a, b).backward()
        assert a.grad is not None
        return np.asarray(a.grad.numpy())

    found = best_of(step, repeats=5, enough=60)
    np.save(gradient, found.answer)
    return found.figures() | {"finite": bool(np.isfinite(found.answer).all())}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

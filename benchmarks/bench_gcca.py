"""CCA of four modalities and many rows, one streamed pass, beside cca_zoo's.

Every contender runs in a process of its own on the same seeded data: modalities that share twenty factors. Seconds are processor
seconds of `fit` on one thread (best of three; one where it takes over ten), MiB the peak above the input, agreement the largest
difference of the correlations of the components (mean over pairs of modalities) from those of the peer.

    python benchmarks/bench_gcca.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_gcca.py    # peers installed elsewhere
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from measuring import (
    Absent,
    Answer,
    Row,
    best_of,
    command_line,
    contend,
    difference,
    interpreter,
    present,
    row,
)

# method, rows, columns a modality, modalities, components, share of missing rows
WORKS = [
    ("GeneralisedCCA", 50_000, 128, 4, 10, 0.0),
    ("MultisetCCA", 50_000, 128, 4, 10, 0.0),
    ("PLS", 50_000, 256, 2, 10, 0.0),
    ("GeneralisedCCA", 50_000, 128, 4, 10, 0.3),
]


def run(works: Sequence[tuple[str, int, int, int, int, float]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    rows = []
    for method, n, p, views, k, missing in works:
        size = (method, n, p, views, k, missing)
        rows.append(
            row(
                work=f"{method}, n = {n:,}, {views} x {p} columns, {k} components"
                + (f", {missing:.0%} of the values missing" if missing else ""),
                ours=present(contend(__file__, "ours", *size)),
                peer_name="cca_zoo",
                peer=Absent("takes no missing rows")
                if missing
                else contend(__file__, "cca_zoo", *size, python=interpreter()),
                agreement=difference("correlations"),
            )
        )
    return rows


def _data(n: int, p: int, views: int) -> list[np.ndarray]:
    """Filled block by block, so that making it leaves no peak behind."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((views, 20, p)) * np.linspace(0.05, 0.2, 20)[:, None]
    out = [np.empty((n, p)) for _ in range(views)]
    for start in range(0, n, 1000):
        z = rng.standard_normal((len(out[0][start : start + 1000]), 20))
        for x, weights in zip(out, maps, strict=True):
            x[start : start + 1000] = z @ weights + rng.standard_normal((len(z), p)) + 1
    return out


def _fitter(who: str, method: str, k: int, missing: float) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """What is timed: data to fitted weights."""
    if who == "ours":
        import polymodal.coordination as ours
        from polymodal import Modalities

        def fit(views: list[np.ndarray]) -> list[np.ndarray]:
            frame = Modalities({str(m): x for m, x in enumerate(views)})
            rng = np.random.default_rng(1)
            for name in frame.names[1:] if missing else ():
                frame = frame.without(name, np.flatnonzero(rng.random(len(frame)) < missing))
            model = getattr(ours, method)(k).fit(frame)
            return [model.weights_[str(m)] for m in range(len(views))]

        return fit
    from cca_zoo import linear

    peer = {"GeneralisedCCA": linear.GCCA, "MultisetCCA": linear.MCCA, "PLS": linear.PLS}[method]
    return lambda views: peer(n_components=k).fit(views).weights_


def _correlations(views: list[np.ndarray], weights: list[np.ndarray]) -> list[float]:
    scores = [x @ w for x, w in zip(views, weights, strict=True)]
    scores = [(z - z.mean(axis=0)) / z.std(axis=0) for z in scores]
    means = np.mean([(a * b).mean(axis=0) for a, b in combinations(scores, 2)], axis=0)
    answer: list[float] = np.abs(means).tolist()
    return answer


def contender(who: str, method: str, n: int, p: int, views: int, k: int, missing: float) -> Answer:
    _fitter(who, method, 1, missing)(_data(300, 8, views))  # imports and first calls are not the work
    fit, data = _fitter(who, method, k, missing), _data(n, p, views)
    found = best_of(lambda: fit(data))
    return found.figures() | {"correlations": _correlations(data, found.answer)}


if __name__ == "__main__":
    command_line(run, contender, WORKS)

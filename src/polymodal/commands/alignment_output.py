"""The folder that `align` writes: matches, a summary, and pictures."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from polymodal.alignment.answer import Alignment
from polymodal.commands.alignment_result import AlignmentResult, Pair, match_columns
from polymodal.commands.alignment_sources import Signal
from polymodal.core.atomic import atomic_folder
from polymodal.core.typing import Float

MAX_COSTS = 500
"""Frames of each side at which a picture of costs or weights is drawn; longer sequences are thinned to fewer."""
MAX_CURVE = 2_000
MAX_WORDS = 60
PATH_POINTS = 100


def write_alignment(result: AlignmentResult, output: str | Path) -> AlignmentResult:
    """Write matches.csv, alignment.json and the pictures into a folder that appears whole or not at all.

    Raises:
        StoreError: the folder cannot be written.
    """
    place = Path(output)
    pair = result.pairs[0]
    pictures = _words_pictures(pair) if isinstance(pair.a, list) else _frames_pictures(pair, result.method)
    with atomic_folder(place) as folder:
        _write_matches(result.pairs, folder / "matches.csv")
        notes = list(result.notes)
        for name, draw in pictures.items():
            (folder / name).write_bytes(_png(draw))
        if len(result.pairs) > 1:
            notes.append(f"the pictures show sentence {pair.sentence}; matches.csv holds all")
        files = ("matches.csv", "alignment.json", *pictures)
        result = dataclasses.replace(result, output=str(place), files=files, notes=tuple(notes))
        summary = _plain(result.to_dict()) | {"path": _path_points(result)}
        text = json.dumps(summary, ensure_ascii=False, indent=1, allow_nan=False)
        (folder / "alignment.json").write_text(text + "\n", encoding="utf-8")
    return result


def _plain(value: Any) -> Any:
    """What JSON holds; a cost that is infinite or NaN is null."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _path_points(result: AlignmentResult) -> list[list[int]]:
    """At most a hundred pairs of the path, evenly spaced; of texts those of the first sentence."""
    path = result.pairs[0].alignment.path
    at = np.unique(np.linspace(0, len(path) - 1, min(PATH_POINTS, len(path))).astype(int))
    points: list[list[int]] = path[at].tolist()
    return points


def _write_matches(pairs: tuple[Pair, ...], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for k, pair in enumerate(pairs):
            columns = match_columns(pair)
            if k == 0:
                writer.writerow(columns)
            columns["weight"] = [f"{w:.6g}" for w in columns["weight"]]
            writer.writerows(zip(*columns.values(), strict=True))


# --- pictures ---------------------------------------------------------------------------------------------------------

Draw = tuple[tuple[float, float], Callable[[Any], Any]]
"""Width and height in inches, and what draws on the axes."""


def _png(draw: Draw) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from polymodal.commands.report import png_of

    size, paint = draw
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    paint(figure.add_subplot())
    return png_of(figure)


def _words_pictures(pair: Pair) -> dict[str, Draw]:
    from polymodal.alignment.plot import plot_coupling, plot_words

    alignment, a, b = _first_words(pair)
    letters = max(sum(len(w) + 2 for w in words) for words in (a, b))
    return {
        "matches.png": (
            (max(4.0, 0.105 * letters + 0.5), 2.2),
            lambda ax: plot_words(alignment, a, b, ax),
        ),
        "coupling.png": (
            (2.4 + 0.32 * len(b), 1.6 + 0.28 * len(a)),
            lambda ax: plot_coupling(alignment, a, b, ax),
        ),
    }


def _first_words(pair: Pair) -> tuple[Alignment, list[str], list[str]]:
    """A sentence short enough to be drawn."""
    assert isinstance(pair.a, list)
    assert isinstance(pair.b, list)
    a, b = pair.a[:MAX_WORDS], pair.b[:MAX_WORDS]
    found = pair.alignment
    inside = (found.path < [len(a), len(b)]).all(axis=1)
    cut = dataclasses.replace(
        found, path=found.path[inside], coupling=found.coupling[: len(a), : len(b)], length_a=len(a), length_b=len(b)
    )  # fmt: skip
    return cut, a, b


def _frames_pictures(pair: Pair, method: str) -> dict[str, Draw]:
    from polymodal.alignment._costs import matrix
    from polymodal.alignment.plot import plot_coupling, plot_matches, plot_path

    assert isinstance(pair.a, Signal)
    assert isinstance(pair.b, Signal)
    x, y, what = _comparable(pair, method)
    small, every = thinned(pair.alignment, MAX_COSTS)
    costs = matrix(x[:: every[0]], y[:: every[1]], "euclidean") if x.shape[1] == y.shape[1] else None
    fine, stride = thinned(pair.alignment, MAX_CURVE)
    starts = _starts(pair)
    curve_a, curve_b = (_curve(s, f)[::k] for s, f, k in ((pair.a, x, stride[0]), (pair.b, y, stride[1])))

    frames = (pair.alignment.rate_a, pair.alignment.rate_b) == (1.0, 1.0)

    def matches(ax: Any) -> None:
        plot_matches(fine, curve_a, curve_b, ax, starts=starts)
        ax.set_title(what, fontsize=9, loc="left")
        if frames:
            ax.set_xlabel("frame")

    def square(ax: Any) -> None:
        ax.locator_params(nbins=5)
        if frames:  # thinning has made a rate of frame numbers
            ax.set(xlabel="b (frame)", ylabel="a (frame)")

    def path(ax: Any) -> None:
        plot_path(small, costs, ax, starts=starts)
        square(ax)

    def coupling(ax: Any) -> None:
        plot_coupling(small, ax=ax, starts=starts)
        square(ax)

    pictures: dict[str, Draw] = {"path.png": ((4.6, 4.0), path), "matches.png": ((7.0, 3.2), matches)}
    if np.any(pair.alignment.coupling.data != 1):
        pictures["coupling.png"] = ((5.0, 4.0), coupling)
    return pictures


def _comparable(
    pair: Pair, method: str
) -> tuple[Float[np.ndarray, "n d_a"], Float[np.ndarray, "m d_b"], str]:
    """The frames as the method saw them, and what their first feature is."""
    assert isinstance(pair.a, Signal)
    assert isinstance(pair.b, Signal)
    a, b = pair.a, pair.b
    if method == "ctw":
        from polymodal.alignment.canonical_time_warping import CanonicalTimeWarping

        used = pair.alignment.method
        assert isinstance(used, CanonicalTimeWarping)
        # from the path that was found, so that nothing is searched for again
        warp = dataclasses.replace(used, initial=pair.alignment, n_iter=1).fit(a.frames, b.frames)
        return warp.project_a(a.frames), warp.project_b(b.frames), "the direction that agrees best"
    if a.kind == b.kind == "sound":
        return a.frames, b.frames, "mean of the log-mel bands"
    return a.frames, b.frames, f"{a.features[0]} of a, {b.features[0]} of b (each as compared)"


def _curve(signal: Signal, frames: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    loudness = signal.kind == "sound" and frames is signal.frames
    return np.asarray(frames.mean(axis=1) if loudness else frames[:, 0])


def _starts(pair: Pair) -> tuple[float, float]:
    assert isinstance(pair.a, Signal)
    assert isinstance(pair.b, Signal)
    if pair.a.rate is None or pair.b.rate is None or pair.a.seconds is None or pair.b.seconds is None:
        return 0.0, 0.0  # frame numbers
    return float(pair.a.seconds[0]), float(pair.b.seconds[0])


def thinned(alignment: Alignment, most: int) -> tuple[Alignment, tuple[int, int]]:
    """The alignment of every k-th frame of each side, so that neither has more than `most`; and both k.

    A pair of kept frames weighs what all pairs nearest to it weigh together.
    """
    n, m = alignment.length_a, alignment.length_b
    every = -(-n // most), -(-m // most)
    if every == (1, 1):
        return alignment, every
    lengths = -(-n // every[0]), -(-m // every[1])
    cells = alignment.coupling.tocoo()
    together = csr_array((cells.data, (cells.row // every[0], cells.col // every[1])), shape=lengths)
    together.sum_duplicates()
    return dataclasses.replace(
        alignment,
        path=np.unique(alignment.path // np.array(every), axis=0),
        coupling=together,
        length_a=lengths[0],
        length_b=lengths[1],
        rate_a=alignment.rate_a / every[0],
        rate_b=alignment.rate_b / every[1],
    ), every

"""Pictures of an alignment: the path on the costs, two sequences or two rows of words joined by lines, the map of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.alignment._limits import check_dense
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Num

Starts = tuple[float, float]
LEAST_LINE = 0.05
"""Share of the largest weight below which a pair of words is not joined by a line."""


def plot_path(
    alignment: Alignment,
    costs: Num[np.ndarray, "a b"] | None = None,
    ax: Any = None,
    *,
    starts: Starts = (0.0, 0.0),
) -> Any:
    """Draw the path, over the matrix of `costs` where that is given; a runs upwards, b to the right.

    Args:
        alignment: What `align` gave.
        costs: Cost of each pair of frames, drawn dark where small.
        ax: Matplotlib axes to draw on; the current ones unless given.
        starts: When the first frame of a, and that of b, was, in seconds (frames, where there is no rate).

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    times = alignment.times() + np.array(starts)
    (bottom, top), (left, right) = _borders(alignment, starts)
    if costs is not None:
        _check("costs", np.shape(costs), (alignment.length_a, alignment.length_b))
        ax.imshow(
            costs,
            origin="lower",
            aspect="auto",
            cmap="Blues_r",
            extent=(left, right, bottom, top),
        )
    ax.plot(times[:, 1], times[:, 0], color="tab:orange", linewidth=2)
    ax.set(
        xlim=(left, right),
        ylim=(bottom, top),
        ylabel=_axis("a", alignment.rate_a),
        xlabel=_axis("b", alignment.rate_b),
    )
    return ax


def plot_matches(
    alignment: Alignment,
    a: Num[np.ndarray, "a ..."],
    b: Num[np.ndarray, "b ..."],
    ax: Any = None,
    *,
    n_lines: int = 40,
    starts: Starts = (0.0, 0.0),
) -> Any:
    """Draw a above b (the first feature of each), matched frames joined by lines.

    Args:
        alignment: What `align` gave for them.
        a: The first sequence.
        b: The second.
        ax: Matplotlib axes to draw on; the current ones unless given.
        n_lines: At most so many of the matches are drawn, evenly spaced.
        starts: As in `plot_path`.

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    x, y = (np.asarray(s, dtype=float).reshape(len(s), -1)[:, 0] for s in (a, b))
    _check("a and b", (len(x), len(y)), (alignment.length_a, alignment.length_b))
    x = x - x.min() + y.min() + 1.3 * float(np.ptp(y))  # above b, with a gap
    at = np.linspace(0, len(alignment) - 1, n_lines if len(alignment) else 0)
    chosen = alignment.path[np.unique(at.astype(int))]
    t = starts[0] + np.arange(len(x)) / alignment.rate_a
    u = starts[1] + np.arange(len(y)) / alignment.rate_b
    ax.plot(
        [t[chosen[:, 0]], u[chosen[:, 1]]],
        [x[chosen[:, 0]], y[chosen[:, 1]]],
        color="0.75",
        linewidth=0.8,
        zorder=1,
    )
    ax.plot(t, x, label="a", linewidth=2)
    ax.plot(u, y, label="b", linewidth=2)
    ax.set(xlabel="seconds" if (alignment.rate_a, alignment.rate_b) != (1.0, 1.0) else "frame", yticks=[])
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0)
    return ax


def plot_coupling(
    alignment: Alignment,
    labels_a: Sequence[str] | None = None,
    labels_b: Sequence[str] | None = None,
    ax: Any = None,
    *,
    starts: Starts = (0.0, 0.0),
) -> Any:
    """Draw the weight of every pair, dark where large: a map of attention, of posteriors, of what is transported.

    With labels (words) the first element of a stands at the top, and dots mark the pairs of the path; without them times run upwards
    and to the right, as in `plot_path`.

    Args:
        alignment: What `align` gave.
        labels_a: A name for each element of a.
        labels_b: A name for each element of b.
        ax: Matplotlib axes to draw on; the current ones unless given.
        starts: As in `plot_path`; used where there are no labels.

    Returns:
        The axes.

    Raises:
        ModalityError: numbers of labels that differ from the lengths, or a matrix of some GiB.
    """
    import matplotlib.pyplot as plt

    lengths = alignment.length_a, alignment.length_b
    check_dense(*lengths, "A picture of all weights", "Draw the path (plot_path), or a part.")
    ax = plt.gca() if ax is None else ax
    named = labels_a is not None and labels_b is not None
    (bottom, top), (left, right) = (
        [(n - 0.5, -0.5) if k == 0 else (-0.5, n - 0.5) for k, n in enumerate(lengths)]
        if named
        else _borders(alignment, starts)
    )
    image = ax.imshow(
        alignment.coupling.toarray(),
        origin="upper" if named else "lower",
        aspect="auto",
        cmap="Blues",
        vmin=0,
        extent=(left, right, bottom, top),
        interpolation="nearest",
    )
    if labels_a is not None and labels_b is not None:
        _check("labels", (len(labels_a), len(labels_b)), lengths)
        ax.plot(alignment.path[:, 1], alignment.path[:, 0], ".", color="tab:orange", markersize=6)
        ax.set_yticks(range(lengths[0]), labels_a)
        ax.set_xticks(range(lengths[1]), labels_b, rotation=45, ha="right", rotation_mode="anchor")
    else:
        ax.set(ylabel=_axis("a", alignment.rate_a), xlabel=_axis("b", alignment.rate_b))
    ax.figure.colorbar(image, ax=ax, label="weight")
    return ax


def plot_words(alignment: Alignment, words_a: Sequence[str], words_b: Sequence[str], ax: Any = None) -> Any:
    """Draw the words of a above those of b; a line joins two words, the stronger the larger their weight.

    Pairs of the path are blue; others that the coupling believes in (a twentieth of the largest weight, or more) are grey.

    Args:
        alignment: What a word aligner gave for them.
        words_a: Words of a.
        words_b: Words of b.
        ax: Matplotlib axes to draw on; the current ones unless given.

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection

    _check("words", (len(words_a), len(words_b)), (alignment.length_a, alignment.length_b))
    ax = plt.gca() if ax is None else ax
    x, y = _centres(words_a), _centres(words_b)
    width = max(x[-1] + len(words_a[-1]) / 2, y[-1] + len(words_b[-1]) / 2)
    x, y = (c + (width - c[-1] - len(words[-1]) / 2) / 2 for c, words in ((x, words_a), (y, words_b)))
    cells = alignment.coupling.tocoo()
    path = {(int(i), int(j)) for i, j in alignment.path}
    strength = cells.data / max(float(cells.data.max(initial=0.0)), 1e-300)
    linked = np.array([(i, j) in path for i, j in zip(cells.row, cells.col, strict=True)], dtype=bool)
    for chosen, colour in ((~linked & (strength >= LEAST_LINE), "0.6"), (linked, "tab:blue")):
        ends = zip(x[cells.row[chosen]], y[cells.col[chosen]], strict=True)
        ax.add_collection(
            LineCollection(
                [[(start, 0.85), (end, 0.15)] for start, end in ends],
                colors=colour,
                linewidths=0.4 + 2.6 * strength[chosen],
                alpha=0.25 + 0.75 * strength[chosen] if chosen.any() else None,
            )
        )
    for centres, words, height in ((x, words_a, 0.92), (y, words_b, 0.08)):
        for centre, word in zip(centres, words, strict=True):
            ax.text(centre, height, word.replace("$", r"\$"), ha="center", va="center", family="monospace")
    ax.set(xlim=(-1, width + 1), ylim=(0, 1))
    ax.axis("off")
    return ax


def _centres(words: Sequence[str]) -> np.ndarray:
    """Where the middle of each word stands, in letters, two letters apart."""
    widths = np.array([len(word) for word in words])
    return np.asarray(np.cumsum(widths + 2) - 2 - widths / 2)


def _borders(alignment: Alignment, starts: Starts) -> tuple[Starts, Starts]:
    """Half a frame before the first and after the last, of a and of b."""
    sides = (alignment.length_a, alignment.rate_a), (alignment.length_b, alignment.rate_b)
    a, b = (
        (start - 0.5 / rate, start + (n - 0.5) / rate) for start, (n, rate) in zip(starts, sides, strict=True)
    )
    return a, b


def _axis(name: str, rate: float) -> str:
    return f"{name} (frame)" if rate == 1.0 else f"{name} (seconds)"


def _check(what: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if got != wanted:
        raise ModalityError(
            f"The alignment is of {wanted[0]} and {wanted[1]} frames, but {what} came with {got}. Give what was aligned."
        )

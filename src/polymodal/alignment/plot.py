"""Pictures of an alignment: the path on the costs, and two sequences joined by lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Num


def plot_path(alignment: Alignment, costs: Num[np.ndarray, "a b"] | None = None, ax: Any = None) -> Any:
    """Draw the path, over the matrix of `costs` where that is given; a runs upwards, b to the right.

    Args:
        alignment: What `align` gave.
        costs: Cost of each pair of frames, drawn dark where small.
        ax: Matplotlib axes to draw on; the current ones unless given.

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    times = alignment.times()
    ends = (alignment.length_a - 0.5) / alignment.rate_a, (alignment.length_b - 0.5) / alignment.rate_b
    starts = -0.5 / alignment.rate_a, -0.5 / alignment.rate_b
    if costs is not None:
        _check("costs", np.shape(costs), (alignment.length_a, alignment.length_b))
        ax.imshow(
            costs,
            origin="lower",
            aspect="auto",
            cmap="Blues_r",
            extent=(starts[1], ends[1], starts[0], ends[0]),
        )
    ax.plot(times[:, 1], times[:, 0], color="tab:orange", linewidth=2)
    ax.set(
        xlim=(starts[1], ends[1]),
        ylim=(starts[0], ends[0]),
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
) -> Any:
    """Draw a above b (the first feature of each), matched frames joined by lines.

    Args:
        alignment: What `align` gave for them.
        a: The first sequence.
        b: The second.
        ax: Matplotlib axes to draw on; the current ones unless given.
        n_lines: At most so many of the matches are drawn, evenly spaced.

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    x, y = (np.asarray(s, dtype=float).reshape(len(s), -1)[:, 0] for s in (a, b))
    _check("a and b", (len(x), len(y)), (alignment.length_a, alignment.length_b))
    x = x - x.min() + y.min() + 1.3 * float(np.ptp(y))  # above b, with a gap
    chosen = alignment.path[np.unique(np.linspace(0, len(alignment) - 1, n_lines).astype(int))]
    t, u = np.arange(len(x)) / alignment.rate_a, np.arange(len(y)) / alignment.rate_b
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
    ax.legend(loc="upper right", frameon=False)
    return ax


def _axis(name: str, rate: float) -> str:
    return f"{name} (frame)" if rate == 1.0 else f"{name} (seconds)"


def _check(what: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if got != wanted:
        raise ModalityError(
            f"The alignment is of {wanted[0]} and {wanted[1]} frames, but {what} came with {got}. Give what was aligned."
        )

"""The pictures of a diagnosis: scores, the decomposition of each pair, curves of harm, and correlation beside chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.commands.diagnosis_pairs import Pair
from polymodal.commands.diagnosis_robustness import Use
from polymodal.commands.diagnosis_scores import Scores
from polymodal.commands.report import png_of
from polymodal.evaluation.intervals import Interval

ALONE, FUSED, CHANCE = "#2f5bea", "#1f9d55", "#98a2b3"
PARTS = {"redundant": "#2f5bea", "first": "#e4932a", "second": "#f2c879", "synergy": "#1f9d55"}
WIDTH = 8.0


def draw_scores(scores: Scores) -> bytes:
    """A bar for each modality and each fusion, with its interval; chance is a dotted line."""
    from matplotlib import pyplot as plt

    rows = [*scores.alone, *scores.fusions]
    colours = [ALONE] * len(scores.alone) + [FUSED] * len(scores.fusions)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.5 + 0.38 * len(rows)), layout="constrained")
    middle = np.array([row.score.value for row in rows])
    low = min(0.0, *(row.score.low for row in rows)) if scores.metric == "R2" else 0.0
    axes.barh(
        range(len(rows)),
        middle - low,
        left=low,
        color=colours,
        xerr=_reach([r.score for r in rows]),
        ecolor="#1c2430",
        capsize=2,
    )
    axes.set_yticks(range(len(rows)), [_plain(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axvline(scores.chance, color=CHANCE, linestyle=":", linewidth=1.4)
    for place, row in enumerate(rows):
        axes.annotate(
            f"{row.score.value:.3f}",
            (row.score.high, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_xlabel(f"{scores.metric} on rows not fitted on (dotted: chance)")
    axes.margins(x=0.09)
    _bare(axes)
    return png_of(figure)


def draw_parts(pairs: Sequence[Pair]) -> bytes:
    """For each pair a stacked bar of its four parts by each estimator, in bits. Pale: the interval holds 0. Below 0: nothing is drawn."""
    from matplotlib import pyplot as plt

    shown = [pair for pair in pairs if pair.parts]
    lines = [(pair, parts) for pair in shown for parts in pair.parts]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.33 * len(lines)), layout="constrained")
    labels = []
    for place, (pair, parts) in enumerate(lines):
        left = 0.0
        for kind, (_, part) in zip(PARTS, parts.items(), strict=True):
            sure = part.low > 0
            axes.barh(
                place,
                max(part.value, 0.0),
                left=left,
                color=PARTS[kind],
                height=0.72,
                alpha=1.0 if sure else 0.25,
            )
            left += max(part.value, 0.0)
        labels.append(f"{_plain(pair.names[0])} + {_plain(pair.names[1])}, {parts.method.lower()}")
    axes.set_yticks(range(len(lines)), labels, fontsize=8)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    one = shown[0].names if len(shown) == 1 else ("the first", "the second")
    names = ("redundant", f"unique to {_plain(one[0])}", f"unique to {_plain(one[1])}", "synergy")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in PARTS.values()]
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    axes.set_xlabel("bits about the target")
    _bare(axes)
    return png_of(figure)


def draw_harm(use: Use) -> bytes:
    """Noise on the left, absence on the right: one line a modality."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), sharey=True, layout="constrained")
    for cell, kind, label in zip(
        axes,
        ("noise", "absence"),
        ("noise, in standard deviations of each feature", "share of rows that lack the modality"),
        strict=True,
    ):
        for curve in use.curves:
            if curve.kind != kind:
                continue
            (line,) = cell.plot(
                curve.levels,
                [s.value for s in curve.scores],
                marker="o",
                markersize=3,
                label=_plain(curve.modality),
            )
            low, high = ([getattr(s, end) for s in curve.scores] for end in ("low", "high"))
            cell.fill_between(curve.levels, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        cell.axhline(use.baseline, color=CHANCE, linestyle=":", linewidth=1.4)
        cell.set_xlabel(label, fontsize=9)
        _bare(cell)
    axes[0].set_ylabel("R2" if use.scorer == "r2" else use.scorer)
    axes[1].legend(frameon=False, fontsize=8)
    return png_of(figure)


def draw_correlations(pairs: Sequence[Pair]) -> bytes:
    """The fitted correlation of each pair (a line) among those of rows paired at random (grey)."""
    from matplotlib import pyplot as plt

    shown = [pair for pair in pairs if pair.correlation is not None]
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(WIDTH if columns > 1 else WIDTH / 1.6, 0.4 + 1.5 * lines),
        squeeze=False,
        layout="constrained",
    )
    for cell in axes.flat[len(shown) :]:
        cell.set_axis_off()
    for cell, pair in zip(axes.flat, shown, strict=False):
        found = pair.correlation
        if found is None:
            continue
        cell.hist(found.shuffled, bins=20, color=CHANCE)
        cell.axvline(found.fitted, color=ALONE, linewidth=2)
        cell.set_title(f"{_plain(pair.names[0])}, {_plain(pair.names[1])}: p = {found.p:.3f}", fontsize=8)
        cell.set_yticks([])
        cell.tick_params(labelsize=8)
        cell.set_xlim(0, min(1.02, 1.15 * max(found.fitted, *found.shuffled)))
        _bare(cell)
    figure.supxlabel("root mean square canonical correlation, fitted", fontsize=9)
    return png_of(figure)


def _reach(intervals: Sequence[Interval]) -> np.ndarray:
    middle = np.array([i.value for i in intervals])
    ends = [middle - [i.low for i in intervals], np.array([i.high for i in intervals]) - middle]
    return np.asarray(np.maximum(np.array(ends), 0))


def _plain(text: str) -> str:
    """A dollar sign is a dollar sign, not mathematics; long names are cut."""
    short = text if len(text) <= 28 else text[:27] + "…"
    return short.replace("$", r"\$")


def _bare(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)

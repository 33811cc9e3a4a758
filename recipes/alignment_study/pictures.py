"""Pictures of the study."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import interval, named, positions
from alignment_study.music import RATE, TRAINING, read_music, seconds_off, straight
from alignment_study.words import RULES, flat_words, read_texts, scores_of, word_models

from polymodal.alignment import (
    DTW,
    HMMWordAligner,
    SakoeChiba,
    Symmetrised,
    align,
)


def picture_errors(done: dict[str, Any], file: Path) -> None:
    """Music, speech and curves: one line a method."""
    import matplotlib.pyplot as plt

    music = [(n, interval(e["mean"], units=e["pairs"])) for n, e in named(done, "music/performances")]
    speech = [(n, interval(e["off"], units=e["sentence"])) for n, e in named(done, "boundaries/new speaker")]
    panels = [
        ("pairs of performances of an etude: error, s", music),
        ("digits in a row, new speaker: error, s", speech),
    ]
    for title, key in (
        ("curves, noise 0.5: error, frames", "noise, 0.5, 3, the same"),
        ("curves, other features: error, frames", "space, 0.1, 3, bent (tanh)"),
    ):
        panels.append((title, [(n, interval(e["mean"])) for n, e in named(done, f"curves/{key}")]))
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(6.8, 1.2 + 0.2 * sum(len(rows) + 2 for _, rows in panels)), layout="constrained",
        height_ratios=[len(rows) + 1 for _, rows in panels],
    )  # fmt: skip
    for axis, (title, rows) in zip(axes, panels, strict=True):
        for place, (name, (value, low, high)) in enumerate(rows[::-1]):
            plain = name in ("straight line", "equal parts")
            colour = "tab:gray" if plain else "tab:orange" if "learned" in name else "tab:blue"
            axis.plot([low, high], [place] * 2, color=colour, linewidth=1.5)
            axis.plot(value, place, "o", color=colour, markersize=4)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows[::-1]], fontsize=8)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlim(left=0)
        axis.tick_params(labelsize=8)
        axis.grid(axis="y", color="0.9")
    axes[0].set_xscale("log")
    axes[0].set_xlim(0.018, 1.4)
    marks = (0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
    axes[0].set_xticks(marks, [f"{m:g}" for m in marks])
    axes[0].minorticks_off()
    figure.savefig(file, dpi=90)
    plt.close(figure)


def picture_music(folder: Path, file: Path) -> None:
    """Of the two performances whose tempi differ most: where two paths lie from the straight line, and the true onsets."""
    import matplotlib.pyplot as plt

    _, played = read_music(folder / "vienna4x22_alignment")
    pairs = list(combinations(range(TRAINING, len(played)), 2))
    far = [seconds_off(straight(played[i], played[j]), played[i], played[j]).mean() for i, j in pairs]
    one, other = pairs[int(np.argmax(far))]
    a, b = played[one], played[other]
    figure, axis = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
    seconds = (np.arange(len(a.held)) + 0.5) / RATE
    line = straight(a, b)
    for name, method in (
        ("DTW, onsets boosted", DTW()),
        ("DTW, onsets boosted, band of 2 s", DTW(window=SakoeChiba(40, slanted=True))),
    ):
        found = positions(align(a.boosted, b.boosted, method))
        axis.plot(seconds, (found - line) / RATE, label=name, linewidth=1.5)
    common = sorted(a.onsets.keys() & b.onsets.keys())
    of_a, of_b = (np.array([p.onsets[k] for k in common]) for p in (a, b))
    true = of_b - (np.interp(of_a * RATE - 0.5, np.arange(len(line)), line) + 0.5) / RATE
    axis.plot(of_a, true, ".", color="black", markersize=3, label="notes matched by hand", zorder=3)
    axis.axhline(0, color="tab:gray", linewidth=1, label="straight line")
    axis.set(
        xlabel=f"seconds in performance {one + 1}",
        ylabel=f"seconds in performance {other + 1},\naway from the straight line",
    )
    axis.legend(fontsize=8, frameon=False)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def picture_aer(done: dict[str, Any], file: Path) -> None:
    """Bars: error rate by model and rule, with and without more text."""
    import matplotlib.pyplot as plt

    corpora = ["hansards", "hansards + captions"]
    names = list(word_models())
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 2.9), sharey=True, layout="constrained")
    for axis, corpus in zip(axes, corpora, strict=True):
        rows = flat_words(done, corpus)
        for k, rule in enumerate(RULES):
            found = np.array([scores_of(rows[f"{n}, {rule}"])["AER"] for n in names])
            errors = np.abs(found[:, 1:].T - found[:, 0])
            axis.bar(
                np.arange(len(names)) + 0.27 * (k - 1),
                found[:, 0],
                0.25,
                yerr=errors,
                label=rule,
                error_kw={"lw": 0.8},
            )
        for name, style in (("diagonal", ":"), ("attention", "--")):
            axis.axhline(
                scores_of(rows[name])["AER"][0], color="black", linewidth=1, linestyle=style, label=name
            )
        axis.set_xticks(range(len(names)), names, fontsize=8, rotation=30, ha="right")
        axis.set_title(f"learned from {corpus}", fontsize=9)
        axis.tick_params(axis="y", labelsize=8)
    axes[0].set_ylabel("alignment error rate", fontsize=9)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8, frameon=False
    )
    figure.savefig(file, dpi=90)
    plt.close(figure)


def picture_words(folder: Path, file: Path) -> None:
    """One sentence: links found, and the true ones that were missed."""
    import matplotlib.pyplot as plt

    texts = read_texts(folder)
    text = texts["hansards + captions"]
    fitted = Symmetrised(HMMWordAligner(8, smoothing=0.01)).fit(text.a, text.b)
    number = next(
        i
        for i, (x, y) in enumerate(zip(text.a, text.b, strict=True))
        if 9 <= len(x) <= 12 <= len(y) <= 15 and (np.diff(text.gold[i][:, 1]) < 0).any()
    )
    x, y, gold = text.a[number], text.b[number], text.gold[number]
    found = {(int(i), int(j)) for i, j in fitted.align(x, y).path}
    true = {(int(i), int(j)) for i, j in gold}
    figure, axis = plt.subplots(figsize=(7.4, 2.1), layout="constrained")
    width = max(sum(len(w) + 2 for w in s) for s in (x, y))
    centres = []
    for words, height in ((x, 1.0), (y, 0.0)):
        sizes = np.array([len(w) + 2 for w in words])
        at = np.cumsum(sizes) - sizes / 2 + (width - sizes.sum()) / 2
        centres.append(at)
        for place, word in zip(at, words, strict=True):
            axis.text(place, height, word, ha="center", va="center", fontsize=8, family="monospace")
    for label, links, colour, style in (
        ("found and true", found & true, "tab:blue", "-"),
        ("found, not true", found - true, "tab:orange", "-"),
        ("true, not found", true - found, "0.5", "--"),
    ):
        for k, (i, j) in enumerate(sorted(links)):
            axis.plot(
                [centres[0][i], centres[1][j]],
                [0.88, 0.12],
                style,
                color=colour,
                label=label if not k else None,
                linewidth=1.3,
            )
    axis.set(xlim=(0, width), ylim=(-0.15, 1.15))
    axis.axis("off")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(file, dpi=90)
    plt.close(figure)

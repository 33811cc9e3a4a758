"""Tables, pictures and counts of what the study measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 8
FOLLOWED = (
    "concatenation",
    "late-mean",
    "late-product",
    "late-stacking",
    "multiple-kernel",
    "additive",
    "low-rank",
    "gated",
)
"""Whose curves are drawn, on every set."""


def spread(s: dict[str, float], sign: str = "") -> str:
    """A value and its interval."""
    return f"{s['value']:{sign}.3f} [{s['low']:{sign}.3f}, {s['high']:{sign}.3f}]"


def table(found: dict[str, Any]) -> str:
    """One set's methods, the best first, as Markdown."""
    c = found["comparison"]
    others = [k for k in next(m["scores"] for m in c["models"] if m["scores"]) if k != c["metric"]]
    heads = [
        "method",
        f"{c['metric']} [95 %]",
        *others,
        "minus best single",
        "minus concatenation",
        "fit, cpu-s",
        "MiB",
        "numbers kept",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for m in c["models"]:
        if not m["n_splits"]:
            lines.append(
                f"| {m['name']} | failed: {m['error'].splitlines()[0][:120]} |" + " |" * (len(heads) - 2)
            )
            continue
        cells = [m["name"], spread(m["score"]), *(f"{m['scores'].get(k, float('nan')):.3f}" for k in others)]
        for label in ("best single modality", "concatenation"):
            d = m["against"].get(label)
            mark = "" if d is None else {"better": " ▲", "worse": " ▼"}.get(d["verdict"], "")
            itself = c["references"].get(label) == m["name"]
            cells.append("(itself)" if itself else "" if d is None else f"{spread(d, '+')}{mark}")
        mib = "" if m["mib"] is None else f"{m['mib']:.0f}"
        cells += [f"{m['seconds']:.2g}", mib, f"{m['parameters']:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def missing_table(found: dict[str, Any]) -> str:
    """Strategies against the share of hidden cells."""
    rates, comparisons = found["missing"]["rates"], found["missing"]["comparisons"]
    lines = [
        "| strategy | " + " | ".join(f"{r:.0%} hidden" for r in rates) + " |",
        "|" + "---|" * (len(rates) + 1),
    ]
    by = [{m["name"]: m for m in c["models"] if m["n_splits"]} for c in comparisons]
    for name in (m["name"] for m in comparisons[-1]["models"]):
        cells = []
        for models in by:
            s = models.get(name, {}).get("score")
            cells.append("failed" if s is None else spread(s))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curve_table(found: dict[str, Any]) -> str:
    """Accuracy of the references and the best methods: unharmed, and mean over modalities when one is very noisy, or absent everywhere."""
    rows = []
    every = [m["name"] for m in found["comparison"]["models"]]
    kept = {
        *found["comparison"]["references"].values(),
        *[n for n in every if not n.startswith("only ")][:SHOWN],
    }
    for name in (n for n in every if n in kept):
        curves = found["curves"].get(name)
        if not curves or "noise" not in curves:
            continue
        noise, absence = (
            np.mean([p["scores"] for p in curves[k].values()], axis=0) for k in ("noise", "absence")
        )
        worst = min(p["scores"][-1] for p in curves["absence"].values())
        rows.append(f"| {name} | {noise[0]:.3f} | {noise[-1]:.3f} | {absence[-1]:.3f} | {worst:.3f} |")
    heads = (
        "| method | unharmed | one very noisy | one absent | the worst one absent |\n|---|---|---|---|---|"
    )
    return "\n".join([heads, *rows])


def verdicts(sets: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Method -> better / worse / even than the best single modality -> sets."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, one in sets.items():
        for m in one["comparison"]["models"]:
            d = m["against"].get("best single modality")
            if d is not None and not m["name"].startswith("only "):
                kinds = found.setdefault(m["name"], {"better": [], "worse": [], "no difference shown": []})
                kinds[d["verdict"]].append(name)
    return found


def verdict_table(sets: dict[str, Any]) -> str:
    """How often each method beats, equals or loses to the best single modality."""
    counts = verdicts(sets)
    order = sorted(counts, key=lambda n: (len(counts[n]["worse"]) - len(counts[n]["better"]), n))
    lines = ["| method | better | no difference shown | worse |", "|---|---|---|---|"]
    for n in order:
        cells = [", ".join(counts[n][k]) or "-" for k in ("better", "no difference shown", "worse")]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def control_table(sets: dict[str, Any]) -> str:
    """Two methods against the same method on the one modality that serves it best."""
    lines = ["| set | method | on all | on one | difference |", "|---|---|---|---|---|"]
    for title, one in sets.items():
        for name, c in one.get("control", {}).items():
            models = {m["name"]: m for m in c["models"]}
            best, d = c["references"]["itself"], models[name]["against"]["itself"]
            mark = {"better": " ▲", "worse": " ▼"}.get(d["verdict"], "")
            told = f"{models[best]['score']['value']:.3f} ({best.removeprefix(f'{name} on ')})"
            lines.append(
                f"| {title} | {name} | {models[name]['score']['value']:.3f} | {told} | {spread(d, '+')}{mark} |"
            )
    return "\n".join(lines)


def save(figure: Any, file: Path) -> None:
    """A small PNG: few colours are enough for lines."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    Image.open(buffer).convert("RGB").quantize(48, dither=Image.Dither.NONE).save(file, optimize=True)


def written(page: str, name: str, rows: str) -> str:
    """The page with a table in place of what stood between its marks, or at its end."""
    marked = f"<!-- table {name} -->\n\n{rows}\n\n<!-- end -->"
    place = re.compile(rf"<!-- table {re.escape(name)} -->\n.*?<!-- end -->", re.DOTALL)
    return place.sub(lambda _: marked, page) if place.search(page) else f"{page}\n{marked}\n"


def colour(name: str) -> str:
    """Grey: one modality; orange: concatenation; green: decisions or kernels joined; blue: trained layers; purple: generative."""
    if name.startswith("only "):
        return "0.55"
    if name == "concatenation":
        return "tab:orange"
    if name.startswith("late") or name in ("hybrid", "multiple-kernel"):
        return "tab:green"
    if name in (
        "jmvae",
        "mvae",
        "mmvae",
        "mopoe",
        "multimodal-autoencoder",
        "gaussian-mixture",
        "hidden-markov",
    ):
        return "tab:purple"
    return "tab:blue"


def scores_picture(sets: dict[str, Any], file: Path) -> None:
    """One panel a set: difference from the best single modality, one line a method."""
    import matplotlib.pyplot as plt

    worth: dict[str, list[float]] = {}
    for one in sets.values():
        for m in one["comparison"]["models"]:
            d = m["against"].get("best single modality")
            if d is not None and not m["name"].startswith("only "):
                worth.setdefault(m["name"], []).append(d["value"])
    order = sorted(worth, key=lambda n: float(np.mean(worth[n])))
    figure, axes = plt.subplots(
        1,
        len(sets),
        figsize=(1.2 + 1.7 * len(sets), 0.7 + 0.24 * len(order)),
        sharey=True,
        layout="constrained",
    )
    for axis, (title, one) in zip(np.atleast_1d(axes), sets.items(), strict=True):
        models = {m["name"]: m["against"].get("best single modality") for m in one["comparison"]["models"]}
        for place, name in enumerate(order):
            d = models.get(name)
            if d is not None:
                axis.plot(
                    [max(d["low"], -0.5), min(d["high"], 0.5)], [place] * 2, color=colour(name), linewidth=1.5
                )
                axis.plot(
                    max(d["value"], -0.5),
                    place,
                    "o" if d["value"] > -0.5 else "<",
                    color=colour(name),
                    markersize=4,
                )
        axis.axvline(0, color="0.4", linewidth=0.8)
        low = min((d["value"] for d in models.values() if d is not None), default=-0.1)
        axis.set_xlim(max(-0.5, min(-0.15, low - 0.03)), 0.2)
        axis.set_title(f"{title} ({one['comparison']['metric']})", fontsize=9)
        axis.grid(axis="y", color="0.92")
        axis.tick_params(labelsize=7)
    np.atleast_1d(axes)[0].set_yticks(range(len(order)), order, fontsize=8)
    figure.supxlabel("difference from the best single modality, 95 % interval", fontsize=9)
    save(figure, file)
    plt.close(figure)


def curves_picture(sets: dict[str, Any], file: Path) -> None:
    """Noise above, absence below; the same methods on every set, and the best single modality."""
    import matplotlib.pyplot as plt

    drawn = {name: one for name, one in sets.items() if any("noise" in c for c in one["curves"].values())}
    figure, axes = plt.subplots(
        2, len(drawn), figsize=(2.1 * len(drawn) + 1.6, 4.6), layout="constrained", squeeze=False
    )
    for column, (title, one) in enumerate(drawn.items()):
        single = one["comparison"]["references"]["best single modality"]
        for row, what in enumerate(("noise", "absence")):
            axis = axes[row, column]
            for place, name in enumerate((single, *FOLLOWED)):
                parts = list(one["curves"].get(name, {}).get(what, {}).values())
                if parts:
                    style = {"color": "0.4", "linestyle": "--", "label": "best single modality"}
                    style = style if name == single else {"color": f"C{place - 1}", "label": name}
                    scores = np.mean([part["scores"] for part in parts], axis=0)
                    axis.plot(parts[0]["levels"], scores, marker="o", markersize=3, linewidth=1.2, **style)
            axis.grid(color="0.92")
            axis.tick_params(labelsize=7)
        axes[0, column].set_title(title, fontsize=9)
        axes[0, column].set_xlabel("noise on one (sd)", fontsize=8)
        axes[1, column].set_xlabel("rows that lack one", fontsize=8)
    axes[0, 0].set_ylabel("accuracy", fontsize=8)
    axes[1, 0].set_ylabel("accuracy", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right center")
    save(figure, file)
    plt.close(figure)


def missing_picture(sets: dict[str, Any], file: Path) -> None:
    """Strategies against the share of hidden cells, one panel a set."""
    import matplotlib.pyplot as plt

    drawn = {name: one["missing"] for name, one in sets.items() if one["missing"]}
    figure, axes = plt.subplots(
        1, len(drawn), figsize=(2.7 * len(drawn) + 2, 3.4), layout="constrained", squeeze=False
    )
    names = list(
        dict.fromkeys(m["name"] for one in drawn.values() for c in one["comparisons"] for m in c["models"])
    )
    kinds = [n for n in names if not n.startswith("only ")]
    for axis, (title, one) in zip(axes[0], drawn.items(), strict=True):
        for place, name in enumerate(sorted(kinds)):
            by = [
                {m["name"]: m["score"]["value"] for m in c["models"] if m["n_splits"]}
                for c in one["comparisons"]
            ]
            points = [(r, v[name]) for r, v in zip(one["rates"], by, strict=True) if name in v]
            if points:
                axis.plot(
                    *zip(*points, strict=True),
                    marker="os^"[place % 3],
                    markersize=4,
                    color=f"C{place}",
                    label=name,
                )
        alone = [[v for n, v in models.items() if n.startswith("only ")] for models in by]
        axis.plot(one["rates"], [max(v) for v in alone], "--", color="0.5", label="best single modality")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("share of cells hidden", fontsize=8)
        axis.grid(color="0.92")
        axis.tick_params(labelsize=7)
    axes[0, -1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[0, 0].set_ylabel("accuracy", fontsize=8)
    save(figure, file)
    plt.close(figure)

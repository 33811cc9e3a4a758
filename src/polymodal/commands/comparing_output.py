"""What `compare` leaves in its folder: the table as Markdown and JSON, pictures, and one page that holds them all."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.commands.report import Report, png_of
from polymodal.core.atomic import atomic_file
from polymodal.evaluation.model_comparison import ModelComparison

if TYPE_CHECKING:
    from polymodal.commands.comparing import CompareResult
    from polymodal.commands.comparing_missing import MissingComparison

MOST_CURVES = 7


def write_comparison(result: CompareResult, folder: Path) -> CompareResult:
    """Write everything into the folder, each file in one step.

    Raises:
        StoreError: the folder cannot be written.
    """
    pictures = draw_pictures(result)
    for name, png in pictures.items():
        with atomic_file(folder / name) as part:
            part.write_bytes(png)
    files = ("report.html", "comparison.md", "comparison.json", "runs.jsonl", *pictures)
    result = dataclasses.replace(result, output=str(folder), files=files)
    page(result, pictures).write(folder / "report.html")
    with atomic_file(folder / "comparison.md") as part:
        part.write_text(markdown(result), encoding="utf-8")
    with atomic_file(folder / "comparison.json") as part:
        text = json.dumps(finite(result.to_dict()), ensure_ascii=False, indent=1, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")
    return result


def finite(value: Any) -> Any:
    """What JSON holds; what is infinite or not a number is null."""
    if isinstance(value, dict):
        return {str(key): finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def title(result: CompareResult) -> str:
    """What was compared, in a line."""
    kinds = ", ".join(f"{name} ({kind})" for name, kind in result.modalities.items())
    return f"{len(result.comparison.models)} models predict {result.target} from {kinds}"


def markdown(result: CompareResult) -> str:
    """Tables and sentences."""
    parts = [f"# {title(result)}", _unfinished(result), _table(*result.comparison.table())]
    parts += ["\n".join(f"* {s}" for s in result.sentences())]
    if result.missing is not None:
        parts += ["## Missing modalities", _table(*result.missing.table())]
        parts += ["\n".join(f"* {s}" for s in result.missing.sentences())]
    if result.notes:
        parts += ["## How the data were taken", "\n".join(f"* {note}" for note in result.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _unfinished(result: CompareResult) -> str:
    return (
        ""
        if result.complete
        else "Stopped before all fits were done: models are compared on the splits they share."
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines)


def page(result: CompareResult, pictures: dict[str, bytes]) -> Report:
    """One HTML page with the tables and the pictures."""
    report = Report(title(result), _unfinished(result))
    captions = {
        "scores.png": f"{result.comparison.metric} and 95 % intervals. Grey: one modality alone; orange: concatenation.",
        "cost.png": "Quality against processor time of one fit; named are the references and what nothing faster equals.",
        "curves.png": "Under noise, and where a modality is absent in testing: mean over modalities, one at a time.",
        "missing.png": "Strategies against the share of cells hidden in training and testing.",
    }
    report.heading("Which method")
    _figure(report, pictures, "scores.png", captions)
    report.table(*result.comparison.table())
    for sentence in result.sentences():
        report.paragraph(sentence)
    _figure(report, pictures, "cost.png", captions)
    if "curves.png" in pictures:
        report.heading("When a modality is noisy or absent")
        _figure(report, pictures, "curves.png", captions)
        report.paragraph(
            "Measured on the first split. Noise is in standard deviations of each feature of the vectors that the models get."
        )
    if result.missing is not None:
        report.heading("When modalities are missing in training, too")
        _figure(report, pictures, "missing.png", captions)
        report.table(*result.missing.table())
        for sentence in result.missing.sentences():
            report.paragraph(sentence)
    report.heading("How the data were taken")
    for note in result.notes:
        report.paragraph(note)
    return report


def _figure(report: Report, pictures: dict[str, bytes], name: str, captions: dict[str, str]) -> None:
    if name in pictures:
        report.figure(pictures[name], captions[name])


def draw_pictures(result: CompareResult) -> dict[str, bytes]:
    """File name -> PNG, of what there is to draw."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph"
        )  # a name in letters that the font lacks is drawn as boxes
        return _drawn(result)


def _drawn(result: CompareResult) -> dict[str, bytes]:
    found = {}
    if any(m.n_splits for m in result.comparison.models):
        found["scores.png"] = png_of(_scores(result.comparison))
        found["cost.png"] = png_of(_cost(result.comparison))
    drawn = {name: c for name, c in result.curves.items() if "noise" in c}
    if drawn:
        found["curves.png"] = png_of(_curves(result.comparison, drawn))
    if result.missing is not None:
        found["missing.png"] = png_of(_missing(result.missing))
    return found


def colour_of(name: str, plain: str | None) -> str:
    """Grey for a modality alone, orange for concatenation, blue for fusions."""
    return "0.5" if name.startswith("only ") else "tab:orange" if name == plain else "tab:blue"


def _scores(comparison: ModelComparison) -> Any:
    import matplotlib.pyplot as plt

    models = [m for m in comparison.models if m.n_splits][::-1]
    figure, axis = plt.subplots(figsize=(7, 0.7 + 0.26 * len(models)), layout="constrained")
    for place, m in enumerate(models):
        colour = colour_of(m.name, comparison.references.get("concatenation"))
        if np.isfinite(m.score.high - m.score.low):
            axis.plot([m.score.low, m.score.high], [place] * 2, color=colour, linewidth=2)
        axis.plot(m.score.value, place, "o", color=colour, markersize=5)
    best = comparison.references.get("best single modality")
    if best is not None:
        axis.axvline(comparison[best].score.value, color="0.7", linestyle=":", linewidth=1)
    axis.set_yticks(range(len(models)), [_safe(m.name) for m in models], fontsize=8)
    axis.set_xlabel(comparison.metric)
    axis.grid(axis="y", color="0.92")
    return figure


def _cost(comparison: ModelComparison) -> Any:
    import matplotlib.pyplot as plt

    models = [m for m in comparison.models if m.n_splits]
    sign = -1 if comparison.metric == "MAE" else 1
    named = set(comparison.references.values())
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for m in models:
        place = (max(m.seconds, 1e-3), m.score.value)
        colour = colour_of(m.name, comparison.references.get("concatenation"))
        axis.plot(*place, "o", color=colour, markersize=5)
        faster = [other.score.value * sign for other in models if other.seconds < m.seconds]
        if m.name in named or m.score.value * sign > max(
            faster, default=-np.inf
        ):  # the others would be illegible
            axis.annotate(_safe(m.name), place, xytext=(4, 3), textcoords="offset points", fontsize=7)
    axis.set_xscale("log")
    axis.set_xlabel("processor seconds of one fit")
    axis.set_ylabel(comparison.metric)
    axis.grid(color="0.92")
    return figure


def chosen_for_curves(comparison: ModelComparison, known: dict[str, Any]) -> list[str]:
    """The references, then the best of the rest, as many as a picture can hold."""
    first = [name for name in comparison.references.values() if name in known]
    rest = [m.name for m in comparison.models if m.name in known and m.name not in first]
    rest = [name for name in rest if not name.startswith("only ")]
    return list(dict.fromkeys([*first, *rest]))[:MOST_CURVES]


def mean_curve(curves: dict[str, Any]) -> tuple[list[float], np.ndarray]:
    """Levels, and the score at each, mean over the modalities that are harmed one at a time."""
    parts = list(curves.values())
    return parts[0]["levels"], np.mean([part["scores"] for part in parts], axis=0)


def _curves(comparison: ModelComparison, curves: dict[str, Any]) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    labels = ("noise on one modality (standard deviations)", "share of rows that lack one modality")
    for axis, what, label in zip(axes, ("noise", "absence"), labels, strict=True):
        for name in chosen_for_curves(comparison, curves):
            levels, scores = mean_curve(curves[name][what])
            single = name.startswith("only ")
            axis.plot(
                levels,
                scores,
                "--" if single else "-",
                color="0.5" if single else None,
                marker="o",
                markersize=3,
                label=_safe(name),
            )
        axis.set_xlabel(label, fontsize=9)
        axis.grid(color="0.92")
    axes[0].set_ylabel(next(iter(curves.values()))["scorer"])
    axes[1].legend(frameon=False, fontsize=7)
    return figure


def _missing(missing: MissingComparison) -> Any:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for place, name in enumerate(m.name for m in missing.comparisons[-1].models):
        points = [
            (rate, m.score.value)
            for rate, c in zip(missing.rates, missing.comparisons, strict=True)
            for m in c.models
            if m.name == name and m.n_splits
        ]
        if not points:
            continue
        single = name.startswith("only ")
        style = {"color": "0.6", "linestyle": ":"} if single else {"color": f"C{place % 10}"}
        axis.plot(
            *zip(*points, strict=True),
            marker="o" if place < 10 else "s",
            markersize=4,
            label=_safe(name),
            **style,
        )
    axis.set_xlabel("share of cells that are missing")
    axis.set_ylabel(missing.comparisons[0].metric)
    axis.grid(color="0.92")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _safe(name: str) -> str:
    """A user's name as it is: `$` begins no formula."""
    return name.replace("$", r"\$")

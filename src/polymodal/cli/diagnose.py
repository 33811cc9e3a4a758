"""`diagnose`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from polymodal.cli import options as o
from polymodal.cli.answering import answering, emit, waiting
from polymodal.cli.printing import line, notes, table


def diagnose(
    path: o.Data,
    target: o.Target = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the report (HTML, pictures inside) goes."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            metavar="COLUMN",
            help="Rows of one value (one person, one recording) are held out together.",
        ),
    ] = None,
    task: Annotated[
        str, typer.Option("--task", metavar="auto|classification|regression", help="What the target holds.")
    ] = "auto",
    limit: Annotated[
        int, typer.Option("--limit", metavar="ROWS", help="At most so many rows, drawn at random.", min=2)
    ] = 3000,
    seed: Annotated[int, typer.Option("--seed", help="Fixes everything that is left to chance.")] = 0,
    modality: o.Modality = [],  # noqa: B006
    only: o.Only = "",
    id: o.Id = None,
    image_size: o.ImageSize = 64,
    nan: o.Nan = "raise",
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """What each modality says of a target, alone and together, what follows, and what the data cannot tell.

    For example:

      polymodal diagnose reviews.csv --target recommended -o report.html

      polymodal diagnose digits --target label --groups speaker --json
    """
    with answering(as_json=as_json):
        from polymodal.commands.diagnosing import Effort, diagnose_data
        from polymodal.core.errors import ConfigError

        if task not in ("auto", "classification", "regression"):
            raise ConfigError(f"--task is auto, classification or regression, got {task!r}.")
        source = o.source(path, modality, only=only, target=target, id=id, image_size=image_size, nan=nan)
        with waiting("Diagnosing"):
            found = diagnose_data(
                source,
                output=output,
                overwrite=overwrite,
                group=groups,
                task=task,  # type: ignore[arg-type]
                effort=Effort(rows=limit),
                random_state=seed,
                say=_progress(),
            )
        if not emit(found, as_json):
            _print(found)


def _progress() -> Callable[[str], None]:
    """Each part on the standard error stream, with the seconds since the start."""
    start = time.perf_counter()

    def say(text: str) -> None:
        sys.stderr.write(f"[{time.perf_counter() - start:5.1f} s] {text}\n")
        sys.stderr.flush()

    return say


def _print(found: Any) -> None:
    facts, scores, advice = found.understanding, found.scores, found.recommendation
    line(f"{advice.sentence}")
    notes(advice.reasons)
    for warning in advice.warnings:
        line(f"Look at this first: {warning}")
    line(
        f"\n{facts.used:,} of {facts.rows:,} rows, {facts.units:,} held out by themselves; {facts.target} is a "
        f"{'class' if facts.classes else 'quantity'}"
    )
    notes(facts.notes)
    table(
        ("model", f"{scores.metric} [95 %]", "over chance"),
        [
            (
                s.name,
                s.score,
                f"{s.above_chance.value:+.3f} [{s.above_chance.low:+.3f}, {s.above_chance.high:+.3f}]",
            )
            for s in (*scores.alone, *scores.fusions)
        ],
    )
    for pair in found.pairs:
        line(f"{pair.names[0]} and {pair.names[1]}: {', '.join(pair.labels)}")
        notes([pair.sentence])
    line("\nWhat these data cannot tell:")
    notes(found.cannot_tell)
    if found.output is not None:
        line(f"\nThe report with pictures: {found.output}")
    else:
        line("\nWith -o report.html everything is written, with pictures.")

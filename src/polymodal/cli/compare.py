"""`compare`: which way of fusing predicts best on one's own data, beside the best single modality and concatenation."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from polymodal.cli import options as o
from polymodal.cli.answering import answering, emit
from polymodal.cli.printing import line, notes, table

if TYPE_CHECKING:
    from polymodal.commands.comparing import CompareResult
    from polymodal.evaluation.model_runs import Run

WHAT = "What is compared"
ROWS = "How rows are divided"
HARM = "Missing and noisy modalities"


def compare(
    data: o.Data,
    target: o.Target = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where tables, pictures, the page and every fit go; the same command goes on after a stop.",
        ),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            metavar="NAME,...",
            help="Fusions: tensor, low-rank, late (all its rules), late-product, ...; all that fit by default.",
            rich_help_panel=WHAT,
        ),
    ] = "",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A first look: few methods and epochs, 3 splits, at most 1,000 rows.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Give methods the values themselves (pictures, texts), which they encode; by default all get the same vectors.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Passes over the rows (trained methods).", rich_help_panel=WHAT),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="auto|classification|regression|multilabel",
            help="What the target holds, where its values do not tell; multilabel: texts such as 'red; large'.",
            rich_help_panel=WHAT,
        ),
    ] = "auto",
    splits: Annotated[
        int | None,
        typer.Option(
            "--splits",
            "--seeds",
            min=1,
            help="Random divisions of the rows (5); or seeds of the methods with --split (3).",
            rich_help_panel=ROWS,
        ),
    ] = None,
    test_size: Annotated[
        float,
        typer.Option("--test-size", metavar="SHARE", help="Share of rows to test on.", rich_help_panel=ROWS),
    ] = 0.25,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="COLUMN",
            help="Learn where COLUMN is 'train', test where it is 'test' (or anything else).",
            rich_help_panel=ROWS,
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            "--group",
            metavar="COLUMN",
            help="Rows of one value (speaker, patient) stay on one side.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    intervals: Annotated[
        str,
        typer.Option(
            "--intervals",
            metavar="splits|rows",
            help="Of random splits: allow for other training rows (splits), or take them as given (rows: narrower with few splits).",
            rich_help_panel=ROWS,
        ),
    ] = "splits",
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=20, help="Take at most so many rows, at random.", rich_help_panel=ROWS),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Fixes everything that is left to chance.")] = 0,
    missing: Annotated[
        str,
        typer.Option(
            "--missing",
            metavar="RATE,...",
            help="Hide cells in training and testing and compare what can be done about it: 0,0.2,0.5.",
            rich_help_panel=HARM,
        ),
    ] = "",
    noise: Annotated[
        str,
        typer.Option(
            "--noise",
            metavar="LEVEL,...|none",
            help="Levels of noise of the curves, in standard deviations.",
            rich_help_panel=HARM,
        ),
    ] = "0,0.5,1,2",
    modality: o.Modality = [],  # noqa: B006
    only: o.Only = "",
    id: o.Id = None,
    image_size: o.ImageSize = 64,
    nan: o.Nan = "raise",
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """Compare ways of fusing the modalities of DATA: which predicts --target best, and is it better than one modality alone?

    For example:

      polymodal compare patients.csv --target outcome -m gene=gene_* -m protein=protein_* -o study

      polymodal compare photos/ --target category --quick

      polymodal compare clips/ --target mood --groups speaker --missing 0,0.2,0.5 -o study
    """
    keep_on = (
        f" The fits that were done are in {output}; give the same command again and it goes on."
        if output
        else ""
    )
    with answering(as_json=as_json, after_interrupt=keep_on):
        from polymodal.commands.comparing import CompareSettings, compare_data
        from polymodal.commands.comparing_data import Division
        from polymodal.core.errors import ConfigError

        if task not in ("auto", "classification", "regression", "multilabel"):
            raise ConfigError(f"--task is auto, classification, regression or multilabel, got {task!r}.")
        if intervals not in ("splits", "rows"):
            raise ConfigError(f"--intervals is splits or rows, got {intervals!r}.")
        n = splits if splits is not None else 3 if split is not None else 5
        settings = CompareSettings(
            methods=tuple(o.names_of(methods)),
            division=Division(split=split, groups=groups, n=n, test_size=test_size, limit=rows, seed=seed),
            task=task,  # type: ignore[arg-type]
            missing=numbers(missing, "--missing"),
            noise=() if noise == "none" else numbers(noise, "--noise"),
            epochs=epochs,
            quick=quick,
            raw=raw,
            intervals=intervals,  # type: ignore[arg-type]
        )
        found = o.source(data, modality, only=only, target=target, id=id, image_size=image_size, nan=nan)
        with Progress() as shown:
            result = compare_data(
                found, settings=settings, output=output, overwrite=overwrite, told=shown.step
            )
        if not emit(result, as_json):
            _print(result)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """`0,0.2,0.5` as numbers.

    Raises:
        ConfigError: a part that is no number.
    """
    from polymodal.core.errors import ConfigError

    try:
        return tuple(float(part) for part in o.names_of(text))
    except ValueError:
        raise ConfigError(
            f"{option} is a list of numbers, such as {option} 0,0.2,0.5; got {text!r}."
        ) from None


class Progress:
    """A line on the standard error stream that is written over: fits done, the last one, and the time that is left."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._first = 0
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def step(self, run: Run, done: int, total: int) -> None:
        """One fit more."""
        self._first = self._first or done - 1
        if not sys.stderr.isatty():
            return
        left = (time.monotonic() - self._begin) / max(1, done - self._first) * (total - done)
        text = (
            f"{done} of {total} fits, about {left:.0f} s left; {'failed: ' if run.error else ''}{run.model}"
        )
        sys.stderr.write(f"\r\033[2K{text[:110]}")
        sys.stderr.flush()
        self._shown = True

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[2K")


def _print(result: CompareResult) -> None:
    comparison = result.comparison
    kinds = ", ".join(f"{name} ({kind})" for name, kind in result.modalities.items())
    fits = f"{len(comparison.runs)} fits in {result.seconds:.0f} s"
    fits += f", {result.resumed} of them done before" if result.resumed else ""
    line(f"{result.target} from {kinds}: {fits}")
    notes(result.notes)
    table(*comparison.table())
    for sentence in result.sentences():
        line(sentence)
    if result.missing is not None:
        line()
        line("Missing in training and in testing")
        table(*result.missing.table())
        for sentence in result.missing.sentences():
            line(sentence)
    if result.output is not None:
        line(f"Written to {result.output}: {', '.join(result.files)}")
    else:
        line("With -o FOLDER tables, pictures and a page are written, and a run that is stopped can go on.")

"""`align`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from polymodal.cli import options as o
from polymodal.cli.answering import answering, emit, waiting
from polymodal.cli.printing import line, notes, table

FILE_HELP = "A recording (wav, flac, ogg, mp3), a table of frames (csv, tsv, ...), an array (npy, npz), or a text, a sentence a line (txt)."
FRAMES, WORDS, TRUTH = "For frames", "For texts", "Against a truth"


def align(
    a: Annotated[str, typer.Argument(metavar="A", help=FILE_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other: of the same kind, of any length.")],
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="dtw, soft_dtw, ctw, assignment, transport, gromov_wasserstein, mutual_neighbours; for texts hmm, ibm1, ibm2.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where matches, summary and pictures go."),
    ] = None,
    set: Annotated[
        list[str],
        typer.Option(
            "--set", "-s", metavar="NAME=VALUE", help="Any parameter of the method, such as epsilon=0.1."
        ),
    ] = [],  # noqa: B006
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="Distance of two frames: euclidean, sqeuclidean, cityblock, cosine.",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="FRAMES|SECONDSs",
            help="How far a path may stray from the straight line: 50, or 0.5s.",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option("--step", help="Moves of dtw: symmetric1, symmetric2, ...", rich_help_panel=FRAMES),
    ] = None,
    gamma: Annotated[
        float | None, typer.Option("--gamma", help="Smoothing of soft_dtw.", rich_help_panel=FRAMES)
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            "--normalise",
            metavar="each|both|none",
            help="Features to mean 0 and deviation 1: in each file (default), over both, or not.",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    sample_rate: Annotated[
        int,
        typer.Option(
            "--sample-rate", metavar="HZ", help="What recordings are brought to.", rich_help_panel=FRAMES
        ),
    ] = 16_000,
    hop_seconds: Annotated[
        float,
        typer.Option(
            "--hop-seconds", metavar="SECONDS", help="Between frames of a recording.", rich_help_panel=FRAMES
        ),
    ] = 0.02,
    array: Annotated[
        str | None,
        typer.Option(
            "--array", metavar="NAME[,NAME_B]", help="Which array of .npz files.", rich_help_panel=FRAMES
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            help="How both directions are joined: intersection, union, grow-diag, grow-diag-final, grow-diag-final-and, or forward.",
            rich_help_panel=WORDS,
        ),
    ] = "grow-diag-final-and",
    train_a: Annotated[
        str | None,
        typer.Option(
            "--train-a", metavar="FILE", help="More sentences like A to learn from.", rich_help_panel=WORDS
        ),
    ] = None,
    train_b: Annotated[
        str | None,
        typer.Option("--train-b", metavar="FILE", help="Their translations.", rich_help_panel=WORDS),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            "--truth",
            metavar="FILE",
            help="A table of true pairs: index_a and index_b (from 0), or seconds_a and seconds_b; for texts also sentence and sure.",
            rich_help_panel=TRUTH,
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", help="What is near enough, in seconds (or frames).", rich_help_panel=TRUTH
        ),
    ] = 0.0,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """Which part of A goes with which part of B: recordings, series, sets of vectors, or sentences and their translations.

    For example:

      polymodal align take1.wav take2.wav -o aligned

      polymodal align english.txt german.txt --truth links.csv
    """
    with answering(as_json=as_json):
        from polymodal.commands.aligning import align_files
        from polymodal.commands.alignment_settings import AlignSettings
        from polymodal.commands.alignment_sources import SequenceReading
        from polymodal.core.errors import ConfigError

        if (train_a is None) != (train_b is None):
            raise ConfigError("--train-a and --train-b go together: sentences and their translations.")
        given = {"metric": metric, "step": step, "gamma": gamma}
        parameters: dict[str, Any] = {**o.settings(set), **{k: v for k, v in given.items() if v is not None}}
        settings = AlignSettings(
            parameters=parameters,
            window=window,
            normalise=normalise,
            rule=rule,
            train=None if train_a is None or train_b is None else (train_a, train_b),
            tolerance=tolerance,
        )
        with waiting("Aligning"):
            result = align_files(
                a,
                b,
                method=method,
                settings=settings,
                reading=SequenceReading(array, sample_rate, hop_seconds),
                truth=truth,
                output=output,
                overwrite=overwrite,
            )
        if not emit(result, as_json):
            _print(result)


def _print(result: Any) -> None:
    line(
        f"Aligned {result.length_a:,} {result.kind} of {result.a} and {result.length_b:,} of {result.b} by {result.settings}"
    )
    notes(result.notes)
    per = {"words": "word of b", "frames": "unit of length"}[result.kind]
    line(f"  cost {result.cost:.6g}, {result.normalised_cost:.4g} per {per}")
    line(
        f"  {result.n_matches:,} matches; {100 * result.coverage_a:.0f} % of a and {100 * result.coverage_b:.0f} % of b are in one"
    )
    if result.tempo is not None:
        timed = result.rate_a is not None and result.rate_b is not None
        unit = "seconds of b per second of a" if timed else "frames of b per frame of a"
        line(f"  tempo {result.tempo:.3f} {unit}")
    if result.kind == "words":
        _print_words(result)
    else:
        _print_matches(result)
    if result.error:
        line("Against the truth: " + ", ".join(f"{k} {v:.4g}" for k, v in result.error.items()))
    if result.output is not None:
        line(f"Written to {result.output}: {', '.join(result.files)}")
    else:
        line("With -o FOLDER all matches and pictures are written.")


def _print_words(result: Any) -> None:
    by_sentence: dict[int, list[str]] = {}
    for row in result.first:
        by_sentence.setdefault(row["sentence"], []).append(f"{row['word_a']}-{row['word_b']}")
    for sentence, links in by_sentence.items():
        line(f"  {sentence}: {' '.join(links)}")


def _print_matches(result: Any) -> None:
    rows = [list(row.values()) for row in result.first]
    if result.last:
        rows += (
            [["..."] * len(result.last[0])] if result.n_matches > len(result.first) + len(result.last) else []
        )
        rows += [list(row.values()) for row in result.last]
    if rows:
        columns = [name.replace("_", " ") for name in (*result.first, *result.last)[0]]
        table(columns, [[f"{cell:.4g}" if isinstance(cell, float) else cell for cell in row] for row in rows])

"""`describe`, `fit`, `embed` and `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from polymodal.cli import options as o
from polymodal.cli.answering import answering, emit, waiting
from polymodal.cli.printing import command, line, notes, table

if TYPE_CHECKING:
    from polymodal.commands.evaluating import EvaluateResult
    from polymodal.commands.fitting import FitResult

TRAINING = "Training (methods that learn in epochs)"
HOLDING = "Rows kept back for evaluation"


def describe(
    data: o.Data,
    modality: o.Modality = [],  # noqa: B006 - typer copies it
    only: o.Only = "",
    target: o.Target = None,
    id: o.Id = None,
    image_size: o.ImageSize = 64,
    nan: o.Nan = "raise",
    as_json: o.Json = False,
) -> None:
    """Say what was understood of DATA: rows, kinds, shapes, what is missing, duplicates, suspicious columns.

    For example:

      polymodal describe photos/

      polymodal describe patients.csv --modality gene=gene_* --modality protein=protein_*
    """
    with answering(as_json=as_json):
        from polymodal.commands.describing import describe_data

        with waiting("Reading"):
            result = describe_data(
                o.source(data, modality, only=only, target=target, id=id, image_size=image_size, nan=nan)
            )
        if not emit(result, as_json):
            line(str(result))


def fit(
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help=o.DATA_HELP + " Or [data] path in the configuration."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="What to fit: clip, cca, late-fusion, ... (see `polymodal methods`)."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="MODEL", help="The model folder to write.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE.toml", help="Everything in a file; options here win over it."),
    ] = None,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="A parameter of the method: n_components=64, reg=0.3."
        ),
    ] = [],  # noqa: B006
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the rows.", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Rows per step.", rich_help_panel=TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Largest step size.", rich_help_panel=TRAINING)
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda, mps.", rich_help_panel=TRAINING)
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="FOLDER",
            help="Keep checkpoints; the same command goes on after a stop.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Fixes everything that is left to chance.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="COLUMN",
            help="Learn only from rows where COLUMN is 'train'.",
            rich_help_panel=HOLDING,
        ),
    ] = None,
    hold_out: Annotated[
        float,
        typer.Option(
            "--hold-out",
            metavar="SHARE",
            help="Hold out this share of the rows or groups.",
            rich_help_panel=HOLDING,
        ),
    ] = 0.0,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="COLUMN",
            help="With --hold-out: whole groups of COLUMN are held out.",
            rich_help_panel=HOLDING,
        ),
    ] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Drop rows that lack a modality.")] = False,
    modality: o.Modality = [],  # noqa: B006
    only: o.Only = "",
    target: o.Target = None,
    id: o.Id = None,
    image_size: o.ImageSize = 64,
    nan: o.Nan = "raise",
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """Fit a method to DATA and save the model.

    A method that takes vectors only (cca) is given vectors of pictures, texts and sounds by itself.

    For example:

      polymodal fit photos/ --method clip --epochs 20 -o model

      polymodal fit photos/ --method cca --set n_components=40 --set reg=0.3 --hold-out 0.2 -o model

      polymodal fit patients.parquet --method late-fusion --target outcome --split split -o model

      polymodal fit --config experiment.toml
    """
    keep_on = (
        f" The training goes on from {checkpoint} when you give the same command again." if checkpoint else ""
    )
    with answering(as_json=as_json, after_interrupt=keep_on):
        from polymodal.cli.configuration import FitRequest, request_from

        given = {
            "max_epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "device": device,
            "checkpoint": checkpoint,
        }
        request = request_from(
            config,
            FitRequest(
                source=None
                if data is None
                else o.source(
                    data, modality, only=only, target=target, id=id, image_size=image_size, nan=nan
                ),
                method=method,
                output=output,
                settings=o.settings(set_),
                training={k: v for k, v in given.items() if v is not None},
                seed=seed,
                split=split,
                hold_out=hold_out,
                group=group,
                complete=complete,
                overwrite=overwrite,
            ),
        )
        result = request.run()
        if not emit(result, as_json):
            _print_fit(result, str(request.source.path) if request.source else "DATA")


def _print_fit(result: FitResult, data: str) -> None:
    kinds = ", ".join(f"{name} ({kind})" for name, kind in result.modalities.items())
    line(f"{result.method} learned from {result.rows:,} rows in {result.seconds:.1f} s: {kinds}")
    notes(result.notes)
    if result.score is not None:
        line(f"Score on the rows it learned from: {result.score:.3f}")
    if result.held_out_score is not None:
        line(f"Score on {result.held_out:,} rows that were held out: {result.held_out_score:.3f}")
    line(f"Saved in {result.model}. Next:")
    line("  " + command("evaluate", result.model, data))
    line(
        "  "
        + (
            command("index", result.model, data, "-o", "INDEX")
            if result.target is None
            else command("embed", result.model, data, "-o", "vectors.npz")
        )
    )


def embed(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder that `polymodal fit` wrote.")],
    data: o.Data,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="VECTORS", help="The file to write: .npz or .parquet.")
    ],
    modality: o.Modality = [],  # noqa: B006
    only: o.Only = "",
    id: o.Id = None,
    nan: o.Nan = "raise",
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """Write the representations that MODEL gives of DATA, with ids and metadata. DATA may have any of its modalities.

    For example:

      polymodal embed model new_photos/ -o vectors.npz
    """
    with answering(as_json=as_json):
        from polymodal.commands.embedding import embed_data

        with waiting("Embedding"):
            result = embed_data(
                model, o.source(data, modality, only=only, id=id, nan=nan), output, overwrite=overwrite
            )
        if not emit(result, as_json):
            shapes = ", ".join(
                f"{name} {' x '.join(map(str, shape))}" for name, shape in result.representations.items()
            )
            line(f"Wrote {result.rows:,} rows to {result.vectors}: {shapes}")
            notes(result.notes)


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder that `polymodal fit` wrote.")],
    data: o.Data,
    rows: Annotated[
        str | None,
        typer.Option(
            "--rows",
            metavar="all|COLUMN=VALUE",
            help="Which rows; by default those that fit held out, if any.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="COLUMN", help="In retrieval, rows of one group are answers to each other."
        ),
    ] = None,
    modality: o.Modality = [],  # noqa: B006
    only: o.Only = "",
    target: o.Target = None,
    id: o.Id = None,
    nan: o.Nan = "raise",
    as_json: o.Json = False,
) -> None:
    """Measure MODEL on DATA: each modality asked for each other one, or how well it predicts; with 95 % intervals.

    For example:

      polymodal evaluate model photos/

      polymodal evaluate model photos/ --rows split=test
    """
    with answering(as_json=as_json):
        from polymodal.commands.evaluating import evaluate_model

        with waiting("Evaluating"):
            result = evaluate_model(
                model,
                o.source(data, modality, only=only, target=target, id=id, nan=nan),
                rows=rows,
                group=group,
            )
        if not emit(result, as_json):
            _print_evaluation(result)


def _print_evaluation(result: EvaluateResult) -> None:
    line(f"{result.method} on {result.rows:,} rows ({result.which})")
    notes(result.notes)
    if result.retrieval is not None:
        table(
            ("asked with", "for", "among", "hit@1", "hit@5", "hit@10", "median rank", "mAP"),
            _retrieval_rows(result.retrieval),
        )
        line("hit@k: share of queries with a right answer among the first k [95 % interval]")
    elif result.prediction:
        rows = [
            (name, f"{v.value:.3f}", f"[{v.low:.3f}, {v.high:.3f}]") for name, v in result.prediction.items()
        ]
        table(("from", str(result.metric), "95 % interval"), rows)
    if result.score is not None:
        line(f"Score: {result.score:.3f}")


def _retrieval_rows(report: Any) -> list[tuple[Any, ...]]:
    rows = []
    for s in report.scores:
        hits = [
            f"{s.any_hit[k].value:.3f} [{s.any_hit[k].low:.3f}, {s.any_hit[k].high:.3f}]" for k in (1, 5, 10)
        ]
        rows.append(
            (
                s.query,
                s.target,
                f"{s.n_candidates:,}",
                *hits,
                f"{s.median_rank.value:g}",
                f"{s.mean_average_precision.value:.3f}",
            )
        )
    return rows

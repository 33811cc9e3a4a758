"""`index` and `search`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from polymodal.cli import options as o
from polymodal.cli.answering import answering, emit, waiting
from polymodal.cli.printing import command, line, notes, table

ASKING = "What to ask (several add up)"


def index(
    first: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model folder; or, alone, vectors that `polymodal embed` wrote."
        ),
    ],
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help=o.DATA_HELP)] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="INDEX", help="The index folder to write.")
    ] = "",
    approximate: Annotated[
        bool, typer.Option("--approximate", help="For large data: faster search, with its measured recall.")
    ] = False,
    modality: o.Modality = [],  # noqa: B006
    only: o.Only = "",
    id: o.Id = None,
    nan: o.Nan = "raise",
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """Build an index of DATA as MODEL sees them, with texts, paths and metadata. It holds the model, and can be moved.

    For example:

      polymodal index model photos/ -o photos.index

      polymodal index vectors.npz -o vectors.index
    """
    with answering(as_json=as_json):
        from polymodal.commands.indexing import build_index
        from polymodal.core.errors import ConfigError

        if not output:
            raise ConfigError("index needs -o INDEX, the folder to write.")
        model = first if data is not None else None
        with waiting("Indexing"):
            result = build_index(
                o.source(data or first, modality, only=only, id=id, nan=nan),
                output,
                model=model,
                approximate=approximate,
                overwrite=overwrite,
            )
        if not emit(result, as_json):
            counts = ", ".join(f"{name} {count:,}" for name, count in result.modalities.items())
            line(f"Indexed {result.vectors:,} vectors in {result.index}: {counts}")
            notes(result.notes)
            for name, recall in result.approximate.items():
                line(f"  {name}: approximate search, measured recall {recall:.3f}")
            line("Next:")
            line(
                "  "
                + (
                    command("search", result.index, "--text", "...")
                    if result.takes_text
                    else command("search", result.index, "--row", "ID")
                )
            )


def search(
    index: Annotated[str, typer.Argument(metavar="INDEX", help="An index folder.")],
    asked: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="A text to ask with; the same as --text.")
    ] = None,
    text: Annotated[list[str], typer.Option("--text", "-t", help="A text.", rich_help_panel=ASKING)] = [],  # noqa: B006
    image: Annotated[
        list[str], typer.Option("--image", "-i", metavar="FILE", help="A picture.", rich_help_panel=ASKING)
    ] = [],  # noqa: B006
    audio: Annotated[
        list[str], typer.Option("--audio", "-a", metavar="FILE", help="A recording.", rich_help_panel=ASKING)
    ] = [],  # noqa: B006
    row: Annotated[
        list[str], typer.Option("--row", metavar="ID", help="A row of the index.", rich_help_panel=ASKING)
    ] = [],  # noqa: B006
    query: Annotated[
        list[str],
        typer.Option(
            "--query",
            "-q",
            metavar="NAME=VALUE",
            help="Any modality by name: a text, a file, numbers.",
            rich_help_panel=ASKING,
        ),
    ] = [],  # noqa: B006
    minus_text: Annotated[
        list[str], typer.Option("--minus-text", help="Lead away from a text.", rich_help_panel=ASKING)
    ] = [],  # noqa: B006
    minus_image: Annotated[
        list[str],
        typer.Option(
            "--minus-image", metavar="FILE", help="Lead away from a picture.", rich_help_panel=ASKING
        ),
    ] = [],  # noqa: B006
    weight: Annotated[
        list[str],
        typer.Option(
            "--weight",
            "-w",
            metavar="NAME=NUMBER",
            help="Share of text, image, audio, row or a modality; 1 by default.",
            rich_help_panel=ASKING,
        ),
    ] = [],  # noqa: B006
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="NAME,...|all",
            help="Which modalities to search; by default those not asked with.",
        ),
    ] = "",
    where: Annotated[
        str | None, typer.Option("--where", help="Condition on metadata: \"label = 'cat' AND year > 1990\".")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="The model, where the index does not hold it."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Do without the approximate index.")] = False,
    as_json: o.Json = False,
) -> None:
    """Find what is near to a text, a picture, a recording, a row, or several of them added and subtracted.

    For example:

      polymodal search photos.index "a red car"

      polymodal search photos.index --image car.png --minus-text "red" --text "blue" --weight text=0.5

      polymodal search photos.index "image:17 - text:blue + 0.5 * text:red" --target image

      polymodal search photos.index --row 17 --target image --where "label = 'car'"
    """
    with answering(as_json=as_json):
        from polymodal.commands.searching import search_index

        terms = _terms(
            {
                "text": ([*([] if asked is None else [asked]), *text], 1),
                "image": (image, 1),
                "audio": (audio, 1),
                "row": (row, 1),
            },
            {"text": (minus_text, -1), "image": (minus_image, -1)},
            query,
            o.weights(weight),
        )
        with waiting("Searching"):
            result = search_index(
                index,
                asked if asked is not None and len(terms) == 1 and not weight else terms,
                model=model,
                k=k,
                target=o.names_of(target),
                where=where,
                exact=exact,
            )
        if not emit(result, as_json):
            line(f"{result.query}, among {', '.join(result.searched)}")
            table(
                ("", "id", "found", "score", "what it is"),
                [_row(i, hit) for i, hit in enumerate(result.hits, start=1)],
            )
            if result.recall < 1:
                line(f"Approximate search, measured recall {result.recall:.3f}. --exact does without.")


def _terms(
    plus: dict[Any, Any], minus: dict[Any, Any], query: list[str], weights: dict[str, float]
) -> list[Any]:
    from polymodal.commands.searching import Term
    from polymodal.core.errors import ConfigError, suggest

    terms = []
    for group in (plus, minus):
        for asked, (values, sign) in group.items():
            terms += [Term(asked, value, sign * weights.get(asked, 1.0)) for value in values]
    for name, value in o.pairs(query, "--query", "caption='a red car'").items():
        terms.append(Term("modality", value, weights.get(name, 1.0), name))
    known = {t.name or t.asked for t in terms}
    unused = [name for name in weights if name not in known]
    if unused:
        raise ConfigError(
            f"--weight {unused[0]} weighs nothing: the query has {sorted(known)}.{suggest(unused[0], known)}"
        )
    return terms


def _row(place: int, hit: dict[str, Any]) -> tuple[Any, ...]:
    """A hit: its own text or path first, then what else is known in words, then labels."""
    known = {k: str(v) for k, v in hit["metadata"].items() if isinstance(v, str)}
    own = known.pop(hit["modality"], None)
    rest = sorted((v for v in known.values() if v != own), key=lambda v: " " not in v)
    shown = " · ".join(_short(v) for v in ([own] if own else []) + rest[:2])
    return place, hit["id"], hit["modality"], f"{hit['score']:.3f}", shown


def _short(text: str) -> str:
    """At most 60 characters: the begin of a text, the end of a path."""
    if len(text) <= 60:
        return text
    return "..." + text[-57:] if text.startswith(("/", "~")) else text[:57] + "..."

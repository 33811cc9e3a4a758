"""`polymodal`: all commands. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from polymodal.cli import align, compare, diagnose, find, learn
from polymodal.cli import options as o
from polymodal.cli.answering import BAD_INPUT, FAILURE, answering, emit, fail, plain
from polymodal.cli.printing import line, table


class Commands(TyperGroup):
    """The commands; with `--json`, a command line that is not right is told as JSON, too."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run; always ends in `SystemExit`."""
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        if "--json" not in given[:end] or not options.get("standalone_mode", True):
            return super().main(given, *rest, **options)
        try:
            code = super().main(given, *rest, **{**options, "standalone_mode": False})
        except typer.Abort:
            sys.exit(FAILURE)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            try:
                fail(error.format_message(), "UsageError", BAD_INPUT, True)
            except typer.Exit as done:
                sys.exit(done.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=Commands,
    name="polymodal",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> bool:
    if wanted:
        from polymodal import __version__

        line(f"polymodal {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def polymodal(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Learn, align, search and explain representations of several modalities at once.

    Begin with `polymodal demo`, or with your own data: describe, fit, evaluate, index, search.

    Exit codes: 0 done, 1 failed, 2 something in the command or the data is not right, 130 stopped by Ctrl-C.
    """


app.command()(learn.describe)
app.command()(learn.fit)
app.command()(learn.evaluate)
app.command()(compare.compare)
app.command()(learn.embed)
app.command()(find.index)
app.command()(find.search)
app.command()(align.align)
app.command()(diagnose.diagnose)


@app.command()
def methods(
    family: Annotated[str | None, typer.Option("--family", help="coordination, fusion or fission.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="Takes this kind by itself: vector, grid, sequence, sound, text."),
    ] = None,
    missing: Annotated[
        bool | None, typer.Option("--missing/--no-missing", help="Takes rows that lack a modality, or not.")
    ] = None,
    target: Annotated[
        bool | None, typer.Option("--target/--no-target", help="Can learn from labels, or not.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[METHOD]", help="One method, with its parameters.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """The capability table: what each method needs and gives. Filters narrow it; a name shows one method's parameters.

    For example:

      polymodal methods --family fusion --missing

      polymodal methods clip
    """
    with answering(as_json=as_json):
        import json

        from polymodal.commands.capabilities import find_method, list_methods

        found = list_methods(family=family, kind=kind, missing=missing, target=target)
        if name is not None:
            cls = find_method(name)
            found = [c for c in found if c.name == cls.__name__]
        if as_json:
            sys.stdout.write(
                json.dumps([plain(c.to_dict()) for c in found], indent=1, ensure_ascii=False) + "\n"
            )
        elif name is not None and found:
            line(f"{found[0].name} ({found[0].family}): {found[0].summary}")
            table(("parameter", "default"), list(found[0].parameters.items()))
        else:
            _print_methods(found)


def _print_methods(found: list[Any]) -> None:
    rows = []
    for c in found:
        least, most = c.modalities
        count = f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"
        kinds = "all" if len(c.kinds) == 5 else ", ".join(c.kinds)
        missing = "unpaired too" if c.missing and c.unpaired else "yes" if c.missing else "no"
        rows.append(
            (
                c.name,
                c.family,
                count,
                kinds,
                missing,
                c.target,
                "epochs" if c.trained else "closed form",
                c.summary,
            )
        )
    if not rows:
        line("No method fits these filters.")
        return
    table(
        ("method", "family", "modalities", "kinds", "missing rows", "target", "solved by", "what it does"),
        rows,
    )


@app.command()
def demo(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Where model, index and report go.")
    ] = "polymodal-demo",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the drawings.")] = None,
    scripts: Annotated[
        str, typer.Option("--scripts", metavar="NAME,...", help="Only characters of these scripts; faster.")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Fixes everything that is left to chance.")] = 0,
    as_json: o.Json = False,
) -> None:
    """Train a shared space of pictures, outlines and names of characters on built-in data, measure it, search it, write a report.

    For example:

      polymodal demo
    """
    from polymodal.cli.demonstration import run_demo

    with answering(
        as_json=as_json, after_interrupt=" Start the demo again and it goes on from its last epoch."
    ):
        result = run_demo(
            output, epochs=epochs, scripts=tuple(o.names_of(scripts)) or None, seed=seed, quiet=as_json
        )
        emit(result, as_json)


def main() -> None:
    """Run the command line. `--debug` may stand anywhere before `--`."""
    args = sys.argv[1:]
    end = args.index("--") if "--" in args else len(args)
    if "--debug" in args[:end]:
        os.environ["POLYMODAL_DEBUG"] = "1"
        args = [a for a in args[:end] if a != "--debug"] + args[end:]
    _streams()
    app(args=args, prog_name="polymodal")


def _streams() -> None:
    """A closed stream takes nothing; one that cannot write a letter writes its number."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from polymodal.commands.sources import Source

DATA_HELP = "A folder with metadata.csv or .jsonl (file_name, text, ...), a table (CSV, JSON lines, Parquet, Arrow, ...), or .npz arrays."
READING = "How the data are read"

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output of the same kind that exists.")
]
Data = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)]
Modality = Annotated[
    list[str],
    typer.Option(
        "--modality",
        "-m",
        metavar="NAME=COLUMN,...",
        help="What a modality is made of: text=caption,tags or body=height,weight or gene=gene_*; NAME alone: that column. Repeatable.",
        rich_help_panel=READING,
    ),
]
Only = Annotated[
    str,
    typer.Option("--only", metavar="NAME,...", help="Keep these modalities only.", rich_help_panel=READING),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target", metavar="COLUMN", help="The labels or quantities to predict.", rich_help_panel=READING
    ),
]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="COLUMN", help="The column of row keys.", rich_help_panel=READING),
]
ImageSize = Annotated[
    int,
    typer.Option(
        "--image-size", metavar="PIXELS", help="Side that pictures are fitted to.", rich_help_panel=READING
    ),
]
Nan = Annotated[
    str,
    typer.Option(
        "--nan",
        metavar="raise|missing",
        help="NaN in vectors: an error, or a missing value.",
        rich_help_panel=READING,
    ),
]


def source(
    path: str,
    modality: Sequence[str] = (),
    *,
    only: str = "",
    target: str | None = None,
    id: str | None = None,
    image_size: int = 64,
    nan: str = "raise",
) -> Source:
    """A `Source` from the text of the options.

    Raises:
        ConfigError: an option that cannot be understood.
    """
    from polymodal.commands.sources import Source
    from polymodal.core.errors import ConfigError

    if nan not in ("raise", "missing"):
        raise ConfigError(f"--nan is raise or missing, got {nan!r}.")
    if not 4 <= image_size <= 4096:
        raise ConfigError(f"--image-size is a number of pixels from 4 to 4096, got {image_size}.")
    columns = {
        name: names_of(value)
        for name, value in pairs(
            [item if "=" in item else f"{item}={item}" for item in modality],
            "--modality",
            "text=caption,tags",
        ).items()
    }
    return Source(
        path=path,
        modalities=columns or None,
        only=tuple(names_of(only)),
        target=target,
        id=id,
        image_size=image_size,
        nan=nan,  # type: ignore[arg-type]
    )


def names_of(text: str) -> list[str]:
    """`a, b` -> a and b."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs(items: Sequence[str], option: str, example: str) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping.

    Raises:
        ConfigError: an item without `=`, or a name given twice.
    """
    from polymodal.core.errors import ConfigError

    found: dict[str, str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise ConfigError(f"{option} needs NAME=VALUE, such as {option} {example}; got {item!r}.")
        if name.strip() in found:
            raise ConfigError(
                f"{option} {name.strip()} is given twice. Put everything into one: {option} {example}."
            )
        found[name.strip()] = value.strip()
    return found


def settings(items: Sequence[str]) -> dict[str, Any]:
    """`--set key=value` options; a value is read as TOML does (3, 0.5, true, [1, 2], "text"), and else as text."""
    found: dict[str, Any] = {}
    for name, text in pairs(items, "--set", "n_components=64").items():
        if text in ("None", "none", "null"):
            found[name] = None
            continue
        try:
            found[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = text
    return found


def weights(items: Sequence[str]) -> dict[str, float]:
    """`--weight NAME=NUMBER` options.

    Raises:
        ConfigError: a weight that is no number.
    """
    from polymodal.core.errors import ConfigError

    found = {}
    for name, text in pairs(items, "--weight", "text=0.5").items():
        try:
            found[name] = float(text)
        except ValueError:
            raise ConfigError(f"--weight {name} needs a number, got {text!r}.") from None
    return found

"""Tables and lines for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

CONTROLS = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}
"""What moves a terminal's cursor or colours it has no place in a text of the user's data."""


def line(text: str = "") -> None:
    """One line on the standard output."""
    sys.stdout.write(text.translate(CONTROLS) + "\n")


def notes(sentences: Sequence[str]) -> None:
    """What was decided on the way, a line each."""
    for sentence in sentences:
        line(f"  {sentence}")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table as wide as its content where no terminal says otherwise; the first column stands left, numbers right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        numbers = i > 0 and all(_is_number(row[i]) for row in rows)
        made.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(" ".join(str(cell).translate(CONTROLS).split("\n"))) for cell in row))
    Console(width=None if sys.stdout.isatty() else 10_000, soft_wrap=False).print(
        made
    )  # a pipe is as wide as it takes


def _is_number(cell: Any) -> bool:
    text = str(cell)
    return bool(text) and (text[0].isdigit() or text[0] in "-.")


def command(*parts: str) -> str:
    """A command to copy: parts with spaces are quoted."""
    import shlex

    return " ".join(["polymodal", *(p if p.startswith("'") or not p else shlex.quote(p) for p in parts)])

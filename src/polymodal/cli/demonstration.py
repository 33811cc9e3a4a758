"""`demo`: its lines and tables."""

from __future__ import annotations

import sys
from typing import Any

from polymodal.cli.printing import line, table


def run_demo(
    folder: str, *, epochs: int | None, scripts: tuple[str, ...] | None, seed: int, quiet: bool
) -> Any:
    """Run the demo, saying each part on the standard error stream, and print what came out unless `quiet`."""
    from polymodal.commands.demo import FUSION_COLUMNS, RETRIEVAL_COLUMNS, demo, fusion_rows, retrieval_rows

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    if epochs is None:
        result = demo(folder, scripts=scripts, random_state=seed, say=say)
    else:
        result = demo(folder, epochs=epochs, scripts=scripts, random_state=seed, say=say)
    if quiet:
        return result
    line("\nSearch among characters that training never saw in any font")
    table(RETRIEVAL_COLUMNS, retrieval_rows(result.retrieval))
    line("Telling the script of such characters")
    table(FUSION_COLUMNS, fusion_rows(result.fusion))
    for answer in result.answers:
        line(f"{answer.query}")
        for name, score in list(zip(answer.names, answer.scores, strict=True))[:3]:
            line(f"    {score:.2f}  {name}")
    line(f"\nThe report with pictures: {result.report}")
    line("Next:")
    for command in result.next_commands:
        line(f"  {command}")
    return result

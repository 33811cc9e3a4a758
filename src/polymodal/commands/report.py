"""`Report`: one HTML file that holds its pictures and its style, and can be sent by mail."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polymodal.core.atomic import atomic_file

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #667085; --line: #d9dee7; --ground: #ffffff; --accent: #2f5bea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --faint: #9aa4b5; --line: #333b49; --ground: #14181f; --accent: #8aa6ff; }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0 auto; padding: 2.5rem 1.25rem;
  max-width: 60rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
p, ul { max-width: 46rem; } li { margin: .2rem 0; } .strong { font-size: 1.15rem; font-weight: 600; }
.lead { color: var(--faint); margin-top: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .75rem 0; }
th, td { text-align: right; padding: .35rem .55rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--faint); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #fff; border-radius: .4rem; }
figcaption { color: var(--faint); font-size: .9rem; }
pre { background: color-mix(in srgb, var(--accent) 8%, transparent); padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto; }
"""


class Report:
    """Collects headings, sentences, tables and pictures, and writes them as one self-contained page.

    Args:
        title: What the page is about.
        lead: One sentence under the title.

    Every text is escaped: names and values of the user's data cannot become markup.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        if lead:
            self._parts.append(f'<p class="lead">{html.escape(lead)}</p>')

    def heading(self, text: str) -> None:
        """A section begins."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str, *, strong: bool = False) -> None:
        """A sentence or several; the one that matters most may stand out."""
        kind = ' class="strong"' if strong else ""
        self._parts.append(f"<p{kind}>{html.escape(text)}</p>")

    def list(self, items: Sequence[str]) -> None:
        """Sentences, one a point; nothing where there are none."""
        if items:
            self._parts.append("<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>")

    def code(self, text: str) -> None:
        """Commands to copy."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table; the first column is the name of the row."""
        head = "".join(f"<th>{html.escape(str(c))}</th>" for c in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row) + "</tr>" for row in rows
        )
        self._parts.append(f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>')

    def figure(self, png: bytes, caption: str) -> None:
        """A picture, held in the page itself."""
        data = base64.b64encode(png).decode("ascii")
        text = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def __str__(self) -> str:
        body = "\n".join(self._parts)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page in one step; raises `StoreError` where that cannot be done."""
        path = Path(path)
        with atomic_file(path) as temporary:
            temporary.write_text(str(self), encoding="utf-8")
        return path


def png_of(figure: Any, *, dpi: int = 110) -> bytes:
    """A matplotlib figure as PNG bytes; the figure is closed."""
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()

"""A hook of mkdocs: formulas become MathML, which browsers draw by themselves. Nothing is fetched from elsewhere."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(page_html: str, /, **_: Any) -> str:
    """Replace what arithmatex marked; `$` and `$$` of the sources."""
    return FORMULA.sub(_mathml, page_html)


def _mathml(found: re.Match[str]) -> str:
    tag, bracket, latex = found.groups()
    drawn = convert(html.unescape(latex).strip(), display="block" if bracket == "[" else "inline")
    return f'<{tag} class="arithmatex">{drawn}</{tag}>'

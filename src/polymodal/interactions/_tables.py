"""Small things every result of this package shares: a Markdown table, a p-value as people write it, an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is set left, the others right."""
    lines = ["| " + " | ".join(header) + " |", "|" + ":--|" + "--:|" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def p_text(p: float) -> str:
    """`p = 0.023`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def number(value: float) -> str:
    """Two decimals, or three significant digits where the number is small or large."""
    return f"{value:.2f}" if value == 0 or 0.1 <= abs(value) < 1000 else f"{value:.3g}"


def with_interval(value: float, low: float, high: float) -> str:
    """`0.68 [0.25, 1.11]`: two decimals, more where the interval is narrow."""
    if not max(abs(value), abs(low), abs(high)) < 1000:
        return f"{number(value)} [{number(low)}, {number(high)}]"
    width = high - low
    decimals = min(max(2, 1 + math.ceil(-math.log10(width))), 6) if width > 0 else 2
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"

"""Numbers and names as a diagnosis writes them."""

from __future__ import annotations

from collections.abc import Sequence

from polymodal.evaluation.intervals import Interval


def show(interval: Interval) -> str:
    """Value and interval."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def signed(interval: Interval) -> str:
    """A difference and its interval."""
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def p_text(p: float) -> str:
    """A p-value; a dash where there is none."""
    return "-" if p != p else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"  # noqa: PLR0124 - NaN: not fitted


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]

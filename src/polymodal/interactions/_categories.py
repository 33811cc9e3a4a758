"""The taxonomy of responses that are labels: what most replicates showed, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float
from polymodal.evaluation.intervals import Interval
from polymodal.interactions._measurements import DRAWS, Decision

Response = frozenset[Any]
SHARE_MARGIN = 0.2
_NEVER_SEEN: Response = frozenset({"(a response not seen)"})
_NOTHING: Response = frozenset()


def classify_categories(
    conditions: Mapping[str, Any], margin: float | None, level: float, rng: np.random.Generator
) -> Decision:
    """Draw the share of each response from its posterior (Jeffreys' prior), and label every draw."""
    margin = SHARE_MARGIN if margin is None else margin
    samples = {name: _responses(name, values) for name, values in conditions.items()}
    seen = sorted({r for rows in samples.values() for r in rows}, key=lambda r: sorted(map(str, r)))
    patterns = [*seen, _NEVER_SEEN]
    counts = {name: np.array([rows.count(p) for p in patterns]) for name, rows in samples.items()}
    a, b, both = list(samples)[:3]
    draws = {name: rng.dirichlet(c + 0.5, size=DRAWS) for name, c in counts.items()}
    labels = best_labels(draws, patterns, margin)
    names, n = np.unique(labels, return_counts=True)
    shares = {str(name): float(k) / DRAWS for name, k in zip(names, n, strict=True)}
    best = max(shares, key=shares.__getitem__)
    modal = {name: typical(c, patterns) for name, c in counts.items()}
    baseline = modal.get("neither", _NOTHING)
    shown = {name: modal[name] - baseline for name in (a, b, both)}
    why = "most replicates showed " + ", ".join(f"{_words(shown[name])} to {name}" for name in (a, b, both))
    effects = _effects(counts, draws, patterns, shown, level)
    if shares[best] < level:
        return Decision(
            "undecided", None, shares, effects, f"{why}, but no label is sure at {level:.0%}", margin
        )
    redundant = shown[a] == shown[b] if best == "unlisted" else None
    return Decision(best, redundant, shares, effects, why, margin)


def best_labels(
    shares: Mapping[str, Float[np.ndarray, "d k"]], patterns: list[Response], margin: float
) -> np.ndarray:
    """The label that each row of shares of responses (to a, b, both and perhaps neither) has, known exactly."""
    a, b, both = list(shares)[:3]
    common = np.stack([s.argmax(axis=1) for s in shares.values()], axis=1)
    labels = np.empty(len(common), dtype="U12")
    for combination in np.unique(common, axis=0):
        rows = (common == combination).all(axis=1)
        shown = [patterns[i] for i in combination]
        baseline = shown[3] if len(shown) > 3 else _NOTHING
        to_a, to_b, to_both = (response - baseline for response in shown[:3])
        labels[rows] = _cell(to_a, to_b, to_both)
        if labels[rows][0] not in ("equivalence", "dominance"):
            continue  # the strength does not matter
        holds = np.array([to_both <= p for p in patterns])
        alone = [name for name, response in ((a, to_a), (b, to_b)) if response == to_both]
        before = np.mean([shares[name][rows][:, holds].sum(axis=1) for name in alone], axis=0)
        change = shares[both][rows][:, holds].sum(axis=1) - before
        stronger, weaker = ("enhancement", "depression") if len(alone) == 2 else ("modulation", "modulation")
        labels[rows] = np.where(
            np.abs(change) <= margin, labels[rows], np.where(change > 0, stronger, weaker)
        )
    return labels


def _cell(to_a: Response, to_b: Response, to_both: Response) -> str:
    """The cell of three responses of unchanged strength."""
    if to_a == to_b:
        if not to_a:
            return "emergence" if to_both else "no response"
        if to_both < to_a:
            return "depression"
        return "equivalence" if to_both == to_a else "unlisted"
    if to_both - to_a - to_b:
        return "emergence"
    if to_both and to_both in (to_a, to_b):
        return "dominance"
    return "independence" if to_both and to_both == to_a | to_b else "unlisted"


def typical(shares: np.ndarray, patterns: list[Response]) -> Response:
    """The response that most replicates showed."""
    return patterns[int(np.argmax(shares))]


def _effects(
    counts: Mapping[str, np.ndarray],
    draws: Mapping[str, np.ndarray],
    patterns: list[Response],
    shown: Mapping[str, Response],
    level: float,
) -> dict[str, Interval]:
    """Response and condition -> share of replicates that showed it, with the interval of its posterior."""
    found = {}
    for label in sorted(frozenset().union(*shown.values()), key=str):
        holds = np.array([label in p for p in patterns])
        for name, count in counts.items():
            low, high = np.quantile(draws[name][:, holds].sum(axis=1), [(1 - level) / 2, (1 + level) / 2])
            found[f"share of {label} to {name}"] = Interval(
                float(count[holds].sum() / count.sum()), float(low), float(high), level
            )
    return found


def _responses(name: str, values: Any) -> list[Response]:
    if isinstance(values, str) or not isinstance(values, Collection) or not len(values):
        raise ModalityError(f"Responses to {name!r} need a list with at least one replicate, got {values!r}.")
    return [_as_response(value) for value in values]


def _as_response(value: Any) -> Response:
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, str) or not isinstance(value, Collection):
        return frozenset({value})
    return frozenset(value)


def _words(response: Response) -> str:
    return " with ".join(sorted(map(str, response))) or "nothing"

"""What `align` answers: each pair of sequences with its matches, and all of it in short."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.alignment.answer import Alignment
from polymodal.commands.alignment_sources import Signal
from polymodal.core.typing import Float

WARPING = ("dtw", "soft_dtw", "ctw")
"""Methods whose matches never go back: they have a tempo, and a distance from true landmarks."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One alignment with what was aligned: signals (as compared), or two lists of words.

    Attributes:
        alignment: The answer.
        a: The first side.
        b: The second.
        sentence: For texts, which line, from 0.
    """

    alignment: Alignment
    a: Signal | list[str]
    b: Signal | list[str]
    sentence: int = 0


@dataclass(frozen=True, eq=False)
class AlignmentResult:
    """What was found, in short; `pairs` holds the alignments themselves.

    Attributes:
        a: The first file.
        b: The second.
        kind: What was aligned: "frames" or "words".
        method: Name of the method.
        settings: The method with its parameters, as Python writes it.
        cost: What it minimised, summed over sentences.
        normalised_cost: Per matched pair, unit of weight, or word of b; see the method.
        length_a: Frames, or words, of a.
        length_b: Frames, or words, of b.
        rate_a: Frames per second of a, where known.
        rate_b: Frames per second of b, where known.
        n_matches: Matched pairs.
        coverage_a: Share of a that is in some pair.
        coverage_b: Share of b that is in some pair.
        tempo: Time of b per time of a: the slope of the straight line nearest to the matches. None unless the matches never go back.
        error: Against the truth; empty where none was given.
        first: The first matches, as in matches.csv.
        last: The last ones, where they are not among the first.
        output: The folder, or None.
        files: What was written to it.
        notes: What was decided on the way.
        pairs: The alignments: one, or one per sentence.
    """

    a: str
    b: str
    kind: str
    method: str
    settings: str
    cost: float
    normalised_cost: float
    length_a: int
    length_b: int
    rate_a: float | None
    rate_b: float | None
    n_matches: int
    coverage_a: float
    coverage_b: float
    tempo: float | None
    error: Mapping[str, float]
    first: tuple[dict[str, Any], ...]
    last: tuple[dict[str, Any], ...]
    output: str | None
    files: tuple[str, ...]
    notes: tuple[str, ...]
    pairs: tuple[Pair, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; without the alignments, which matches.csv holds."""
        plain = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("pairs", "sentences")
        }
        return plain | {
            "sentences": len(self.pairs) if self.kind == "words" else None,
            "error": dict(self.error),
            "first": list(self.first),
            "last": list(self.last),
            "files": list(self.files),
            "notes": list(self.notes),
        }


def match_columns(pair: Pair) -> dict[str, list[Any]]:
    """The matches of one pair as columns; seconds stand where a file says them, weights are those of the coupling."""
    i, j = pair.alignment.path[:, 0], pair.alignment.path[:, 1]
    columns: dict[str, list[Any]] = {"index_a": i.tolist(), "index_b": j.tolist()}
    for side, index, values in (("a", i, pair.a), ("b", j, pair.b)):
        if isinstance(values, list):
            columns[f"word_{side}"] = [values[k] for k in index.tolist()]
        elif values.seconds is not None:
            columns[f"seconds_{side}"] = np.round(values.seconds[index], 6).tolist()
    if isinstance(pair.a, list):
        columns = {"sentence": [pair.sentence] * len(i), **columns}
    return columns | {"weight": weights(pair.alignment).tolist()}


def weights(alignment: Alignment) -> Float[np.ndarray, " p"]:
    """Weight of each pair of the path; 0 where the coupling has none."""
    cells = alignment.coupling.tocoo()
    keys = cells.row.astype(np.int64) * alignment.length_b + cells.col
    order = np.argsort(keys)
    wanted = alignment.path[:, 0] * alignment.length_b + alignment.path[:, 1]
    if not len(keys):
        return np.zeros(len(wanted))
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][at] == wanted, cells.data[order][at], 0.0)


def summarise(
    pairs: list[Pair], files: tuple[str, str], name: str, described: str, error: Mapping[str, float], notes: list[str]
) -> AlignmentResult:  # fmt: skip
    """All pairs in short.

    Args:
        pairs: At least one.
        files: The two files.
        name: The method.
        described: The method with its parameters.
        error: Against a truth.
        notes: What was decided.
    """
    answers = [pair.alignment for pair in pairs]
    words = isinstance(pairs[0].a, list)
    lengths = [sum(getattr(x, f"length_{side}") for x in answers) for side in "ab"]
    covered = [sum(len(np.unique(x.path[:, k])) for x in answers) for k in (0, 1)]
    cost = float(sum(x.cost for x in answers))
    rates = [None if isinstance(side, list) else side.rate for side in (pairs[0].a, pairs[0].b)]
    rows = [row for pair in (pairs[:3] if words else pairs) for row in _rows(pair)]
    return AlignmentResult(
        a=files[0], b=files[1], kind="words" if words else "frames", method=name, settings=described, cost=cost,
        normalised_cost=cost / lengths[1] if words else answers[0].normalised_cost,
        length_a=lengths[0], length_b=lengths[1], rate_a=rates[0], rate_b=rates[1],
        n_matches=sum(len(x) for x in answers), coverage_a=covered[0] / lengths[0], coverage_b=covered[1] / lengths[1],
        tempo=_tempo(pairs[0]) if name in WARPING else None, error=error,
        first=tuple(rows if words else rows[:3]), last=tuple([] if words else rows[max(3, len(rows) - 3) :]),
        output=None, files=(), notes=tuple(notes), pairs=tuple(pairs),
    )  # fmt: skip


def _rows(pair: Pair) -> list[dict[str, Any]]:
    """The first and last matches of a pair, or all of a sentence."""
    path = pair.alignment.path
    if isinstance(pair.a, Signal) and len(path) > 6:
        ends = np.concatenate([path[:3], path[-3:]])
        pair = dataclasses.replace(pair, alignment=dataclasses.replace(pair.alignment, path=ends))
    columns = match_columns(pair)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _tempo(pair: Pair) -> float | None:
    """Slope of the line of least squares through the matches, in seconds where both files have them."""
    assert isinstance(pair.a, Signal)
    assert isinstance(pair.b, Signal)
    x, y = (pair.alignment.path[:, k].astype(float) for k in (0, 1))
    if pair.a.seconds is not None and pair.b.seconds is not None:
        x, y = pair.a.seconds[pair.alignment.path[:, 0]], pair.b.seconds[pair.alignment.path[:, 1]]
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 and float(y @ y) > 0 else None

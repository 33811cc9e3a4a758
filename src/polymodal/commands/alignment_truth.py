"""True pairs from a table, and how far an alignment is from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.commands.alignment_result import Pair
from polymodal.commands.alignment_sources import Signal
from polymodal.core.errors import ConfigError, DataError
from polymodal.core.typing import Bool, Int
from polymodal.datasets.readers_tables import read_table
from polymodal.evaluation.alignment import MatchScores, alignment_error_rate, match_scores, path_error


@dataclass(frozen=True, eq=False)
class Truth:
    """Known pairs.

    Attributes:
        pairs: (element of a, element of b), counted from 0.
        sentences: Which line each is of.
        sure: Whether it must be found; otherwise it may be.
    """

    pairs: Int[np.ndarray, "p 2"]
    sentences: Int[np.ndarray, " p"]
    sure: Bool[np.ndarray, " p"]


def read_truth(path: str | Path, pairs: Sequence[Pair]) -> Truth:
    """Read true pairs: index_a and index_b, or seconds_a and seconds_b; for texts also sentence and sure.

    Raises:
        DataError: no such columns, values that are no numbers, or elements that are not there.
    """
    place = Path(path)
    table = read_table(place)
    names = table.column_names
    first = pairs[0]
    if {"index_a", "index_b"} <= set(names):
        found = np.stack([_whole(place, table, f"index_{side}") for side in "ab"], axis=1)
    elif {"seconds_a", "seconds_b"} <= set(names):
        found = np.stack([_nearest(place, table, side, value) for side, value in (("a", first.a), ("b", first.b))], axis=1)  # fmt: skip
    else:
        raise DataError(
            f"{place} needs columns index_a and index_b (counted from 0), or seconds_a and seconds_b, as matches.csv has; got {names}."
        )
    words = isinstance(first.a, list)
    if words and "sentence" not in names and len(pairs) > 1:
        raise DataError(
            f"{place} needs a column sentence (counted from 0) for {len(pairs)} sentence pairs, got {names}."
        )
    zeros = np.zeros(len(found), dtype=np.int64)
    sentences = _whole(place, table, "sentence") if words and "sentence" in names else zeros + first.sentence
    sure = _whole(place, table, "sure") != 0 if "sure" in names else zeros == 0
    lengths = {p.sentence: (p.alignment.length_a, p.alignment.length_b) for p in pairs}
    for row, (sentence, pair) in enumerate(zip(sentences.tolist(), found.tolist(), strict=True)):
        n, m = lengths.get(sentence, (pair[0] + 1, pair[1] + 1))  # (a sentence left out is not judged)
        if min(pair) < 0 or pair[0] >= n or pair[1] >= m:
            raise DataError(
                f"{place}: data row {row + 1} names elements {pair[0]} of a and {pair[1]} of b, which have {n} and {m}"
                f"{f' in sentence {sentence}' if words else ''}. They count from 0."
            )
    return Truth(found, sentences, np.asarray(sure))


def _floats(path: Path, table: Any, name: str) -> np.ndarray:
    import pyarrow as pa

    column = table[name]
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise DataError(f"{path}: column {name!r} needs numbers, got {column.type}.")
    values = np.asarray(
        (column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column).cast(pa.float64()).to_numpy()
    )
    if not np.isfinite(values).all():
        raise DataError(
            f"{path}: column {name!r} has an empty cell or NaN in data row {int((~np.isfinite(values)).argmax()) + 1}. Remove the row."
        )
    return np.asarray(values)


def _whole(path: Path, table: Any, name: str) -> Int[np.ndarray, " p"]:
    values = _floats(path, table, name)
    if (values != np.rint(values)).any():
        raise DataError(
            f"{path}: column {name!r} needs whole numbers, got {values[values != np.rint(values)][0]:g}."
        )
    return np.asarray(values.astype(np.int64))


def _nearest(path: Path, table: Any, side: str, signal: Signal | list[str]) -> Int[np.ndarray, " p"]:
    """The frames nearest to the times of a column."""
    if isinstance(signal, list) or signal.seconds is None:
        name = "This text" if isinstance(signal, list) else signal.path
        raise ConfigError(
            f"{path} says seconds, but {name} has no time of its own (a column 'seconds' in a table, an array 'rate' in .npz). "
            "Give index_a and index_b."
        )
    wanted = _floats(path, table, f"seconds_{side}")
    places = np.interp(wanted, signal.seconds, np.arange(len(signal.seconds)))
    return np.asarray(np.rint(places), dtype=np.int64)


def compare(
    pairs: Sequence[Pair], truth: Truth, warping: bool, tolerance: float, notes: list[str]
) -> Mapping[str, float]:
    """How far the alignments are from the truth: an error rate for words, distances for warpings, shares for matchings."""
    first = pairs[0]
    if isinstance(first.a, list):
        return _of_words(pairs, truth, notes)
    if not warping:
        return _shares(match_scores(first.alignment.path, truth.pairs, tolerance=int(tolerance)))
    assert isinstance(first.b, Signal)
    rate = first.b.rate
    unit = "seconds" if rate else "frames"
    notes.append(
        f"distances from {len(truth.pairs)} true pairs are in {unit} of b, to the nearest frame; within: at most {tolerance:g}"
    )
    found = path_error(first.alignment.path, truth.pairs, rate_b=rate or 1.0, tolerance=tolerance)
    return {"mean": found.mean, "median": found.median, "worst": found.worst, "within": found.within}


def _of_words(pairs: Sequence[Pair], truth: Truth, notes: list[str]) -> Mapping[str, float]:
    """Links of all judged sentences together: sentences beside each other share no positions."""
    judged = set(truth.sentences.tolist())
    chosen = [pair for pair in pairs if pair.sentence in judged]
    if not chosen:
        raise DataError("The truth is of other sentences than were aligned. Sentences count from 0.")
    if len(chosen) < len(pairs):
        notes.append(f"judged on the {len(chosen)} of {len(pairs)} sentence pairs that the truth is of")
    widest = 1 + max(max(p.alignment.length_a, p.alignment.length_b) for p in pairs)
    found = np.concatenate([pair.alignment.path + pair.sentence * widest for pair in chosen])
    known = np.isin(truth.sentences, [pair.sentence for pair in chosen])
    all_pairs = truth.pairs + truth.sentences[:, None] * widest
    sure, possible = all_pairs[known & truth.sure], all_pairs[known]
    precision = match_scores(found, possible).precision
    recall = match_scores(found, sure).recall
    return {"aer": alignment_error_rate(found, sure, possible), "precision": precision, "recall": recall}


def _shares(scores: MatchScores) -> Mapping[str, float]:
    return {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}

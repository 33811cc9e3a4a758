"""What looks odd about data: constant, nearly empty, wildly scaled or leaking columns, and rows that repeat. Sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.core.ragged import Ragged
from polymodal.core.typing import Kind

if TYPE_CHECKING:
    from polymodal.core.modalities import Modalities

SCALES = 1e4
MOSTLY = 0.9


def about_values(name: str, kind: Kind, values: Any) -> list[str]:
    """What is odd within one modality, given the values that were looked at (None: there are none)."""
    if values is None or len(values) < 2:
        return []
    if kind == "text":
        found = _about_texts(values)
    elif kind == "vector":
        found = _about_vectors(np.asarray(values, dtype=float))
    elif isinstance(values, Ragged):
        found = _about_sequences(values)
    else:
        found = _about_grids(np.asarray(values))
    return [f"{name}: {sentence}" for sentence in found]


def _about_texts(texts: Sequence[str]) -> list[str]:
    different = len(set(texts))
    if different == 1:
        return [f"every text is the same ({texts[0][:40]!r})"]
    found = []
    if different <= 0.1 * len(texts) and len(texts) >= 20:
        found.append(
            f"only {different} different texts in {len(texts):,} rows; if it is a label, keep it as metadata"
        )
    blank = sum(not t.strip() for t in texts)
    if blank:
        found.append(f"{blank:,} texts are empty; a row without a text is better missing (None)")
    return found


def _about_vectors(x: np.ndarray) -> list[str]:
    if (x == x[0]).all():
        return ["every row is the same vector"]
    found = []
    scale = x.std(axis=0)
    constant = np.flatnonzero(scale == 0)
    if len(constant):
        found.append(f"{len(constant)} of {x.shape[1]} features are constant (first: number {constant[0]})")
    moving = scale[scale > 0]
    if len(moving) > 1 and moving.max() / moving.min() > SCALES:
        found.append(
            f"scales differ {moving.max() / moving.min():.0e}-fold between features (standard deviations {moving.min():.2g} to "
            f"{moving.max():.2g}); standardise, unless the method does"
        )
    empty = np.flatnonzero((scale > 0) & ((x == 0).mean(axis=0) > 0.99))
    if len(empty):
        found.append(
            f"{len(empty)} of {x.shape[1]} features are zero in more than 99 % of rows (first: number {empty[0]})"
        )
    counting = [j for j in range(min(x.shape[1], 2000)) if _counts(x[:, j])]
    if counting:
        found.append(
            f"feature {counting[0]} counts the rows: a row number or key that leaks into the features?"
        )
    if ((np.abs(x) > 1e12) | ((x == -999) | (x == -9999) | (x == 9999))).any():
        found.append("holds numbers such as -999 or beyond 1e12 that may stand for missing values")
    return found


def _counts(x: np.ndarray) -> bool:
    steps = np.diff(x)
    return len(x) >= 10 and steps[0] != 0 and bool((steps == steps[0]).all())


def _about_sequences(values: Ragged) -> list[str]:
    found = []
    empty = int((values.lengths == 0).sum())
    if empty:
        found.append(f"{empty:,} sequences have no steps")
    if values.values.size and (values.values == values.values.reshape(-1)[0]).all():
        found.append("every step of every sequence is the same")
    elif len(values) > 1 and values.lengths.max() > 50 * max(1.0, float(np.median(values.lengths))):
        found.append(
            f"the longest has {values.lengths.max():,} steps, the median {np.median(values.lengths):g}"
        )
    return found


def _about_grids(values: np.ndarray) -> list[str]:
    flat = values.reshape(len(values), -1)
    if (flat == flat[0]).all():
        return ["every picture is the same"]
    plain = int((flat == flat[:, :1]).all(axis=1).sum())
    return [f"{plain:,} of {len(flat):,} pictures looked at are of one colour"] if plain else []


def about_columns(values: Mapping[str, Any]) -> list[str]:
    """Modalities that hold the same numbers, or one inside the other."""
    found = []
    vectors = {name: v for name, v in values.items() if isinstance(v, np.ndarray) and v.ndim == 2}
    names = list(vectors)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if vectors[a].shape == vectors[b].shape and np.array_equal(vectors[a], vectors[b]):
                found.append(f"{a} and {b} hold the same numbers: retrieval between them means nothing")
    return found


def about_rows(data: Modalities, duplicates: int, looked_at: int) -> list[str]:
    """Rows that repeat or lack much, and keys that repeat."""
    found = []
    if len(data) == 1:
        found.append("one row only: nothing can be learned from it")
    if duplicates:
        found.append(
            f"{duplicates:,} of {looked_at:,} rows equal an earlier row in every modality; keep copies in one part of a split"
        )
    for name, present in data.present.items():
        share = 1 - present.mean() if len(data) else 0.0
        if share == 1:
            found.append(f"{name}: all rows lack it")
        elif share > MOSTLY:
            found.append(f"{name}: {share:.0%} of rows lack it")
    nothing = int((~np.logical_or.reduce(list(data.present.values()))).sum())
    if nothing:
        found.append(f"{nothing:,} rows have no modality at all")
    ids = data.ids
    different = len(set(ids.tolist()))
    if different < len(ids):
        found.append(
            f"row keys repeat ({different:,} different in {len(ids):,} rows): search results name them ambiguously"
        )
    return found

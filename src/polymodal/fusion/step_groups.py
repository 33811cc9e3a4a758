"""Rows that belong together (utterances of a video, readings of a patient) as one sequence each, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged, array_of_rows
from polymodal.core.typing import Shaped


@dataclass(frozen=True, eq=False)
class StepGroups:
    """What `sequences_of` gives.

    Args:
        data: One row per group: every modality a sequence; the ids are the groups.
        rows: For each group, the numbers of the rows that are its steps.
    """

    data: Modalities
    rows: Ragged

    def split(self, values: Any) -> Shaped[np.ndarray, " n"]:
        """One value per step row (labels, say) -> one array per group."""
        given = np.asarray(values)
        if len(given) != len(self.rows.values):
            raise ModalityError(
                f"split needs one value for each of {len(self.rows.values)} rows, got {len(given)}."
            )
        return array_of_rows([given[rows] for rows in self.rows])

    def join(self, sequences: Sequence[Any] | np.ndarray | Ragged) -> Shaped[np.ndarray, "t ..."]:
        """One array per group (what `predict` or `marginals` gives) -> one value per step row, in the order of the rows."""
        values = np.concatenate([np.asarray(s) for s in sequences])
        if len(values) != len(self.rows.values):
            raise ModalityError(
                f"join needs one value for each step of {len(self.rows)} groups, {len(self.rows.values)} in all, got {len(values)}."
            )
        out = np.empty_like(values)
        out[self.rows.values] = values
        return out


def sequences_of(data: Modalities | Mapping[str, Any], groups: Sequence[Any] | np.ndarray) -> StepGroups:
    """Rows of vectors -> one row per group, whose modalities are sequences of those vectors in the order of the rows.

    Args:
        data: Rows, each a step. A group may lack a modality on all of its steps, not on some.
        groups: The group of each row; groups come in the order in which they first stand.

    Raises:
        ModalityError: a modality that is not vectors, or that a group has on some steps only.

    Examples:
        >>> steps = sequences_of({"x": np.array([1.0, 2.0, 3.0])}, ["b", "a", "b"])
        >>> steps.data.ids.tolist(), [rows.tolist() for rows in steps.rows]
        (['b', 'a'], [[0, 2], [1]])
    """
    frame, keys = Modalities.of(data), np.asarray(groups)
    if keys.shape != (len(frame),):
        raise ModalityError(f"groups needs one group for each of {len(frame)} rows, got shape {keys.shape}.")
    names, first, which = np.unique(keys, return_index=True, return_inverse=True)
    place = np.empty(len(names), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(names))
    which = place[which]
    order = np.argsort(which, kind="stable")
    sizes = np.bincount(which, minlength=len(names))
    columns: dict[str, Modality] = {}
    for name, column in frame.items():
        if column.kind != "vector":
            raise ModalityError(
                f"sequences_of joins vectors, but modality {name!r} holds {column.kind} values. Turn them into vectors first "
                "(polymodal.encoders.Vectorize)."
            )
        has = np.bincount(which, weights=column.present, minlength=len(names))
        partly = np.flatnonzero((has > 0) & (has < sizes))
        if len(partly):
            group = names[np.argsort(first)].tolist()[partly[0]]
            raise ModalityError(
                f"Modality {name!r} is missing on some steps of group {group!r} ({len(partly)} groups so): a sequence has all of its "
                "steps or none. Drop those rows, or data.without(name) the whole group."
            )
        steps = order[column.present[order]]
        whole = has > 0
        offsets = np.concatenate([[0], np.cumsum(sizes[whole])]).astype(np.int64)
        index = np.where(whole, np.cumsum(whole) - 1, -1).astype(np.int64)
        values: Any = column.store[column.index[steps]]
        columns[name] = Modality(Ragged(np.asarray(values), offsets), index)
    ids = names[np.argsort(first)]
    return StepGroups(
        Modalities(columns, ids=ids), Ragged(order, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
    )

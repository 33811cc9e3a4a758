"""Which task a target poses, told from its values: classes, quantities or labels."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Shaped

Task = Literal["auto", "classification", "regression", "multilabel"]
KnownTask = Literal["classification", "regression", "multilabel"]

_MANY_CLASSES = 20


def resolve_task(y: Shaped[np.ndarray, "n ..."], task: str = "auto") -> KnownTask:
    """Which task a target poses.

    Strings, Booleans and integers are classes; floating-point numbers are quantities; several columns of 0 and 1
    are labels, other columns are several quantities.

    Raises:
        ModalityError: `task` is unknown or does not fit `y`, or integers look like quantities.
    """
    if task not in ("auto", "classification", "regression", "multilabel"):
        raise ModalityError(f"task must be auto, classification, regression or multilabel, got {task!r}.")
    if y.dtype == object and any(isinstance(v, np.ndarray | list | tuple) for v in y.ravel()):
        raise ModalityError(
            "The target holds an array on each row: labels of steps are for methods that label steps "
            "(polymodal.fusion.ConditionalRandomField). This one needs one value per row."
        )
    columns = y.ndim == 2 and y.shape[1] > 1
    binary = y.dtype.kind in "biuf" and bool(np.isin(y, (0, 1)).all())
    if task == "auto":
        if columns:
            return "multilabel" if binary else _numbers(y, task)
        if y.dtype.kind == "f":
            return "regression"
        distinct = len(np.unique(y))
        if y.dtype.kind in "iu" and distinct > _MANY_CLASSES and distinct > len(y) / 2:
            raise ModalityError(
                f"The target holds {distinct} different integers on {len(y)} rows: classes or quantities? "
                "Say task='classification' or task='regression'."
            )
        return "classification"
    if task == "multilabel" and not (y.ndim == 2 and binary):
        raise ModalityError(
            f"task='multilabel' needs a 0/1 column per label, got {y.dtype} of shape {y.shape}."
        )
    if task == "classification" and columns:
        raise ModalityError(f"task='classification' needs one class per row, got shape {y.shape}.")
    return _numbers(y, task) if task == "regression" else cast(KnownTask, task)


def _numbers(y: np.ndarray, task: str) -> Literal["regression"]:
    if y.dtype.kind not in "biuf":
        raise ModalityError(f"task={task!r} on several columns or quantities needs numbers, got {y.dtype}.")
    return "regression"

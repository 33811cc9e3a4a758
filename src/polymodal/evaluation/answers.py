"""What a fitted model answers, in one form for classes, labels and quantities; and how good the answers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.task import KnownTask, resolve_task
from polymodal.core.typing import Float, Int, Shaped

Metric = Literal["accuracy", "balanced accuracy", "AUC", "macro F1", "exact rows", "R2", "MAE"]
LARGER_IS_BETTER: Mapping[str, bool] = {
    "accuracy": True, "balanced accuracy": True, "AUC": True, "macro F1": True, "exact rows": True, "R2": True, "MAE": False,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Truth:
    """A target in the form that answers are compared in.

    Args:
        task: The task.
        values: Positions of classes (n, 1), labels (n, q) or quantities (n, q).
        classes: The classes in sorted order; empty for labels and quantities.
    """

    task: KnownTask
    values: Float[np.ndarray, "n q"]
    classes: Shaped[np.ndarray, " k"]

    @classmethod
    def of(cls, y: Shaped[np.ndarray, "n ..."], task: str = "auto") -> Truth:
        """Code a target.

        Raises:
            ModalityError: a target that does not vary.
        """
        known = resolve_task(y, task)
        columns = y.reshape(len(y), -1)
        if not (columns != columns[:1]).any():
            raise ModalityError(
                f"A comparison needs a target that varies, got {columns[0].tolist()} on every row."
            )
        if known != "classification":
            return cls(known, columns.astype(float), np.empty(0))
        classes, codes = np.unique(columns[:, 0], return_inverse=True)
        return cls(known, codes.reshape(-1, 1).astype(float), classes)

    def code(self, predicted: Shaped[np.ndarray, "m ..."]) -> Float[np.ndarray, "m q"]:
        """A model's predictions in the same form; a class that does not exist is -1, and so is never right."""
        if self.task != "classification":
            return predicted.reshape(len(predicted), -1).astype(float)
        flat = predicted.ravel()
        place = np.minimum(np.searchsorted(self.classes, flat), len(self.classes) - 1)
        return np.where(self.classes[place] == flat, place, -1).reshape(-1, 1).astype(float)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured; the first decides."""
        if self.task == "regression":
            return ("R2", "MAE")
        if self.task == "multilabel":
            return ("macro F1", "exact rows")
        return (
            ("AUC", "accuracy", "balanced accuracy") if len(self.classes) == 2 else ("accuracy", "macro F1")
        )


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model said of some rows.

    Args:
        predicted: As `Truth.values`.
        margin: Larger for the second of two classes; empty where the model gives no such number or there are not two.
    """

    predicted: Float[np.ndarray, "m q"]
    margin: Float[np.ndarray, " s"]


def ask(model: Any, data: Any, truth: Truth) -> Answers:
    """What a fitted model predicts, and how sure it is of the second of two classes.

    Raises:
        ModalityError: a number of answers that is not the number of rows.
    """
    predicted = truth.code(np.asarray(model.predict(data)))
    if predicted.shape != (len(data), truth.values.shape[1]):
        raise ModalityError(
            f"{type(model).__name__}.predict needs to give {truth.values.shape[1]} answers a row on {len(data)} rows, "
            f"got shape {predicted.shape}."
        )
    margin = np.empty(0)
    if truth.task == "classification" and len(truth.classes) == 2:
        if hasattr(model, "predict_proba"):
            margin = np.asarray(model.predict_proba(data), dtype=float)[:, -1]
        elif hasattr(model, "decision_function"):
            margin = np.asarray(model.decision_function(data), dtype=float).ravel()
    if not (np.isfinite(predicted).all() and np.isfinite(margin).all()):
        raise ModalityError(f"{type(model).__name__} answered with numbers that are not finite.")
    return Answers(predicted, margin)


def measure(truth: Truth, rows: Int[np.ndarray, " m"], answers: Answers) -> dict[str, float]:
    """Every metric of the task on these rows; those that the rows or the model do not allow are left out."""
    everything = np.arange(len(rows))
    found = {name: metric_of(name, truth, rows, answers, everything) for name in truth.metrics}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def metric_of(
    name: str, truth: Truth, rows: Int[np.ndarray, " m"], answers: Answers, chosen: Int[np.ndarray, " b"]
) -> float:
    """One metric on some of the rows (`chosen`: positions among `rows`, repeats allowed); NaN where it is not defined."""
    if not len(chosen):
        return float("nan")
    y, said = truth.values[rows[chosen]], answers.predicted[chosen]
    if name == "R2":
        spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.mean(1 - ((y - said) ** 2).sum(axis=0) / np.where(spread > 0, spread, np.nan)))
    if name == "MAE":
        return float(np.abs(y - said).mean())
    if name == "AUC":
        return _area(y[:, 0], answers.margin[chosen]) if len(answers.margin) else float("nan")
    if name in ("accuracy", "exact rows"):
        return float((y == said).all(axis=1).mean())
    if truth.task == "multilabel":
        return _f1((y * said).sum(axis=0), said.sum(axis=0), y.sum(axis=0))
    k = len(truth.classes)
    codes, given = y[:, 0].astype(int), said[:, 0].astype(int)
    there = np.bincount(codes, minlength=k)
    right = np.bincount(codes[codes == given], minlength=k)
    if name == "balanced accuracy":
        return float(np.mean(right[there > 0] / there[there > 0]))
    return _f1(right, np.bincount(given[given >= 0], minlength=k), there)


def _f1(right: np.ndarray, given: np.ndarray, there: np.ndarray) -> float:
    """Mean of 2 TP / (given + there) over the classes that occur on either side."""
    total = given + there
    return float(np.mean(2 * right[total > 0] / total[total > 0])) if (total > 0).any() else float("nan")


def _area(codes: np.ndarray, margin: np.ndarray) -> float:
    """Area under the ROC curve from mean ranks; ties count half."""
    from scipy.stats import rankdata

    second = codes == 1
    n, m = int(second.sum()), int((~second).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(margin)[second].sum() - n * (n + 1) / 2) / (n * m))

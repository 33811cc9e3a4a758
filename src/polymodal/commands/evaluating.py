"""`evaluate MODEL DATA`: how well a saved model does, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.commands.models import open_model
from polymodal.commands.sources import (
    Reading,
    Source,
    empty_rows,
    read_for_model,
    rows_where,
    target_of,
    text_of,
)
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Coordination, fitted_modalities, last_step
from polymodal.core.modalities import Modalities
from polymodal.datasets.dataset import Dataset
from polymodal.evaluation.classification import accuracy, r2
from polymodal.evaluation.intervals import Interval
from polymodal.evaluation.report import RetrievalReport, retrieval_report


@dataclass(frozen=True)
class EvaluateResult:
    """How well a model does on some rows.

    Args:
        method: The class.
        rows: How many rows were used.
        which: Which rows: those held out, all, or those of a condition.
        score: The method's own score.
        retrieval: Each modality asked for each other one; None where the model gives no shared space.
        prediction: From which modalities -> accuracy or R2; empty where the model predicts nothing.
        metric: accuracy, R2, or None.
        notes: What was decided on the way.
    """

    method: str
    rows: int
    which: str
    score: float | None
    retrieval: RetrievalReport | None
    prediction: dict[str, Interval]
    metric: str | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "method": self.method,
            "rows": self.rows,
            "which": self.which,
            "score": self.score,
            "retrieval": None if self.retrieval is None else self.retrieval.to_dict(),
            "prediction": {name: value.to_dict() for name, value in self.prediction.items()},
            "metric": self.metric,
            "notes": list(self.notes),
        }


def evaluate_model(
    model: str | Path,
    source: Source,
    *,
    rows: str | None = None,
    group: str | None = None,
    n_resamples: int = 1000,
) -> EvaluateResult:
    """A retrieval table (each modality to each) for a shared space; accuracy or R2 for a model that predicts.

    Args:
        model: The model folder.
        source: The data; with `target` (by default that of `fit`) for a model that predicts.
        rows: `"all"`, or `COLUMN=VALUE`; by default the rows that `fit` held out, where there are any in these data.
        group: For retrieval: rows of one value of this column count as answers to each other.
        n_resamples: Bootstrap samples of the intervals.

    Raises:
        ConfigError: an unknown column or value, or a target that is needed.
        ModelFormatError: no model.
        DataError: data that cannot be read.
    """
    fitted = open_model(model)
    reading = Reading.of(model)
    dataset, notes = read_for_model(source, model, list(fitted_modalities(fitted)))
    dataset, which = _choose(dataset, rows, reading, notes)
    dataset = dataset[~empty_rows(dataset.data)]
    method = last_step(fitted)
    report: RetrievalReport | None = None
    prediction: dict[str, Interval] = {}
    metric: str | None = None
    target = source.target or (reading.source.target if reading else None)
    if hasattr(method, "predict") and not isinstance(method, Coordination):  # those predict modalities
        if target is None:
            raise ConfigError(
                f"{type(method).__name__} predicts a target. Name its column: --target, one of {sorted(dataset.metadata)}."
            )
        values, known = target_of(dataset, target)
        if not known.all():
            notes.append(f"left out {int((~known).sum())} rows without a {target}")
            dataset, values = dataset[known], values[known]
        prediction, metric = _predictions(fitted, dataset.data, values, n_resamples)
    elif getattr(method, "family", "") == "coordination":
        embedded = fitted.transform(dataset.data)
        groups = None if group is None else text_of(dataset, group)
        if len(dataset.data.names) < 2:
            raise ModalityError(
                f"Evaluating {type(method).__name__} asks with one modality for another; {source.path} has only {list(dataset.data.names)} "
                f"of {list(fitted_modalities(fitted))}. Give data with two of them."
            )
        if len(dataset) == 1:
            notes.append("one row is its own only candidate: every answer is right, which says nothing")
        report = retrieval_report(embedded, source=dataset.data, groups=groups, n_resamples=n_resamples)
    return EvaluateResult(
        method=type(method).__name__,
        rows=len(dataset),
        which=which,
        score=_score(fitted, dataset, target if prediction else None),
        retrieval=report,
        prediction=prediction,
        metric=metric,
        notes=tuple(notes),
    )


def _choose(
    dataset: Dataset, rows: str | None, reading: Reading | None, notes: list[str]
) -> tuple[Dataset, str]:
    if rows is not None and rows != "all":
        return dataset[rows_where(dataset, rows)], rows
    unseen = reading.unseen(dataset) if reading is not None and rows is None else None
    if unseen is not None:
        return dataset[unseen], "rows that fit held out"
    if rows is None:
        notes.append(
            "fit held no rows of these data out: if it has seen them, expect less on new ones (--split, --hold-out)"
        )
    return dataset, "all rows"


def _predictions(
    model: Any, data: Modalities, values: np.ndarray, n_resamples: int
) -> tuple[dict[str, Interval], str]:
    """From all modalities, from each alone, and from all but one."""
    names = list(data.names)
    subsets = {"all" if len(names) > 1 else names[0]: names}
    if len(names) > 1:
        subsets |= {f"{name} alone": [name] for name in names}
    if len(names) > 2:
        subsets |= {f"without {name}": [n for n in names if n != name] for name in names}
    found, metric = {}, "accuracy"
    for label, chosen in subsets.items():
        part = data.select(*chosen)
        there = ~empty_rows(part)
        if not there.any():
            continue
        predicted = np.asarray(model.predict(part[there]))
        quantities = getattr(last_step(model), "task_", "") == "regression"
        metric = "R2" if quantities else "accuracy"
        measure = r2 if quantities else accuracy
        truth = values[there] if quantities else values[there].astype(predicted.dtype)
        found[label] = measure(truth, predicted, n_resamples=n_resamples)
    return found, metric


def _score(model: Any, dataset: Dataset, target: str | None) -> float | None:
    try:
        return float(model.score(dataset.data, None if target is None else dataset.metadata[target]))
    except ModalityError:
        return None

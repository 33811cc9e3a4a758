"""Fit models on splits, one after the other, and measure each: answers, processor time, memory, size. One record a fit."""

from __future__ import annotations

import ctypes
import gc
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.errors import PolymodalError
from polymodal.core.modalities import Modalities
from polymodal.evaluation.answers import Answers, Truth, ask, measure
from polymodal.evaluation.splits import Split

Observe = Callable[[str, Split, Any, Modalities, np.ndarray], Any]
"""Called with name, split, fitted model, test data and their targets; what it gives (plain values) is kept in the run."""

PROCESS = Path("/proc/self")


@dataclass(frozen=True, eq=False)
class Run:
    """One model on one split.

    Args:
        model: Its name.
        split: Number of the split.
        scores: Metric -> value; empty where the model failed.
        answers: What it said of the test rows.
        seconds: Processor time of the fit, over all threads.
        mib: What memory grew by during the fit, at most; NaN where the system does not tell.
        parameters: Numbers that the fitted model keeps.
        error: Why it failed; empty where it did not.
        warnings: What it warned of while fitting.
        observed: What `observe` gave.
    """

    model: str
    split: int
    scores: Mapping[str, float]
    answers: Answers
    seconds: float
    mib: float
    parameters: int
    error: str = ""
    warnings: tuple[str, ...] = ()
    observed: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = dict(vars(self))
        plain["answers"] = {
            "predicted": self.answers.predicted.tolist(),
            "margin": self.answers.margin.tolist(),
        }
        return {**plain, "scores": dict(self.scores), "mib": None if np.isnan(self.mib) else self.mib}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Run:
        """What `to_dict` gave."""
        given = plain["answers"]
        answers = Answers(
            np.asarray(given["predicted"] or np.empty((0, 1)), dtype=float),
            np.asarray(given["margin"], dtype=float),
        )
        mib = float("nan") if plain["mib"] is None else float(plain["mib"])
        return cls(**{**plain, "answers": answers, "mib": mib, "warnings": tuple(plain["warnings"])})


def run_models(
    models: Mapping[str, Any],
    data: Modalities,
    y: np.ndarray,
    splits: Sequence[Split],
    *,
    task: str = "auto",
    prepare: Any = None,
    done: Collection[tuple[str, int]] = (),
    observe: Observe | None = None,
) -> Iterator[Run]:
    """Fit each model on each split, split by split, so that a run that is stopped has compared all models on the first ones.

    A model that fails gives a run that says why. Before each fit every `random_state` among the model's parameters is set to
    the split's seed.

    Args:
        models: Name -> anything with scikit-learn's `fit`, `predict` and `get_params`; cloned, never fitted itself.
        data: The modalities.
        y: The target.
        splits: Rows to learn from and to test on.
        task: What y holds.
        prepare: A transformer that takes no target, fitted once on the training rows of each split and used for all models.
        done: (model, split number) that need not be run again.
        observe: Called after each fit that did not fail.
    """
    truth = Truth.of(y, task)
    for number, split in enumerate(splits):
        left = [name for name in models if (name, number) not in done]
        if not left:
            continue
        train, test = data[split.train], data[split.test]
        if prepare is not None:
            prepared = seeded_copy(prepare, split.seed).fit(train)
            train, test = prepared.transform(train), prepared.transform(test)
        for name in left:
            yield _run(name, models[name], (train, test), y, truth, number, split, observe)


def _run(
    name: str,
    model: Any,
    parts: tuple[Modalities, Modalities],
    y: np.ndarray,
    truth: Truth,
    number: int,
    split: Split,
    observe: Observe | None,
) -> Run:
    train, test = parts
    fitted = seeded_copy(model, split.seed)
    memory, said = PeakMemory(), list[str]()
    nothing = Answers(np.empty((0, truth.values.shape[1])), np.empty(0))
    begin = time.process_time()
    try:
        with warnings.catch_warnings(record=True) as heard, memory:
            warnings.simplefilter("always")
            begin = time.process_time()
            fitted.fit(train, y[split.train])
        seconds = time.process_time() - begin
        said = [
            str(w.message).splitlines()[0] for w in heard if not issubclass(w.category, DeprecationWarning)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = ask(fitted, test, truth)
            observed = None if observe is None else observe(name, split, fitted, test, y[split.test])
            kept = count_numbers(fitted)
    except Exception as error:  # noqa: BLE001 - a model that fails is a row of the table, and never the end of the others
        seconds = time.process_time() - begin
        text = str(error).strip() or "no reason given"
        why = text if isinstance(error, PolymodalError) else f"{type(error).__name__}: {text}"
        return Run(name, number, {}, nothing, seconds, memory.mib, 0, why)
    scores = measure(truth, split.test, answers)
    told = tuple(dict.fromkeys(said))
    return Run(name, number, scores, answers, seconds, memory.mib, kept, "", told, observed)


def seeded_copy(model: Any, seed: int) -> Any:
    """An unfitted copy in which every parameter called `random_state` is `seed`, at any depth."""
    from sklearn.base import clone

    copy = clone(model)
    names = [name for name in copy.get_params() if name.split("__")[-1] == "random_state"]
    return copy.set_params(**dict.fromkeys(names, seed)) if names else copy


class PeakMemory:
    """How much the process grows while a block runs, at most, in MiB; NaN where the system (Linux) does not tell.

    What was freed before is given back to the system first, so that it does not hide what the block takes. Memory that
    libraries keep for themselves may still be used again: the figure is a lower bound.
    """

    def __init__(self) -> None:
        self.mib = float("nan")

    def __enter__(self) -> PeakMemory:
        gc.collect(1)  # a whole collection would cost more than many fits
        try:
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)
            (PROCESS / "clear_refs").write_text("5", "ascii")  # the highest mark starts anew
            self._before = _highest()
        except (OSError, TypeError):  # no such file, or not ours to write; Windows knows no CDLL(None)
            self._before = float("nan")
        return self

    def __exit__(self, *_: object) -> None:
        if not np.isnan(self._before):
            self.mib = _highest() - self._before


def _highest() -> float:
    status = (PROCESS / "status").read_text("ascii", errors="replace")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def count_numbers(model: Any) -> int:
    """Floating-point numbers that a fitted model keeps: weights, means, kernel rows. What a copy of it would have to hold."""
    return _count(model, set())


def _count(value: Any, seen: set[int]) -> int:
    if id(value) in seen or value is None or isinstance(value, str | bytes | int | float | bool):
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return int(value.size) if value.dtype.kind == "f" else 0
    if hasattr(value, "is_floating_point"):  # a tensor
        return int(value.numel()) if value.is_floating_point() else 0
    if hasattr(value, "state_dict"):  # a module
        return sum(_count(tensor, seen) for tensor in value.state_dict().values())
    if hasattr(value, "_get_state"):
        value = value._get_state()
    if isinstance(value, Mapping):
        return sum(_count(part, seen) for key, part in value.items() if key != "history_")
    if isinstance(value, list | tuple):
        return sum(_count(part, seen) for part in value)
    if hasattr(value, "data") and hasattr(value, "nnz"):  # a sparse matrix
        return int(value.nnz)
    if isinstance(value, Modalities):
        return sum(_count(column.store, seen) for _, column in value.items())
    given = set(value.get_params(deep=False)) if hasattr(value, "get_params") else set()
    if hasattr(value, "steps"):  # a pipeline: its fitted steps are its parameters
        return sum(_count(step, seen) for _, step in value.steps)
    learned = {k: v for k, v in getattr(value, "__dict__", {}).items() if k not in given}
    return sum(_count(part, seen) for part in learned.values())

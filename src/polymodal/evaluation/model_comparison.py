"""Several models on one data set: honest splits, and how far apart the models are beyond chance. Knows no method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import check_target
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.typing import Int
from polymodal.evaluation.answers import Metric, Truth
from polymodal.evaluation.intervals import Interval
from polymodal.evaluation.model_runs import Observe, Run, run_models
from polymodal.evaluation.score_samples import LEVEL, Difference, Over, ScoreSamples
from polymodal.evaluation.splits import Split, honest_splits, row_groups


@dataclass(frozen=True)
class ModelResult:
    """One model, over all splits.

    Args:
        name: The model.
        score: The deciding metric with its interval; NaN where the model failed on every split.
        scores: Each metric, mean over splits.
        against: Reference -> difference; nothing against itself, or where the model failed.
        seconds: Processor time of one fit, mean.
        mib: What memory grew by in a fit, at most over splits; NaN where the system does not tell.
        parameters: Numbers the fitted model keeps, at most over splits.
        n_splits: Splits it was measured on.
        error: Why it failed on a split; empty where it did not.
        warnings: What it warned of.
    """

    name: str
    score: Interval
    scores: Mapping[str, float]
    against: Mapping[str, Difference]
    seconds: float
    mib: float
    parameters: int
    n_splits: int
    error: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ModelComparison:
    """What `compare_models` found. Prints as a table, the best model first and the failed ones last.

    Args:
        models: One entry a model.
        metric: The deciding metric.
        task: classification, regression or multilabel.
        references: Label -> the model that stands for it.
        n_splits: Splits.
        rows: Rows to learn from and to test on, mean over splits.
        interval: Where the intervals come from, in a sentence.
        runs: Every fit.
    """

    models: tuple[ModelResult, ...]
    metric: Metric
    task: str
    references: Mapping[str, str]
    n_splits: int
    rows: tuple[int, int]
    interval: str
    runs: tuple[Run, ...]

    def __getitem__(self, name: str) -> ModelResult:
        """One model's result."""
        for result in self.models:
            if result.name == name:
                return result
        raise ModalityError(f"There is no model {name!r} here; there are {[m.name for m in self.models]}.")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows, as texts."""
        others = [
            name for name in dict.fromkeys(k for m in self.models for k in m.scores) if name != self.metric
        ]
        heads = ["model", f"{self.metric} [95 %]", *others]
        heads += [f"minus {label}" for label in self.references]
        heads += ["fit, cpu-s", "MiB", "numbers kept", "remarks"]
        return heads, [self._row(result, others) for result in self.models]

    def _row(self, result: ModelResult, others: Sequence[str]) -> list[str]:
        failed = not result.n_splits
        cells = [result.name, "failed" if failed else str(result.score)]
        cells += [f"{result.scores[name]:.3f}" if name in result.scores else "" for name in others]
        for label, name in self.references.items():
            found = result.against.get(label)
            cells.append("(itself)" if name == result.name else "" if found is None else str(found))
        cells += ["" if failed else f"{result.seconds:.2g}"]
        cells += [
            "" if failed or np.isnan(result.mib) else f"{result.mib:.0f}",
            "" if failed else f"{result.parameters:,}",
        ]
        partly = (
            f"on {result.n_splits} of {self.n_splits} splits" if 0 < result.n_splits < self.n_splits else ""
        )
        return [
            *cells,
            "; ".join(
                part for part in (partly, result.error.splitlines()[0] if result.error else "") if part
            ),
        ]

    def to_markdown(self) -> str:
        """The table, and how to read its intervals."""
        heads, rows = self.table()
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        return "\n".join(lines) + "\n\n" + "\n".join(self.sentences()) + "\n"

    def sentences(self) -> list[str]:
        """What may be said, and what not."""
        found = [self.interval]
        for label, name in self.references.items():
            against = [(m.name, m.against[label].verdict) for m in self.models if label in m.against]
            better, worse = ([n for n, v in against if v == verdict] for verdict in ("better", "worse"))
            same = len(against) - len(better) - len(worse)
            who = label if label == name else f"{label} ({name})"
            told = f"Against the {who}: better {', '.join(better) or 'none'}; worse {', '.join(worse) or 'none'}; "
            found.append(
                f"{told}for {same} of {len(against)} no difference is shown, which does not say that there is none."
            )
        count = sum(len(m.against) for m in self.models)
        if count > 1:
            found.append(
                f"Of {count} such intervals at 95 %, {count * (1 - LEVEL):.1f} would be expected to exclude 0 by chance alone."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; without the single answers."""
        plain = {name: value for name, value in vars(self).items() if name not in ("models", "runs")}
        models = []
        for m in self.models:
            against = {k: {**vars(d), "verdict": d.verdict} for k, d in m.against.items()}
            models.append(
                {**vars(m), "score": m.score.to_dict(), "scores": dict(m.scores), "against": against}
            )
        runs = [{k: v for k, v in run.to_dict().items() if k != "answers"} for run in self.runs]
        return {**plain, "references": dict(self.references), "models": models, "runs": runs}

    def __str__(self) -> str:
        return self.to_markdown()


def compare_models(
    models: Mapping[str, Any],
    data: Modalities | Mapping[str, Any],
    y: Any,
    *,
    splits: int | Sequence[Split] = 5,
    groups: Any = None,
    references: Mapping[str, Sequence[str]] | None = None,
    task: str = "auto",
    observe: Observe | None = None,
    random_state: RandomState = 0,
) -> ModelComparison:
    r"""Fit every model on every split, and say how far each is from the references, with honest intervals.

    Args:
        models: Name -> anything with scikit-learn's `fit`, `predict` and `get_params`. They are cloned; every `random_state` among
            their parameters is set anew for each split. Nothing is chosen on test rows but the reference (see `references`).
        data: The modalities.
        y: Classes, quantities or labels.
        splits: How many random divisions (`honest_splits`, a quarter to test on), or divisions given.
        groups: One label per row; rows of one label stay together. Rows that share a stored value always do.
        references: Label -> models, of which the one that does best on the test rows stands for the label: chosen with hindsight,
            which favours the reference and never the models held against it.
        task: What y holds: auto, classification, regression or multilabel.
        observe: Called with name, split, fitted model, test data and test targets after each fit; what it gives is kept in the run.
        random_state: Seed of the divisions.

    Returns:
        Intervals at 95 %. Several different test parts: of the mean over splits, by the t distribution with the variance
        $(1/k + n_\mathrm{test}/n_\mathrm{train})\, s^2$, because splits share training rows (Nadeau & Bengio 2003). One test part: by
        resampling its rows (whole groups), averaged over seeds; the training rows are then taken as given.

    Raises:
        ModalityError: no model, a reference that is none, or data that cannot be divided.

    References:
        Nadeau & Bengio 2003, Inference for the generalization error, Machine Learning 52; Efron & Tibshirani 1993, chapter 13.
    """
    frame, target = Modalities.of(data), check_target(y)
    _check(models, references or {}, frame, target)
    chosen = (
        honest_splits(frame, target, n_splits=splits, groups=groups, task=task, random_state=random_state)
        if isinstance(splits, int)
        else tuple(splits)
    )
    runs = list(run_models(models, frame, target, chosen, task=task, observe=observe))
    return summarise_runs(
        runs, Truth.of(target, task), chosen, references=references, groups=row_groups(frame, groups)
    )


def _check(
    models: Mapping[str, Any], references: Mapping[str, Sequence[str]], data: Modalities, y: np.ndarray
) -> None:
    if not models:
        raise ModalityError("A comparison needs at least one model, got none.")
    unknown = [name for names in references.values() for name in names if name not in models]
    if unknown:
        raise ModalityError(f"References {unknown} are not among the models {list(models)}.")
    if len(y) != len(data):
        raise ModalityError(f"A comparison needs one target per row: {len(data)} rows, {len(y)} targets.")


def summarise_runs(
    runs: Iterable[Run],
    truth: Truth,
    splits: Sequence[Split],
    *,
    references: Mapping[str, Sequence[str]] | None = None,
    groups: Int[np.ndarray, " n"] | None = None,
    over: Over = "splits",
) -> ModelComparison:
    """The table of runs, which may be a part of all: models are compared on the splits that they share.

    Args:
        runs: What `run_models` gave.
        truth: The target.
        splits: The divisions.
        references: Label -> models.
        groups: One label per row, for resampling.
        over: Where intervals of several test parts come from. `"splits"`: other training rows and other test rows. `"rows"`:
            other test rows, the training rows taken as given; far narrower with few splits.
    """
    kept = tuple(runs)
    names = list(dict.fromkeys(run.model for run in kept))
    metric: Metric = next(
        (m for m in truth.metrics if all(m in run.scores for run in kept if not run.error)), truth.metrics[-1]
    )
    samples = ScoreSamples(kept, truth, splits, metric, groups, over)
    chosen = {}
    for label, candidates in (references or {}).items():
        worth = {n: samples.score(n).value for n in candidates if n in names and samples.of(n)}
        if worth:
            chosen[label] = max(worth, key=lambda n: worth[n] * samples.sign)
    results = []
    for name in names:
        against = {
            label: samples.difference(name, other)
            for label, other in chosen.items()
            if other != name and set(samples.of(name)) & set(samples.of(other))
        }
        results.append(
            _result(name, [run for run in kept if run.model == name], samples.score(name), against)
        )
    results.sort(key=lambda r: (not r.n_splits, -samples.sign * r.score.value if r.n_splits else 0.0, r.name))
    sizes = [(len(s.train), len(s.test)) for s in splits]
    rows = round(float(np.mean([a for a, _ in sizes]))), round(float(np.mean([b for _, b in sizes])))
    return ModelComparison(
        tuple(results), metric, truth.task, chosen, len(splits), rows, samples.sentence(rows), kept
    )


def _result(
    name: str, runs: Sequence[Run], score: Interval, against: Mapping[str, Difference]
) -> ModelResult:
    good = [run for run in runs if not run.error]
    keys = dict.fromkeys(key for run in good for key in run.scores)
    memory = [run.mib for run in good if not np.isnan(run.mib)]
    return ModelResult(
        name=name,
        score=score,
        scores={key: float(np.mean([run.scores[key] for run in good if key in run.scores])) for key in keys},
        against=against,
        seconds=float(np.mean([run.seconds for run in good])) if good else float("nan"),
        mib=max(memory, default=float("nan")),
        parameters=max((run.parameters for run in good), default=0),
        n_splits=len(good),
        error=next((run.error for run in runs if run.error), ""),
        warnings=tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
    )

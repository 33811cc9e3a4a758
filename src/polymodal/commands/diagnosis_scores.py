"""How well each modality alone and fusions of them answer, and what surely differs: metrics and differences with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.commands.diagnosis_answers import ADDS, MULTIPLIES, Answers, metric_name
from polymodal.commands.diagnosis_understanding import Question
from polymodal.core.typing import Float, Int
from polymodal.evaluation.intervals import Interval, bootstrap_interval

LEVEL = 0.95
N_RESAMPLES = 2000
ORDER = ("late mean", "late product", "concatenation", "stacking", ADDS, MULTIPLIES)
"""Fusions, the simplest first: of those that cannot be told from the best one, the first is recommended."""


@dataclass(frozen=True)
class ModelScore:
    """How well one model answers.

    Args:
        name: "image alone", or the fusion.
        modalities: What it was given.
        score: The metric, with its interval at 95 %.
        above_chance: The metric less that of an answer that looks at nothing; its interval is that of a finding.
        accuracy: Share of right answers beside an AUC; else None.
        seconds: Processor seconds of the fits.
    """

    name: str
    modalities: tuple[str, ...]
    score: Interval
    above_chance: Interval
    accuracy: Interval | None
    seconds: float

    @property
    def found(self) -> bool:
        """Whether it is surely better than chance."""
        return self.above_chance.low > 0


@dataclass(frozen=True)
class Gain:
    """What one model answers better than another, on the same rows.

    Args:
        model: The larger one.
        over: The smaller one.
        difference: Of the metrics, with its interval at 95 %.
        sure: The same, with the interval of a finding: wider, because several differences were looked at, and because folds share
            training rows.
    """

    model: str
    over: str
    difference: Interval
    sure: Interval

    @property
    def found(self) -> bool:
        """Whether the larger model is surely better."""
        return self.sure.low > 0


@dataclass(frozen=True)
class Scores:
    """What `score_models` found.

    Args:
        metric: accuracy, AUC (two classes) or R2.
        chance: The metric of the commonest class, or of the mean.
        alone: Each modality, the best first.
        fusions: All modalities together, in `ORDER`.
        gains: Every fusion over the best single modality.
        beyond: Every modality: all together over all the others together; empty for one or two modalities.
        multiplying: The network with products across modalities over the same network with sums only; None for one modality.
        folds: Number of folds.
    """

    metric: str
    chance: float
    alone: tuple[ModelScore, ...]
    fusions: tuple[ModelScore, ...]
    gains: tuple[Gain, ...]
    beyond: tuple[Gain, ...]
    multiplying: Gain | None
    folds: int

    @property
    def best(self) -> ModelScore:
        """The best single modality."""
        return self.alone[0]


def score_models(answers: Answers, random_state: int = 0) -> Scores:
    """Scores with intervals, and the differences that matter. See the guide for the rules."""
    question = answers.question
    names = question.names
    chance = float(answers.values["chance"].mean())
    alone = [_scored(answers, f"{name} alone", len(names), random_state) for name in names]
    alone.sort(key=lambda s: -s.score.value)
    together = [name for name in ORDER if name in answers.values]
    fusions = [_scored(answers, name, len(together), random_state) for name in together]
    # not divided by the number of fusions: the best single modality is chosen by these numbers, which works against all of them
    gains = [gain(answers, name, alone[0].name, 1, random_state) for name in together]
    multiplying = gain(answers, MULTIPLIES, ADDS, 1, random_state) if fusions else None
    beyond = []
    if len(names) > 2:
        rule = "late product" if _better(answers, "late product", "late mean") else "late mean"
        beyond = [gain(answers, rule, f"{rule} without {name}", len(names), random_state) for name in names]
    return Scores(
        metric_name(question), chance, tuple(alone), tuple(fusions), tuple(gains), tuple(beyond), multiplying,
        len(np.unique(question.folds)),
    )  # fmt: skip


def gain(answers: Answers, model: str, over: str, comparisons: int, random_state: int = 0) -> Gain:
    """The paired difference of two models; `comparisons` is how many differences of this kind are looked at."""
    difference = answers.values[model] - answers.values[over]
    groups = answers.question.groups
    return Gain(
        model, over, interval_of(difference, groups, LEVEL, random_state),
        _widened(interval_of(difference, groups, 1 - (1 - LEVEL) / comparisons, random_state), answers.question),
    )  # fmt: skip


def interval_of(
    values: Float[np.ndarray, " n"], groups: Int[np.ndarray, " n"], level: float, random_state: int = 0
) -> Interval:
    """Bootstrap of the mean over whole groups."""
    return bootstrap_interval(
        values, groups=groups, n_resamples=N_RESAMPLES, level=level, random_state=random_state
    )


def _scored(answers: Answers, name: str, comparisons: int, random_state: int) -> ModelScore:
    question, values = answers.question, answers.values[name]
    accuracy = None
    if metric_name(question) == "AUC":
        right = np.asarray(answers.predicted[name] == question.y, dtype=float)
        accuracy = interval_of(right, question.groups, LEVEL, random_state)
    return ModelScore(
        name,
        answers.modalities[name],
        _within(interval_of(values, question.groups, LEVEL, random_state), question),
        gain(answers, name, "chance", comparisons, random_state).sure,
        accuracy,
        round(answers.seconds[name], 3),
    )


def _widened(found: Interval, question: Question) -> Interval:
    r"""By $\sqrt{1 + K / (K - 1)}$ for K folds: resampled rows do not show that the folds share training rows (Nadeau and Bengio 2003)."""
    folds = len(np.unique(question.folds))
    factor = float(np.sqrt(1 + folds / (folds - 1)))
    low, high = (found.value + factor * (end - found.value) for end in (found.low, found.high))
    return Interval(found.value, low, high, found.level)


def _within(found: Interval, question: Question) -> Interval:
    """No metric exceeds 1; and no mistake on n rows leaves room for 3 / n of them (at 95 %), which no resampling shows."""
    low = (
        found.low
        if found.low < found.high or question.task == "regression"
        else found.value - 3 / question.n_units
    )
    return Interval(
        found.value,
        max(low, 0.0) if question.task != "regression" else low,
        min(found.high, 1.0),
        found.level,
    )


def _better(answers: Answers, a: str, b: str) -> bool:
    return a in answers.values and bool(answers.values[a].mean() > answers.values[b].mean())

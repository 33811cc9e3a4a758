r"""How a fitted model's score falls when one modality gets noisy, and when it is absent: two questions, two curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Estimator
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.evaluation.intervals import Interval
from polymodal.interactions._noise import add_noise
from polymodal.interactions._scoring import (
    Scorer,
    check_inputs,
    constant_answer,
    draw_counts,
    name_scorer,
    predictions,
    score_samples,
    summarise,
)
from polymodal.interactions._tables import markdown_table

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Curve:
    """Score against how bad one modality is.

    Attributes:
        levels: Noise in standard deviations (texts: share of words dropped), or share of rows that lack the modality.
        scores: One a level.
    """

    levels: tuple[float, ...]
    scores: tuple[Interval, ...]

    @property
    def values(self) -> np.ndarray:
        """The scores without their intervals."""
        return np.array([score.value for score in self.scores])

    def area(self) -> float:
        r"""Relative robustness: the area under the curve by the trapezoid rule, $\int f$ over the levels."""
        return float(np.trapezoid(self.values, self.levels))

    def effective(self, reference: Curve) -> float:
        r"""Effective robustness against another model: $\sum_t f(t) - \big(r(t) + f(0) - r(0)\big)$; > 0 where this one falls less.

        Raises:
            ModalityError: other levels.
        """
        if self.levels != reference.levels:
            raise ModalityError(
                f"effective needs curves at the same levels, got {self.levels} and {reference.levels}."
            )
        own, other = self.values, reference.values
        return float(((own - own[0]) - (other - other[0])).sum())


@dataclass(frozen=True)
class RobustnessCurves:
    """What `robustness_curves` found.

    Attributes:
        noise: Modality -> curve over noise.
        absence: Modality -> curve over the share of rows that lack it; empty where the model was not asked.
        baseline: Score of the best constant answer.
        scorer: What the scores are.
    """

    noise: dict[str, Curve]
    absence: dict[str, Curve]
    baseline: float
    scorer: str

    def table(self) -> str:
        """Score without harm, at the worst, and the area under each curve, as Markdown."""
        rows = []
        for what, curves in (("noise", self.noise), ("absence", self.absence)):
            for name, curve in curves.items():
                worst = f"{curve.levels[-1]:g}: {curve.values[-1]:.3f}"
                rows.append([f"{name}, {what}", f"{curve.values[0]:.3f}", worst, f"{curve.area():.3f}"])
        return markdown_table([self.scorer, "unharmed", "at the last level", "area"], rows)

    def plot(self, axes: Any = None) -> Any:
        """Draw noise on the left and absence on the right, one line a modality; returns the two axes."""
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
        labels = (
            "noise (standard deviations; texts: share of words dropped)",
            "share of rows that lack the modality",
        )
        for ax, curves, label in zip(axes, (self.noise, self.absence), labels, strict=True):
            for name, curve in curves.items():
                (line,) = ax.plot(curve.levels, curve.values, marker="o", markersize=3, label=name)
                low, high = ([getattr(s, side) for s in curve.scores] for side in ("low", "high"))
                ax.fill_between(curve.levels, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            ax.axhline(self.baseline, color="0.5", linestyle=":", linewidth=1)
            ax.set_xlabel(label, fontsize="small")
        axes[0].set_ylabel(self.scorer)
        axes[0].legend(frameon=False)
        return axes

    def __str__(self) -> str:
        return self.table()


def robustness_curves(
    model: Any,
    data: Modalities | Mapping[str, Any],
    y: Any,
    *,
    noise: Sequence[float] = (0.0, 0.25, 0.5, 1.0, 2.0),
    absence: Sequence[float] | None = None,
    scorer: Scorer = "auto",
    n_draws: int = 3,
    level: float = 0.95,
    random_state: RandomState = 0,
) -> RobustnessCurves:
    """Harm one modality at a time, more and more, and score the model each time.

    Noise is not absence: under noise the model is told something false, under absence it is told nothing and may know how to
    do without. Numbers get Gaussian noise in units of each feature's standard deviation on these rows (pixels and samples
    stay in the range of the data); texts lose each word with probability equal to the level, at most 1, and keep at least one.

    Args:
        model: Anything fitted with `predict(data)`.
        data: Rows to score on, best ones that training did not see, with every modality.
        y: One class or quantity a row.
        noise: Levels of noise, rising from 0.
        absence: Shares of rows that lose the modality, rising from 0, at most 1. None: five shares from 0 to 1 for fusions of this package,
            nothing for other models, which may not know absence.
        scorer: `"accuracy"`, `"r2"`, a function of truth and prediction, or by the type of y (floats: r2).
        n_draws: Draws of noise, or of rows, that a score is averaged over.
        level: Of the intervals (bootstrap over rows).
        random_state: Seed.

    Raises:
        ModalityError: no `predict`, one modality, rows that lack one, levels that do not rise from 0.

    Relations:
        * level 0 of either curve: the score of the model
        * all rows absent: the score of the model without this modality
        * a modality that the model does not use: both curves are level

    References: Liang et al. 2021, MultiBench (relative and effective robustness).

    Complexity:
        M x levels x n_draws calls of the model on all rows.
    """
    frame, target = check_inputs("robustness_curves", model, data, y)
    if absence is None:
        absence = RATES if isinstance(model, Estimator) and model.family == "fusion" else ()
    _check_levels("noise", noise, np.inf)
    _check_levels("absence", absence, 1.0)
    if n_draws < 1:
        raise ModalityError(f"n_draws needs at least 1, got {n_draws}.")
    rng = generator(random_state)
    counts = draw_counts(len(frame), 1000, level, rng)
    unharmed = predictions(model, frame)[None]

    def curve(name: str, levels: Sequence[float], harm: Any) -> Curve:
        scores = []
        for amount in levels:
            answers = (
                unharmed
                if amount == 0
                else np.stack([predictions(model, harm(name, amount)) for _ in range(n_draws)])
            )
            scores.append(summarise(score_samples(scorer, target, answers, counts), level))
        return Curve(tuple(float(v) for v in levels), tuple(scores))

    def noisy(name: str, amount: float) -> Modalities:
        return frame.assign({name: add_noise(frame[name], amount, rng)})

    def absent(name: str, rate: float) -> Modalities:
        return frame.without(name, rng.permutation(len(frame))[: round(rate * len(frame))])

    constant = np.full((1, len(frame)), constant_answer(scorer, target))
    return RobustnessCurves(
        {name: curve(name, noise, noisy) for name in frame.names},
        {name: curve(name, absence, absent) for name in frame.names if absence},
        float(score_samples(scorer, target, constant, counts[:1])[0]),
        name_scorer(scorer, target),
    )


def _check_levels(what: str, levels: Sequence[float], most: float) -> None:
    values = np.asarray(levels, dtype=float)
    if what == "absence" and not len(values):
        return
    if len(values) < 2 or values[0] != 0 or (np.diff(values) <= 0).any() or values[-1] > most:
        limit = "" if most == np.inf else f" to at most {most:g}"
        raise ModalityError(f"{what} needs two levels or more that rise from 0{limit}, got {list(levels)}.")

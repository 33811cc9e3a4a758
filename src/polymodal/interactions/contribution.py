r"""How much of a fitted model's score each modality brings: exact Shapley values over the subsets of modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Estimator
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Shaped
from polymodal.evaluation.intervals import Interval
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
from polymodal.interactions._tables import markdown_table, with_interval

MOST = 10
"""More modalities would need more than a thousand subsets."""
HOW = {
    "absent": "modalities outside a subset were left out, as the model allows",
    "permute": "modalities outside a subset were taken from another row, drawn at random",
}


@dataclass(frozen=True)
class ModalityContribution:
    """What `modality_contribution` found.

    Attributes:
        shares: Modality -> its Shapley value, in units of the score; they sum to `score - baseline`.
        alone: Modality -> score with this modality only.
        without: Modality -> score with all modalities but this one.
        score: With all modalities.
        baseline: With none.
        values: Subset of modalities -> score.
        missing: How modalities were taken away: `"absent"` or `"permute"`.
        scorer: What the scores are.
        level: Of the intervals.
    """

    shares: dict[str, Interval]
    alone: dict[str, Interval]
    without: dict[str, Interval]
    score: Interval
    baseline: Interval
    values: dict[frozenset[str], float]
    missing: str
    scorer: str
    level: float

    def sentence(self) -> str:
        """What was found, in words, and how modalities were taken away."""
        order = sorted(self.shares, key=lambda name: -self.shares[name].value)
        parts = ", ".join(f"{name} {_show(self.shares[name])}" for name in order)
        return (
            f"Of {self.scorer} {self.score.value:.3f} with all modalities ({self.baseline.value:.3f} with none), the modalities bring: "
            f"{parts} (Shapley; {HOW[self.missing]})."
        )

    def table(self) -> str:
        """Share, score alone and score without, for each modality, as Markdown."""
        rows = [
            [name, _show(self.shares[name]), _show(self.alone[name]), _show(self.without[name])]
            for name in self.shares
        ]
        return markdown_table([self.scorer, "share", "alone", "without"], rows)

    def plot(self, ax: Any = None) -> Any:
        """Draw the shares as bars with their intervals; returns the axes."""
        import matplotlib.pyplot as plt

        ax = plt.gca() if ax is None else ax
        names = list(self.shares)
        values = np.array([self.shares[name].value for name in names])
        low, high = (
            np.array([getattr(self.shares[name], side) for name in names]) for side in ("low", "high")
        )
        widths = np.maximum([values - low, high - values], 0)
        ax.barh(names, values, xerr=widths, color="tab:blue", ecolor="0.3")
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.invert_yaxis()
        ax.set(xlabel=f"share of {self.scorer} (Shapley)")
        return ax

    def __str__(self) -> str:
        return f"{self.sentence()}\n\n{self.table()}"


def modality_contribution(
    model: Any,
    data: Modalities | Mapping[str, Any],
    y: Any,
    *,
    scorer: Scorer = "auto",
    missing: Literal["auto", "absent", "permute"] = "auto",
    n_draws: int = 5,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: RandomState = 0,
) -> ModalityContribution:
    r"""Share the score of a fitted model out among its modalities.

    $$ \varphi_m = \sum_{S \not\ni m} \frac{|S|!\,(M - |S| - 1)!}{M!} \big( v(S \cup m) - v(S) \big) $$

    v(S) is the score when the model has the modalities S only. Two modalities that say the same share their worth, where
    leaving out either would cost nothing: look at `without`, too.

    Args:
        model: Anything fitted with `predict(data)`.
        data: Rows to score on, best ones that training did not see, with every modality.
        y: One class or quantity a row.
        scorer: `"accuracy"`, `"r2"`, a function of truth and prediction, or by the type of y (floats: r2).
        missing: How a modality is taken away. `"absent"`: the model predicts without it, and without all from the commonest class or
            the mean of y; `"permute"`: it is given that of another row (those taken away together come from one row), which also
            asks the model about rows that never occur. `"auto"`: absent for fusions of this package, else permute.
        n_draws: Shuffles that `"permute"` averages over.
        level: Of the intervals.
        n_resamples: Bootstrap samples of rows.
        random_state: Seed.

    Raises:
        ModalityError: no `predict`, more than 10 modalities, rows that lack one, a target that is constant or of another length.

    Relations:
        * efficiency: the shares sum to score - baseline (to rounding)
        * a modality that never changes the answer has share 0; modalities that are interchangeable have equal shares
        * one modality: its share is score - baseline

    References: Shapley 1953; Štrumbelj & Kononenko 2014 (permute).

    Complexity:
        2^M calls of the model on all rows (times n_draws for `"permute"`), O(2^M n_resamples n) for the intervals.
    """
    frame, target = check_inputs("modality_contribution", model, data, y, fewest=1)
    names = tuple(sorted(frame.names))
    if len(names) > MOST:
        raise ModalityError(
            f"modality_contribution goes through all subsets of at most {MOST} modalities, got {len(names)}."
        )
    if missing not in ("auto", *HOW) or n_draws < 1:
        raise ModalityError(
            f"Needed: missing 'auto', 'absent' or 'permute' and n_draws >= 1; got {missing!r} and {n_draws}."
        )
    how = missing
    if how == "auto":
        how = "absent" if isinstance(model, Estimator) and model.family == "fusion" else "permute"
    kind, rng = name_scorer(scorer, target), generator(random_state)
    orders = [rng.permutation(len(frame)) for _ in range(n_draws)]
    counts = draw_counts(len(frame), n_resamples, level, rng)
    scores: dict[frozenset[str], np.ndarray] = {}
    for size in range(len(names) + 1):
        for subset in combinations(names, size):
            answers = _answers(model, frame, subset, how, orders, constant_answer(scorer, target))
            scores[frozenset(subset)] = score_samples(scorer, target, answers, counts)
    everything = frozenset(names)
    return ModalityContribution(
        shares={name: summarise(shapley(scores, name, names), level) for name in names},
        alone={name: summarise(scores[frozenset([name])], level) for name in names},
        without={name: summarise(scores[everything - {name}], level) for name in names},
        score=summarise(scores[everything], level),
        baseline=summarise(scores[frozenset()], level),
        values={subset: float(values[0]) for subset, values in scores.items()},
        missing=how,
        scorer=kind,
        level=level,
    )


def shapley(
    values: Mapping[frozenset[str], Float[np.ndarray, " b"]], name: str, names: tuple[str, ...]
) -> Float[np.ndarray, " b"]:
    """The Shapley value of one player, from the value of every subset of players (several games at once)."""
    others, m = [k for k in names if k != name], len(names)
    total = np.zeros_like(values[frozenset()])
    for size in range(m):
        weight = factorial(size) * factorial(m - size - 1) / factorial(m)
        for subset in combinations(others, size):
            total = total + weight * (values[frozenset(subset) | {name}] - values[frozenset(subset)])
    return total


def _answers(
    model: Any, frame: Modalities, subset: tuple[str, ...], how: str, orders: list[np.ndarray], constant: Any
) -> Shaped[np.ndarray, "d n"]:
    if len(subset) == len(frame.names):
        return predictions(model, frame)[None]
    if how == "absent":
        if not subset:
            return np.full((1, len(frame)), constant)
        return predictions(model, frame.select(*(name for name in frame.names if name in subset)))[None]
    found = []
    for order in orders:
        mixed = {name: frame[name] if name in subset else frame[name][order] for name in frame.names}
        found.append(predictions(model, Modalities(mixed, ids=frame.ids)))
    return np.stack(found)


def _show(interval: Interval) -> str:
    return with_interval(interval.value, interval.low, interval.high)

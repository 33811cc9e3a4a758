"""How sure a score and a difference of two scores are: from several splits, or from samples of one test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polymodal.core.typing import Float, Int
from polymodal.evaluation.answers import LARGER_IS_BETTER, Answers, Metric, Truth, metric_of
from polymodal.evaluation.intervals import Interval
from polymodal.evaluation.model_runs import Run
from polymodal.evaluation.splits import Split

LEVEL = 0.95
RESAMPLES = 1000
FEW = 5
MOST_DRAWN = 20_000_000
Over = Literal["splits", "rows"]
Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Difference:
    """A model's score less a reference's on the same test rows, positive where the model is better.

    Args:
        reference: The name of the model it is held against.
        value: The difference, in the sense that larger is better.
        low: Lower end of its interval.
        high: Upper end.
        agreed: Whether no split says otherwise; asked only where the interval takes the training rows as given.
    """

    reference: str
    value: float
    low: float
    high: float
    agreed: bool = True

    @property
    def verdict(self) -> Verdict:
        """What the interval allows to say."""
        if not self.agreed:
            return "no difference shown"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no difference shown"

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class ScoreSamples:
    """Scores and differences with their intervals, from splits or from samples of one test part."""

    def __init__(
        self,
        runs: Sequence[Run],
        truth: Truth,
        splits: Sequence[Split],
        metric: Metric,
        groups: Int[np.ndarray, " n"] | None,
        over: Over = "splits",
    ) -> None:
        self.truth, self.splits, self.metric = truth, splits, metric
        self.sign = 1.0 if LARGER_IS_BETTER[metric] else -1.0
        self.one_part = all(np.array_equal(s.test, splits[0].test) for s in splits)
        self.by_rows = self.one_part or over == "rows"
        self._answers: dict[str, dict[int, Answers]] = {}
        for run in runs:
            known = self._answers.setdefault(run.model, {})
            if not run.error:
                known[run.split] = run.answers
        self._drawn: dict[tuple[str, int], np.ndarray] = {}
        count = RESAMPLES if self.by_rows else max(2, RESAMPLES // len(splits))
        self._rows = _resampled([s.test for s in splits], groups, count)

    def of(self, name: str) -> dict[int, Answers]:
        """Split -> answers."""
        return self._answers.get(name, {})

    def score(self, name: str) -> Interval:
        """The mean over splits, with its interval."""
        known = self.of(name)
        if not known:
            return Interval(float("nan"), float("nan"), float("nan"), LEVEL)
        value, low, high = self._interval([self._draws(name, s) for s in known], list(known))
        most = 1.0 if self.metric != "MAE" else np.inf
        least = 0.0 if self.metric != "R2" else -np.inf
        return Interval(value, max(low, least), min(high, most), LEVEL)

    def difference(self, name: str, other: str) -> Difference:
        """How much better `name` is than `other` on the splits that both have."""
        both = [s for s in self.of(name) if s in self.of(other)]
        pairs = [self.sign * (self._draws(name, s) - self._draws(other, s)) for s in both]
        signs = {bool(v[0] > 0) for v in pairs}
        return Difference(
            other, *self._interval(pairs, both), self.one_part or not self.by_rows or len(signs) == 1
        )

    def _draws(self, name: str, split: int) -> Float[np.ndarray, " b"]:
        """The score on the test rows, and on each sample of them."""
        if (name, split) not in self._drawn:
            rows, answers = self.splits[split].test, self.of(name)[split]
            samples = [np.arange(len(rows)), *self._rows[split]]
            self._drawn[name, split] = np.array(
                [metric_of(self.metric, self.truth, rows, answers, chosen) for chosen in samples]
            )
        return self._drawn[name, split]

    def _interval(self, values: list[np.ndarray], splits: list[int]) -> tuple[float, float, float]:
        if self.by_rows:
            mean = np.mean(values, axis=0)
            low, high = np.nanquantile(mean[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            return float(mean[0]), float(low), float(high)
        found = np.array([v[0] for v in values])
        least = float(np.mean([np.nanvar(v[1:]) for v in values]))
        share = float(np.mean([len(self.splits[s].test) / len(self.splits[s].train) for s in splits]))
        return corrected_interval(found, share, least)

    def sentence(self, rows: tuple[int, int]) -> str:
        """Where the intervals come from."""
        if not self.one_part:
            whole = f"Mean over {len(self.splits)} random splits ({rows[0]:,} rows to learn from, {rows[1]:,} to test on); intervals by "
            if self.by_rows:
                return whole + (
                    "resampling the test rows of all splits together: other test rows, not other training rows. A difference counts as "
                    "shown where its interval excludes 0 and no split says otherwise."
                )
            return (
                f"{whole}the corrected resampled t test (Nadeau & Bengio), which allows for splits that share rows, and never "
                "narrower than resampling the test rows would have them."
                + (" Few splits make them wide." if len(self.splits) < FEW else "")
            )
        times = f", mean over {len(self.splits)} seeds" if len(self.splits) > 1 else ""
        return (
            f"One given split ({rows[0]:,} rows to learn from, {rows[1]:,} to test on{times}); intervals by resampling the test rows: "
            "other test rows, not other training rows."
        )


def corrected_interval(
    values: Float[np.ndarray, " k"], test_to_train: float, least: float = 0.0
) -> tuple[float, float, float]:
    r"""Mean and 95 % interval of a score over random splits: $\bar v \pm t_{k-1} \sqrt{(1/k + n_\mathrm{test}/n_\mathrm{train})\, s^2}$.

    Args:
        values: One value a split; NaN is left out.
        test_to_train: Rows to test on per row to learn from.
        least: Variance of the score over samples of the test rows: a few splits may agree by accident, but the interval is
            never narrower than a normal one of this variance.

    Returns:
        Mean, low, high; one value alone has no interval, and its ends are infinite.
    """
    from scipy.stats import norm, t

    known = values[np.isfinite(values)]
    if len(known) < 2:
        mean = float(known[0]) if len(known) else float("nan")
        return mean, float("-inf"), float("inf")
    k, mean = len(known), float(known.mean())
    from_splits = float(t.ppf((1 + LEVEL) / 2, k - 1)) * float(known.std(ddof=1))
    from_rows = float(norm.ppf((1 + LEVEL) / 2)) * float(
        np.sqrt(least)
    )  # known from many rows: no few degrees of freedom
    half = max(from_splits, from_rows) * float(np.sqrt(1 / k + test_to_train))
    return mean, mean - half, mean + half


def _resampled(
    tests: Sequence[Int[np.ndarray, " m"]], groups: Int[np.ndarray, " n"] | None, count: int
) -> list[list[np.ndarray]]:
    """For each split, samples of positions among its test rows: rows or whole groups drawn with replacement, the same for all splits."""
    rng = np.random.default_rng(0)
    union = np.unique(np.concatenate(tests))
    codes = union if groups is None else groups[union]
    if len(np.unique(codes)) == 1:  # nothing to draw but the whole
        codes = union
    labels = np.unique(codes, return_inverse=True)[1].reshape(-1)
    places = [labels[np.searchsorted(union, test)] for test in tests]
    most = max(200, MOST_DRAWN // len(union))
    found: list[list[np.ndarray]] = [[] for _ in tests]
    for _ in range(min(count, most)):
        times = np.bincount(rng.integers(labels.max() + 1, size=labels.max() + 1), minlength=labels.max() + 1)
        for samples, place in zip(found, places, strict=True):
            samples.append(np.repeat(np.arange(len(place)), times[place]))
    return found

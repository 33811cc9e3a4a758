"""What two signals do together: the response to each alone and to both, put into a cell of Partan and Marler's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.evaluation.intervals import Interval
from polymodal.interactions._categories import classify_categories
from polymodal.interactions._measurements import classify_measurements
from polymodal.interactions._tables import markdown_table, with_interval

Label = Literal[
    "equivalence",
    "enhancement",
    "depression",
    "independence",
    "dominance",
    "modulation",
    "emergence",
    "no response",
    "unlisted",
    "undecided",
]
REDUNDANT = frozenset({"equivalence", "enhancement", "depression"})
NONREDUNDANT = frozenset({"independence", "dominance", "modulation", "emergence"})
MEANINGS = {
    "equivalence": "{a} and {b} alone get the same response, and both together get it at the same strength",
    "enhancement": "{a} and {b} alone get the same response, and both together get more of it",
    "depression": "{a} and {b} alone get the same response, and both together get less of it (a case the published table has no cell for)",
    "independence": "{a} and {b} alone get different responses, and both together get the two of them",
    "dominance": "{a} and {b} alone get different responses, and both together get that of one of them, at its strength",
    "modulation": "{a} and {b} alone get different responses, and both together get that of one of them, at another strength",
    "emergence": "both together get a response that neither {a} nor {b} gets alone",
    "no response": "neither {a}, nor {b}, nor both together get a response",
    "unlisted": "the published table has no cell for these responses",
    "undecided": "these replicates do not decide",
}
"""What each label says."""


@dataclass(frozen=True)
class ResponseTaxonomy:
    """What `classify_responses` found.

    Attributes:
        label: The cell, or `"undecided"`.
        redundant: Whether a and b alone get the same response; None where that is undecided or nobody responds.
        probabilities: Label -> share of resampled data sets that it fits best; sums to 1.
        effects: What was compared -> estimate with its interval (differences of means, or shares of replicates).
        why: What decided, or what is missing for a decision.
        margin: Differences up to this count as the same.
        level: Of the decision and of the intervals.
        names: What a and b are called.
    """

    label: Label
    redundant: bool | None
    probabilities: dict[str, float]
    effects: dict[str, Interval]
    why: str
    margin: float
    level: float
    names: tuple[str, str]

    def sentence(self) -> str:
        """What was found, in words, and how sure that is."""
        a, b = self.names
        meaning = MEANINGS[self.label].format(a=a, b=b)
        if self.label == "undecided":
            best = sorted(self.probabilities, key=self.probabilities.__getitem__, reverse=True)[:2]
            odds = ", ".join(f"{label} {self.probabilities[label]:.0%}" for label in best)
            return f"Undecided: {self.why}. Most resampled data sets say: {odds}."
        sure = self.probabilities.get(self.label, 0.0)
        return f"{self.label.capitalize()}: {meaning} ({self.why}; {sure:.0%} of resampled data sets agree)."

    def table(self) -> str:
        """The effects with their intervals, as Markdown."""
        rows = [[name, with_interval(e.value, e.low, e.high)] for name, e in self.effects.items()]
        return markdown_table(["effect", f"estimate [{self.level:.0%}]"], rows)

    def __str__(self) -> str:
        return f"{self.sentence()}\n\n{self.table()}"


def classify_responses(
    a: Sequence[Any] | np.ndarray,
    b: Sequence[Any] | np.ndarray,
    both: Sequence[Any] | np.ndarray,
    *,
    neither: Sequence[Any] | np.ndarray | None = None,
    kind: Literal["measured", "categorical"] = "measured",
    margin: float | None = None,
    level: float = 0.95,
    names: tuple[str, str] = ("a", "b"),
    random_state: RandomState = 0,
) -> ResponseTaxonomy:
    r"""Name the way in which two signals act together, from replicated responses to each alone and to both.

    Same response to a and to b (redundant): both get it equally (equivalence), more (enhancement) or less (depression, which the
    published table does not list). Different responses (non-redundant): both get the two of them (independence), one of them
    (dominance), one of them at another strength (modulation), or a new one (emergence).

    Measured: one number a replicate, on one scale. With effects $\alpha, \beta, \gamma$ (means less the mean of `neither`, or less
    0), "same" means $|\alpha - \beta| \le$ margin. Then both are compared with $(\alpha + \beta)/2$. Else: $\gamma$ within the margin of
    $\alpha + \beta$ is independence, of $\alpha$ or $\beta$ dominance, with a sign that neither has emergence, anything else modulation.
    "Same" has to be shown by two one-sided Welch tests, "different" by one against the margin; where a test
    that matters shows neither, the label is `"undecided"`.

    Categorical: what a replicate showed: a label, a collection of labels, or None for no response. The response to a signal is
    what most replicates showed, less that of `neither`; its strength is the share of replicates that showed it. A label is given
    where at least `level` of the draws from the posterior of the shares (Jeffreys' prior) fit it.

    Args:
        a: Responses to a alone, one a replicate. Replicates are taken for independent.
        b: Responses to b alone.
        both: Responses to both signals together.
        neither: Responses without a signal: the baseline.
        kind: What a response is.
        margin: The largest difference that counts as none, in the unit of the response (half its standard deviation
            within conditions by default), or of shares (0.2 by default).
        level: How sure a label must be, in (0.5, 1); each test has the error rate 1 - level.
        names: What a and b are called.
        random_state: Seed of the resampling.

    Raises:
        ModalityError: too few replicates (2 measured, 1 categorical), values that are no numbers, a bad margin or level.

    Relations:
        * swapping a and b gives the same label
        * measured: multiplying responses and margin by c > 0 gives the same label; with `neither`, so does adding a constant
        * equal responses everywhere: never enhancement, depression, independence, dominance or modulation

    References:
        Partan & Marler 1999, 2005 (the table). Schuirmann 1987 (two one-sided tests). A label needs all of its tests, so their
        error rates do not add up (Berger 1982).
    """
    if not 0.5 < level < 1:
        raise ModalityError(f"level needs a number between 0.5 and 1, got {level}.")
    if margin is not None and not (np.isfinite(margin) and margin >= 0):
        raise ModalityError(f"margin needs a number >= 0, got {margin}.")
    if kind not in ("measured", "categorical"):
        raise ModalityError(f"kind needs 'measured' or 'categorical', got {kind!r}.")
    conditions = {names[0]: a, names[1]: b, "both": both} | ({} if neither is None else {"neither": neither})
    if len(conditions) != 3 + (neither is not None):
        raise ModalityError(f"names needs two different names other than 'both' and 'neither', got {names}.")
    decide = classify_measurements if kind == "measured" else classify_categories
    found = decide(conditions, margin, level, generator(random_state))
    label: Any = found.label
    redundant = True if label in REDUNDANT else False if label in NONREDUNDANT else found.redundant
    return ResponseTaxonomy(
        label, redundant, found.probabilities, found.effects, found.why, found.margin, level, names
    )

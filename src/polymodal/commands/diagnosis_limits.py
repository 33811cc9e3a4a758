"""What a diagnosis cannot tell, and how many rows would have told more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polymodal.commands.diagnosis_answers import Answers
from polymodal.commands.diagnosis_pairs import LEVEL_OF_TESTS, Pair
from polymodal.commands.diagnosis_robustness import Use
from polymodal.commands.diagnosis_scores import Scores
from polymodal.commands.diagnosis_understanding import Understanding
from polymodal.commands.diagnosis_words import listed

WORTH = 0.05
POWER = 1.96 + 0.84
"""A difference of so many standard errors is found four times out of five at 95 %."""


def rows_needed(answers: Answers, scores: Scores) -> int:
    """Units that show a gain of `WORTH` four times out of five, by the spread of the differences seen here (at least 0.2)."""
    n = answers.question.n_units
    spread = 0.2
    if scores.gains:
        top = max(scores.gains, key=lambda g: g.difference.value)
        error = (top.difference.high - top.difference.low) / (2 * 1.96)
        spread = max(spread, error * np.sqrt(n))
    return int(np.ceil((POWER * spread / WORTH) ** 2 / 10) * 10)


def cannot_tell(
    facts: Understanding, scores: Scores, pairs: Sequence[Pair], use: Use | None, grouped: bool
) -> tuple[str, ...]:
    """The limits of the answer, as sentences."""
    found = []
    if scores.gains:
        top = max(scores.gains, key=lambda g: g.difference.value).sure
        seen = max(POWER / 1.96 * (top.high - top.low) / 2, 3 / facts.units)
        found.append(
            f"A gain by fusion smaller than about {seen:.3f} in {scores.metric} would mostly go unseen with {facts.units:,} independent "
            "rows."
        )
    for pair in pairs:
        c = pair.correlation
        a, b = pair.names
        if c is None:
            continue
        low, high = np.quantile(c.shuffled, (0.025, 0.975))
        chance = f"rows paired at random give {low:.2f} to {high:.2f}"
        if c.p > LEVEL_OF_TESTS:
            found.append(
                f"Whether {a} and {b} go together: their fitted correlation of {c.fitted:.2f} (root mean square; {chance}) is what "
                "chance gives."
            )
        elif c.fitted - low < 2 * (high - low):
            found.append(
                f"How strongly {a} and {b} go together: the fitted {c.fitted:.2f} is mostly chance ({chance}); held out "
                f"{c.held_out.value:.2f}."
            )
    if not grouped:
        found.append(
            "Whether rows belong together in other ways than by equal values (one person, one day, one recording): say --groups if they do."
        )
    complete = [m for m in facts.modalities if m.missing]
    if complete:
        found.append(
            f"What holds for rows that lack {listed([m.name for m in complete])}: only rows with every modality were compared."
        )
    if use is None:
        found.append("What happens under noise and absence: too few rows were left to measure it.")
    disagreeing = [p for p in pairs if p.agreed is False]
    if disagreeing:
        names = listed([" and ".join(p.names) for p in disagreeing])
        found.append(f"Which part of the information is largest for {names}: the two estimators disagree.")
    found.append(
        "What better encoders would find: pictures, texts and sequences were turned into plain vectors. A modality that tells nothing "
        "here may "
        "tell something to a network trained on it."
    )
    found.append(
        "What changes the target: all of this is about what goes together. And intervals are over rows like these, not over other "
        "places or years."
    )
    return tuple(found)

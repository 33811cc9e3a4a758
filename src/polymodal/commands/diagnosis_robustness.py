"""What a fitted fusion uses: its additive projection, the share of each modality, and what is left under noise and absence."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from polymodal.commands.diagnosis_answers import MULTIPLIES, Answers
from polymodal.commands.diagnosis_scores import Scores
from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.evaluation.intervals import Interval

MOST_ROWS = 400
PROJECTED_ROWS = 120
NOISE = (0.0, 0.5, 1.0, 2.0)
ABSENCE = (0.0, 0.25, 0.5, 1.0)
TAKES_ABSENCE = ("late mean", "late product", "stacking", MULTIPLIES)


@dataclass(frozen=True)
class Harm:
    """A curve: the score where one modality is harmed more and more.

    Args:
        modality: Its name.
        kind: noise (standard deviations of each feature) or absence (share of rows).
        levels: How much.
        scores: One a level.
    """

    modality: str
    kind: str
    levels: tuple[float, ...]
    scores: tuple[Interval, ...]


@dataclass(frozen=True)
class Projection:
    """A fitted model against the sum of one function a modality that is nearest to it.

    Args:
        model: Which model.
        score: Of the model.
        projected: Of its additive projection.
        difference: Score less that of the projection, on the same rows.
        left: Share of the variance of the outputs that the projection does not give.
        sentence: In words.
    """

    model: str
    score: Interval
    projected: Interval
    difference: Interval
    left: float
    sentence: str


@dataclass(frozen=True)
class Use:
    """What fitted fusions use, on rows that they were not fitted on.

    Args:
        model: The fusion that shares and curves are of.
        rows: Rows they are measured on.
        scorer: accuracy or r2.
        baseline: Of the best constant answer.
        shares: Modality -> its part of the score (Shapley); with the baseline they add up to the score.
        curves: Under noise and under absence.
        projection: Of the network that multiplies; None where it could not be computed.
    """

    model: str
    rows: int
    scorer: str
    baseline: float
    shares: dict[str, Interval]
    curves: tuple[Harm, ...]
    projection: Projection | None


def use_of(answers: Answers, scores: Scores, *, random_state: int = 0) -> Use | None:
    """Ask the models of the first fold; None where that fold cannot be scored, or there is one modality."""
    from polymodal.interactions import modality_contribution, robustness_curves

    rows = np.random.default_rng(random_state).permutation(len(answers.test["y"]))[:MOST_ROWS]
    data, y = answers.test["data"][rows], answers.test["y"][rows]
    if len(data.names) < 2 or len(data.names) > 10 or len(y) < 10 or len(np.unique(y)) < 2:
        return None
    best = max((f for f in scores.fusions if f.name in TAKES_ABSENCE), key=lambda f: f.score.value).name
    model = answers.first[best]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = modality_contribution(model, data, y, missing="absent", random_state=random_state)
        curves = robustness_curves(
            model, data, y, noise=NOISE, absence=ABSENCE, n_draws=2, random_state=random_state
        )
        projection = _projection(answers, data, y, random_state)
    harms = [
        Harm(name, kind, curve.levels, curve.scores)
        for kind, found in (("noise", curves.noise), ("absence", curves.absence))
        for name, curve in found.items()
    ]
    return Use(best, len(y), curves.scorer, curves.baseline, shares.shares, tuple(harms), projection)


def _projection(answers: Answers, data: Modalities, y: np.ndarray, random_state: int) -> Projection | None:
    from polymodal.interactions import empirical_additive_projection

    try:
        found = empirical_additive_projection(
            answers.first[MULTIPLIES],
            data,
            y,
            n_rows=PROJECTED_ROWS,
            random_state=random_state,
        )
    except ModalityError:
        return None
    return Projection(
        MULTIPLIES,
        found.score,
        found.projected_score,
        found.difference,
        found.residual_share,
        found.sentence(),
    )

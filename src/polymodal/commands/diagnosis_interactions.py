"""Whether two modalities interact in what they say of the target: the ladder of regressions, products of columns, and responses."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.commands.diagnosis_answers import Answers
from polymodal.commands.diagnosis_information import directions
from polymodal.commands.diagnosis_scores import LEVEL
from polymodal.core.errors import MissingDependencyError, ModalityError
from polymodal.core.modalities import Modalities

MOST_COLUMNS = 4
MOST_ROWS = 1000
MOST_CLASSES = 10


@dataclass(frozen=True)
class Ladder:
    """y ~ a, y ~ a + b, y ~ a * b, where a and b are the out-of-fold summaries of two modalities.

    Args:
        names: The two modalities.
        response: What y is: the target, or one class of it against the rest.
        rungs: Formula -> share of variance (or McFadden's share of deviance) explained.
        adding: p of what b adds to a.
        product: p of what the product adds.
        sentence: In words; or why it could not be fitted.
        fitted: Whether it could be fitted.
    """

    names: tuple[str, str]
    response: str
    rungs: dict[str, float]
    adding: float
    product: float
    sentence: str
    fitted: bool


@dataclass(frozen=True)
class Products:
    """The same ladder for a few columns of each modality and all their products, by permutation and held out.

    Args:
        names: The two modalities.
        columns: How many columns of each.
        held_out_r2: Of A, of A + B, and of A * B, on rows left out.
        product: p of what the products add, by permutation.
        sentence: In words; or why it could not be fitted.
        fitted: Whether it could be fitted.
    """

    names: tuple[str, str]
    columns: tuple[int, int]
    held_out_r2: tuple[float, float, float]
    product: float
    sentence: str
    fitted: bool


@dataclass(frozen=True)
class Response:
    """How the models of a, of b and of both answer the rows of one class.

    Args:
        answer: The class.
        label: Cell of the table of responses, or "undecided".
        rows: Rows of the class.
        right: Model -> share of them that it answers with this class.
        sentence: In words.
    """

    answer: str
    label: str
    rows: int
    right: dict[str, float]
    sentence: str


def ladder(answers: Answers, a: str, b: str) -> Ladder:
    """I1 on one number a modality: what its own model says of rows it was not fitted on."""
    from polymodal.interactions import interaction_regression

    question = answers.question
    family: Literal["linear", "logistic"] = "linear"
    if question.task == "regression":
        y, response = question.y, "the target"
    else:
        event = np.unique(question.y)[answers.event()]
        y, family, response = (
            np.where(question.y == event, "yes", "no"),
            "logistic",
            f"{event} against the rest",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = interaction_regression(
                answers.summary(a),
                answers.summary(b),
                y,
                family=family,
                names=(a, b, "target"),
            )
    except (ModalityError, MissingDependencyError, np.linalg.LinAlgError) as error:
        return Ladder((a, b), response, {}, float("nan"), float("nan"), str(error), False)
    rungs = {rung.formula: rung.r2 for rung in found.rungs}
    adding, product = found.comparisons
    return Ladder((a, b), response, rungs, adding.p, product.p, found.sentence(), True)


def products(
    answers: Answers, vectors: Modalities, a: str, b: str, *, n_permutations: int = 199, random_state: int = 0
) -> Products:
    """I1 on a few columns a modality: its own where it has few, else its leading principal directions."""
    from polymodal.interactions import multivariate_interaction

    question = answers.question
    rows = question.sample(MOST_ROWS, random_state)
    most = max(1, min(MOST_COLUMNS, int(np.sqrt(len(rows) / 10))))
    x, z = (directions(vectors[name][rows], most) for name in (a, b))
    columns = (x.shape[1], z.shape[1])
    try:
        found = multivariate_interaction(
            x,
            z,
            question.y[rows],
            names=(a, b, "target"),
            n_permutations=n_permutations,
            random_state=random_state,
        )
    except (ModalityError, np.linalg.LinAlgError) as error:
        return Products((a, b), columns, (float("nan"),) * 3, float("nan"), str(error), False)
    return Products((a, b), columns, found.held_out_r2, found.steps[2].p, found.sentence(), True)


def responses(answers: Answers, a: str, b: str, both: str, *, random_state: int = 0) -> tuple[Response, ...]:
    """I2: of each class, what the models of a, of b and of both answer; rows are the replicates. Empty for quantities."""
    from polymodal.interactions import classify_responses

    question = answers.question
    if question.task == "regression":
        return ()
    found = []
    for answer, count in Counter(question.y.tolist()).most_common(MOST_CLASSES):
        rows = np.flatnonzero(question.y == answer)
        said: dict[str, Any] = {
            name: answers.predicted[model][rows]
            for name, model in ((a, f"{a} alone"), (b, f"{b} alone"), ("both", both))
        }
        label = classify_responses(
            *(list(v) for v in said.values()),
            kind="categorical",
            names=(a, b),
            level=LEVEL,
            random_state=random_state,
        )
        right = {name: float((v == answer).mean()) for name, v in said.items()}
        found.append(Response(str(answer), label.label, int(count), right, label.sentence()))
    return tuple(found)

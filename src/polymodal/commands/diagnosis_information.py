"""What the modalities say of the target and of each other: information, its decomposition, and correlation beside chance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.commands.diagnosis_answers import N_COMPONENTS, Answers, member_model
from polymodal.commands.diagnosis_scores import LEVEL, interval_of
from polymodal.commands.diagnosis_understanding import Question
from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float
from polymodal.evaluation.intervals import Interval

FLOOR = 0.02
"""Parts of less than this share of the target's entropy are not called found, however narrow their interval."""
N_DIRECTIONS = 10
MOST_ROWS = 1200
MOST_CORRELATED = 800


@dataclass(frozen=True)
class Told:
    """How much one modality says of the target, in bits.

    Args:
        modality: Its name.
        told: Lower bound from held-out probabilities: entropy less cross-entropy. Of quantities: of the normal law with
            the held-out R2. Negative where a model is too sure of itself.
        neighbours: Estimate by nearest neighbours of the one-number summary of the modality; of more than two
            classes, about that summary only.
    """

    modality: str
    told: Interval
    neighbours: Interval


@dataclass(frozen=True)
class Parts:
    """What two modalities say of the target, by one estimator, in bits.

    Args:
        method: Predicted or Clustered.
        redundant: Either says it.
        unique: Name -> what it alone says.
        synergy: Only both together say it.
        total: All.
    """

    method: str
    redundant: Interval
    unique: dict[str, Interval]
    synergy: Interval
    total: Interval

    def items(self) -> list[tuple[str, Interval]]:
        """The four parts by name: redundant, unique to each, synergy."""
        unique = [(f"unique {name}", part) for name, part in self.unique.items()]
        return [("redundant", self.redundant), *unique, ("synergy", self.synergy)]


@dataclass(frozen=True)
class Correlation:
    """How strongly two modalities go together, beside what chance gives.

    Args:
        fitted: Root mean square of the canonical correlations, on the rows they were fitted on.
        shuffled: The same for rows paired at random, each one number.
        p: Share of shuffles that are as strong, the observed one counted.
        largest: The first correlation, on the rows it was fitted on.
        held_out: The first correlation on rows that were not fitted on, mean of the folds; and the least and the greatest fold.
        directions: How many principal directions of each modality were looked at.
        rows: Rows used.
    """

    fitted: float
    shuffled: tuple[float, ...]
    p: float
    largest: float
    held_out: Interval
    directions: tuple[int, int]
    rows: int


def entropy_bits(question: Question) -> float:
    """Of the classes (or of the four parts of quantities), in bits."""
    share = np.bincount(question.labels()) / len(question.y)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def told_of(answers: Answers, name: str, random_state: int = 0) -> Told:
    """How much one modality says of the target."""
    from polymodal.information import KSG, Ross, mutual_information

    question = answers.question
    y, groups = question.y, question.groups
    if question.task == "classification":
        _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        given = np.clip(answers.probability[f"{name} alone"], 1e-4, 1)
        given = given / given.sum(axis=1, keepdims=True)
        gained = np.log2(given[np.arange(len(y)), codes.reshape(-1)]) - np.log2(
            counts[codes.reshape(-1)] / len(y)
        )
        told = interval_of(gained, groups, LEVEL, random_state)
    else:
        values = answers.values[f"{name} alone"]
        found = interval_of(values, groups, LEVEL, random_state)
        low, middle, high = (
            -0.5 * np.log2(1 - min(v, 1 - 1e-9)) for v in (found.low, found.value, found.high)
        )
        told = Interval(float(middle), float(low), float(high), LEVEL)
    rows = question.sample(MOST_ROWS, random_state)
    summary = answers.summary(name)[rows, None]
    labels = (
        y[rows] if question.task == "regression" else np.unique(y[rows], return_inverse=True)[1].reshape(-1)
    )
    method: Any = KSG() if question.task == "regression" else Ross()
    try:
        near = mutual_information(
            summary,
            labels,
            method,
            unit="bits",
            interval=resampling(30),
            random_state=random_state,
        )
    except ModalityError:
        return Told(name, told, Interval(float("nan"), float("nan"), float("nan"), LEVEL))
    return Told(name, told, Interval(near.value, near.low, near.high, LEVEL))


def resampling(count: int) -> Any:
    """Intervals by halves of the rows: repeated rows would spoil neighbours."""
    from polymodal.information import Subsampling

    return Subsampling(n_resamples=count, level=LEVEL)


def vectors_of(question: Question, random_state: int = 0) -> Modalities:
    """Vectors of all rows, learned without the target."""
    from polymodal.encoders.vectorize import Vectorize

    found: Modalities = Vectorize(N_COMPONENTS, random_state=random_state).fit_transform(question.data)
    return found


def decomposed(
    question: Question, vectors: Modalities, a: str, b: str, *, n_resamples: int = 60, random_state: int = 0
) -> tuple[Parts, ...]:
    """Redundant, unique and synergistic information by two estimators; those that the data do not allow are left out."""
    from polymodal.information import Clustered, Predicted, decompose

    rows = question.sample(MOST_ROWS, random_state)
    labels, groups = question.labels()[rows], question.groups[rows]
    bins = min(max(8, len(np.unique(labels)) + 2), max(3, len(rows) // 20))
    folds = min(5, int(np.bincount(labels)[np.unique(labels)].min()))
    inputs = {name: directions(vectors[name][rows], 30) for name in (a, b)}
    model = member_model("classification", random_state)
    grouped = groups if len(np.unique(groups)) < len(groups) else None
    methods: list[Any] = [
        Predicted(model, n_folds=max(2, folds), n_bins=bins, n_permutations=10, groups=grouped)
    ]
    methods += [Clustered(bins, n_permutations=10)]
    found = []
    for method in methods:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = decompose(
                    inputs,
                    labels,
                    method,
                    unit="bits",
                    interval=resampling(n_resamples),
                    random_state=random_state,
                )
        except ModalityError:
            continue

        def part(key: str, value: float, ends: Any = answer.intervals) -> Interval:
            low, high = ends[key]
            return Interval(value, low, high, LEVEL)

        found.append(
            Parts(
                type(method).__name__,
                part("redundancy", answer.redundancy),
                {name: part(name, value) for name, value in answer.unique.items()},
                part("synergy", answer.synergy),
                part("total", answer.total),
            )
        )
    return tuple(found)


def correlated(
    question: Question,
    vectors: Modalities,
    a: str,
    b: str,
    *,
    n_permutations: int = 199,
    random_state: int = 0,
) -> Correlation | None:
    """Canonical correlations of two modalities' leading directions, with their permutation null; None where rows are too few.

    Of rows that belong together one is drawn: rows paired at random must be as good as any others.
    """
    from polymodal.coordination import CCA
    from polymodal.evaluation import held_out_correlations, permutation_test

    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(question.y))
    first = order[np.unique(question.groups[order], return_index=True)[1]]
    rows = np.sort(rng.permutation(first)[:MOST_CORRELATED])
    if len(rows) < 12:
        return None
    most = max(1, min(N_DIRECTIONS, len(rows) // 6))
    x, z = (directions(vectors[name][rows], most) for name in (a, b))
    tested = permutation_test(x, z, n_permutations=n_permutations, random_state=random_state)
    count = min(x.shape[1], z.shape[1])
    held = held_out_correlations(
        CCA(1), Modalities({a: x, b: z}), n_splits=min(5, len(rows) // 4), random_state=random_state
    )
    folds = held.folds[:, 0]
    return Correlation(
        fitted=float(np.sqrt(tested.statistic[0] / count)),
        shuffled=tuple(round(float(v), 4) for v in np.sqrt(tested.null[:, 0] / count)),
        p=float(tested.p_values[0]),
        largest=float(tested.correlations[0]),
        held_out=Interval(float(folds.mean()), float(folds.min()), float(folds.max()), 1.0),
        directions=(x.shape[1], z.shape[1]),
        rows=len(rows),
    )


def directions(column: Any, most: int) -> Float[np.ndarray, "n k"]:
    """The leading principal directions of vectors, those without variance left out."""
    x = np.asarray(column.values(), dtype=float)
    if x.shape[1] <= most:
        kept = x[:, x.std(axis=0) > 1e-9 * max(1.0, float(np.abs(x).max()))]
        if kept.shape[1] and np.linalg.matrix_rank(kept - kept.mean(axis=0)) == kept.shape[1]:
            return kept
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    count = max(1, min(most, int((s > 1e-9 * max(float(s[0]), 1e-300)).sum())))
    return np.asarray(u[:, :count] * s[:count])

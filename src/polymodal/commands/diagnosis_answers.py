"""What models of each modality alone, and simple fusions of them, answer on rows they were not fitted on."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from polymodal.commands.diagnosis_understanding import Question
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float, Int, Shaped

N_COMPONENTS = 100
MOST_PAIRS_JOINED = 3
ADDS, MULTIPLIES = "sums", "products"
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Answers:
    """What models said of rows that they were not fitted on.

    Args:
        question: The rows.
        predicted: Model -> one answer a row.
        probability: Model -> (n, classes), or (n, 1) quantities.
        values: Model -> numbers whose mean is the metric: what intervals are drawn from.
        modalities: Model -> what it was given.
        seconds: Model -> processor seconds.
        first: Fold 0: fusion -> fitted model.
        rows: Rows of fold 0.
        vectors: The vectors of those rows.
    """

    question: Question
    predicted: dict[str, Shaped[np.ndarray, " n"]] = field(default_factory=dict)
    probability: dict[str, Float[np.ndarray, "n k"]] = field(default_factory=dict)
    values: dict[str, Float[np.ndarray, " n"]] = field(default_factory=dict)
    modalities: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)

    def pair_models(self, a: str, b: str) -> list[str]:
        """Models of exactly these two modalities, without those of networks."""
        return [
            name
            for name, given in self.modalities.items()
            if set(given) == {a, b} and name not in (ADDS, MULTIPLIES)
        ]

    def summary(self, name: str) -> Float[np.ndarray, " n"]:
        """One number a row: the prediction, or the log odds of the second of two classes (of more: of the commonest)."""
        given = self.probability[f"{name} alone"]
        if self.question.task == "regression":
            return np.asarray(given[:, 0])
        p = np.clip(given[:, self.event()], 1e-6, 1 - 1e-6)
        return np.asarray(np.log(p / (1 - p)))

    def event(self) -> int:
        """The class that summaries speak of."""
        counts = np.unique(self.question.y, return_counts=True)[1]
        return 1 if len(counts) == 2 else int(np.argmax(counts))


def cross_fit(question: Question, *, say: Say, steps: int = 600, random_state: int = 0) -> Answers:
    """Fit every model on all folds but one and let it answer the one left out, for each fold.

    Vectors (`Vectorize`) are learned inside each fold, too, without the target. `steps` is what a network is trained for.
    """
    answers = Answers(question)
    folds = np.unique(question.folds)
    for number, fold in enumerate(folds):
        say(f"each modality alone and fusions, fold {number + 1} of {len(folds)}")
        held = np.flatnonzero(question.folds == fold)
        train = np.flatnonzero(question.folds != fold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that stops early answers as well as it does
            _fold(answers, train, held, steps, random_state)
    for name, said in answers.predicted.items():
        answers.values[name] = row_values(question, said, answers.probability[name])
    return answers


def member_model(task: str, random_state: int) -> Any:
    """What answers from one modality: a linear model and a forest, averaged, so that neither lines nor bends are missed."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, VotingClassifier, VotingRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    settings = {"n_estimators": 30, "min_samples_leaf": 3, "random_state": random_state}
    if task == "regression":
        line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 6)))
        return VotingRegressor(
            [("line", line), ("forest", ExtraTreesRegressor(max_features=0.5, **settings))]
        )
    line = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    return VotingClassifier([("line", line), ("forest", ExtraTreesClassifier(**settings))], voting="soft")


def _fold(answers: Answers, train: np.ndarray, held: np.ndarray, steps: int, random_state: int) -> None:
    from polymodal.encoders.vectorize import Vectorize
    from polymodal.fusion.late import LateFusion

    question, names = answers.question, answers.question.names
    vectors = Vectorize(N_COMPONENTS, random_state=random_state).fit(question.data[train])
    seen, asked = vectors.transform(question.data[train]), vectors.transform(question.data[held])
    y, task, keep = (
        question.y[train],
        question.task,
        not answers.test,
    )  # the first fold is kept for what asks fitted models
    clock = time.process_time()
    late = LateFusion("mean", model=member_model(task, random_state), task=task).fit(seen, y)  # type: ignore[arg-type]
    members = {name: _said(question, late, asked.select(name)) for name in names}
    spent = time.process_time() - clock
    for name in names:
        _take(answers, f"{name} alone", (name,), members[name], held, spent / len(names))
    prior = _constant(question, y)
    _take(answers, "chance", (), np.tile(prior, (len(held), 1)), held, 0.0)
    fitted = {"late mean": late}
    if len(names) > 1:
        _late(answers, members, prior, held, spent)
        for name, model in _fusions(task, len(y), steps, random_state).items():
            clock = time.process_time()
            fitted[name] = model.fit(seen, y)
            _take(answers, name, names, _said(question, model, asked), held, time.process_time() - clock)
    if len(names) > 2 and len(names) * (len(names) - 1) // 2 <= MOST_PAIRS_JOINED:
        from polymodal.fusion.early import EarlyFusion

        for pair in combinations(names, 2):
            joined = EarlyFusion(member_model(task, random_state), task=task)  # type: ignore[arg-type]
            said = _said(question, joined.fit(seen.select(*pair), y), asked.select(*pair))
            _take(answers, f"concatenation of {pair[0]} and {pair[1]}", pair, said, held, 0.0)
    if keep:
        if task == "classification":
            fitted["late product"] = copy.copy(late).set_params(rule="product")  # the same members
        answers.first.update(fitted)
        answers.test.update(data=asked, y=question.y[held])


def _late(
    answers: Answers, members: dict[str, np.ndarray], prior: np.ndarray, held: np.ndarray, seconds: float
) -> None:
    """Members combined by mean and by product: all of them, every pair, and all but one."""
    from polymodal.fusion.rules import mean_rule, product_rule

    names = tuple(members)
    subsets: dict[str, tuple[str, ...]] = {"": names}
    if len(names) > 2:
        subsets |= {f" of {a} and {b}": (a, b) for a, b in combinations(names, 2)}
        subsets |= {f" without {name}": tuple(n for n in names if n != name) for name in names}
    for suffix, chosen in subsets.items():
        said = np.stack([members[name] for name in chosen], axis=1)
        present, ones = np.ones(said.shape[:2], dtype=bool), np.ones(said.shape[1:])
        spent = 0.0 if suffix else seconds
        _take(answers, f"late mean{suffix}", chosen, mean_rule(said, present, ones), held, spent)
        if answers.question.task == "classification":
            combined = product_rule(said, present, ones[:, 0], prior)
            _take(answers, f"late product{suffix}", chosen, combined, held, spent)


def _fusions(task: Any, n: int, steps: int, random_state: int) -> dict[str, Any]:
    from polymodal.fusion.additive import AdditiveFusion
    from polymodal.fusion.early import EarlyFusion
    from polymodal.fusion.late import LateFusion
    from polymodal.fusion.low_rank import LowRankFusion
    from polymodal.training.options import Training

    epochs = min(60, max(6, steps * 64 // n))
    training = Training(max_epochs=epochs, batch_size=64, learning_rate=3e-3, progress=False, device="cpu")
    model = member_model(task, random_state)
    network: dict[str, Any] = {
        "n_components": 16, "task": task, "training": training, "modality_dropout": 0.2, "random_state": random_state,
    }  # fmt: skip
    return {
        "concatenation": EarlyFusion(model, task=task),
        "stacking": LateFusion("stacking", model=model, cv=3, task=task, random_state=random_state),
        ADDS: AdditiveFusion(**network),
        MULTIPLIES: LowRankFusion(embedding_dim=16, **network),
    }


def _said(question: Question, model: Any, data: Modalities) -> Float[np.ndarray, "m k"]:
    """Probabilities of all classes, or quantities in one column."""
    if question.task == "regression":
        return np.asarray(model.predict(data), dtype=float).reshape(-1, 1)
    every = np.unique(question.y)
    full = np.zeros((len(data), len(every)))
    full[:, np.searchsorted(every, model.classes_)] = model.predict_proba(data)
    return full


def _constant(question: Question, y: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """What an answer says that looks at nothing: shares of classes, or the mean."""
    if question.task == "regression":
        return np.array([y.mean()])
    return np.array([(y == c).mean() for c in np.unique(question.y)])


def _take(
    answers: Answers,
    name: str,
    given: tuple[str, ...],
    said: Float[np.ndarray, "m k"],
    held: Int[np.ndarray, " m"],
    seconds: float,
) -> None:
    """Write down what a model says of the rows left out."""
    question = answers.question
    n = len(question.y)
    answers.modalities[name] = given
    answers.seconds[name] = answers.seconds.get(name, 0.0) + seconds
    answers.probability.setdefault(name, np.empty((n, said.shape[1])))[held] = said
    told = said[:, 0] if question.task == "regression" else np.unique(question.y)[said.argmax(axis=1)]
    answers.predicted.setdefault(name, np.empty(n, dtype=told.dtype))[held] = told


def metric_name(question: Question) -> str:
    """R2 for quantities, AUC for two classes, accuracy for more."""
    if question.task == "regression":
        return "R2"
    return "AUC" if len(np.unique(question.y)) == 2 else "accuracy"


def row_values(
    question: Question, predicted: Shaped[np.ndarray, " n"], probability: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    r"""Numbers v with mean(v) = metric, and v - metric the influence of a row: their bootstrap is that of the metric, to first order.

    AUC: pairs of rows of one fold are compared, since models of different folds are not on one scale.
    """
    y = question.y
    metric = metric_name(question)
    if metric == "accuracy":
        return np.asarray(predicted == y, dtype=float)
    if metric == "R2":
        squares, spread = (y - predicted) ** 2, (y - y.mean()) ** 2
        ratio = squares.mean() / spread.mean()
        return np.asarray(1 - squares / spread.mean() + ratio * (spread / spread.mean() - 1))
    second = y == np.unique(y)[1]
    placed, weight = np.full(len(y), np.nan), np.zeros(len(y))
    for fold in np.unique(question.folds):
        rows = np.flatnonzero(question.folds == fold)
        own, score = second[rows], probability[rows, 1]
        if own.all() or not own.any():
            continue
        placed[rows[own]] = _share_below(score[own], score[~own])
        placed[rows[~own]] = 1 - _share_below(score[~own], score[own])
        weight[rows] = len(rows)
    known = weight > 0
    area = float(placed[known & second].mean())
    values = np.full(len(y), area)
    for side in (second, ~second):
        chosen = known & side
        own = float(placed[chosen].mean())
        values[chosen] += (placed[chosen] - own) * len(y) / chosen.sum()
    return values


def _share_below(asked: np.ndarray, others: np.ndarray) -> Float[np.ndarray, " n"]:
    """For each of `asked` the share of `others` below it; ties count half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, asked, side="left") + np.searchsorted(ordered, asked, side="right")
    return np.asarray(below / (2 * len(ordered)))

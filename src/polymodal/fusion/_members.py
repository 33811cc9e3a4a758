"""Models that a fusion is made of: fitted one per output, or as a whole where they are this package's; predictions out of fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import clone

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Estimator
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities
from polymodal.core.target import Target
from polymodal.core.typing import Bool, Float, Int, Shaped

Models = list[Any]
"""One fitted model per output, None where the rows hold a single class; or one model of this package for all outputs."""


def is_own(model: Any) -> bool:
    """Whether a model takes `Modalities` and any target; scikit-learn's take a matrix and get one output each."""
    return isinstance(model, Estimator)


def default_model(task: str, *, spread: bool = False) -> Any:
    """Logistic regression, or ridge regression, on standardised columns; with `spread`, one that says how sure it is."""
    from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = BayesianRidge() if spread else Ridge()
    last = regression if task == "regression" else LogisticRegression(max_iter=2000)
    return make_pipeline(StandardScaler(), last)


def check_model(model: Any, owner: str, target: Target, *, probabilities: bool) -> None:
    """Refuse a model that cannot do what is asked of it; `owner` is how the message calls what it is for."""
    needed = ["fit", "predict"]
    if target.task != "regression" and probabilities:
        needed.append("predict_proba")
    lacks = [method for method in needed if not hasattr(model, method)]
    if lacks:
        raise ModalityError(
            f"The model of {owner} needs {', '.join(needed)}; {type(model).__name__} lacks {', '.join(lacks)}. Take another model"
            + (", or rule='vote', which needs predict only." if "predict" not in lacks else ".")
        )


def outputs_of(target: Target, codes: Shaped[np.ndarray, "n ..."]) -> Shaped[np.ndarray, "n o"]:
    """The targets of the single problems, one column each: one for classes, one per label or quantity."""
    return codes.reshape(len(codes), -1)


def class_priors(target: Target, codes: Shaped[np.ndarray, "n ..."]) -> Float[np.ndarray, "o k"]:
    """Share of each class in each single problem."""
    columns, k = outputs_of(target, codes), n_classes(target)
    return np.stack([np.bincount(column.astype(int), minlength=k) / len(column) for column in columns.T])


def n_classes(target: Target) -> int:
    """Classes of each single problem: a label is one of two classes."""
    return len(target.classes) if target.task == "classification" else 2


def fit_members(
    model: Any,
    values: Float[np.ndarray, "n d"] | Modalities,
    columns: Shaped[np.ndarray, "n o"],
    target: Target,
) -> Models:
    """A fitted copy of `model` for every output; a single one for all of them where `is_own(model)`."""
    if is_own(model) and target.task != "classification":
        y = columns.astype(int) if target.task == "multilabel" else columns
        return [_with_task(model, target).fit(values, y[:, 0] if target.flat else y)]
    fitted: Models = []
    for column in columns.T:
        if target.task == "regression":
            fitted.append(clone(model).fit(values, column))
        else:
            codes, fresh = column.astype(int), _with_task(model, target)
            fitted.append(fresh.fit(values, codes) if len(np.unique(codes)) > 1 else None)
    return fitted


def _with_task(model: Any, target: Target) -> Any:
    """A copy; one of ours is told the task: codes and standardised quantities no longer show it."""
    fresh = clone(model)
    known = is_own(model) and "task" in fresh.get_params(deep=False)
    return fresh.set_params(task=target.task) if known else fresh


def member_probabilities(
    models: Models,
    values: Float[np.ndarray, "n d"] | Modalities,
    priors: Float[np.ndarray, "o k"],
) -> Float[np.ndarray, "n o k"]:
    """p(class | these values). A class that the training rows never showed keeps its prior: the values say nothing of it."""
    if is_own(models[0]) and len(priors) > 1:
        model = models[0]
        ones = np.asarray((model.predict_proba if hasattr(model, "predict_proba") else model.predict)(values))
        return np.stack([1.0 - ones, ones], axis=2)
    return np.stack(
        [_probabilities(model, values, prior) for model, prior in zip(models, priors, strict=True)], axis=1
    )


def _probabilities(model: Any, values: np.ndarray | Modalities, prior: np.ndarray) -> np.ndarray:
    if model is None:
        return np.tile(prior, (len(values), 1))
    seen = np.asarray(model.classes_, dtype=int)
    if hasattr(model, "predict_proba"):
        given = np.asarray(model.predict_proba(values), dtype=float)
    else:
        given = (np.asarray(model.predict(values))[:, None] == seen).astype(float)
    return spread(given, seen, prior)


def member_decisions(
    models: Models,
    values: Float[np.ndarray, "n d"] | Modalities,
    priors: Float[np.ndarray, "o k"],
) -> Int[np.ndarray, "n o"]:
    """Position of the class that each model itself decides for, which need not be its most probable one (support vectors)."""
    if is_own(models[0]):
        return np.asarray(models[0].predict(values), dtype=int).reshape(len(values), -1)
    decided = [
        np.full(len(values), prior.argmax()) if model is None else np.asarray(model.predict(values))
        for model, prior in zip(models, priors, strict=True)
    ]
    return np.stack(decided, axis=1).astype(int)


def spread(
    given: Float[np.ndarray, "n s"], seen: Int[np.ndarray, " s"], prior: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n k"]:
    """Probabilities of the classes `seen` -> of all classes; the others keep their prior."""
    full = np.tile(prior, (len(given), 1))
    full[:, seen] = given * prior[seen].sum()
    return full


def member_quantities(
    models: Models, values: Float[np.ndarray, "n d"] | Modalities
) -> Float[np.ndarray, "n o"]:
    """Each quantity as these values predict it."""
    if is_own(models[0]):
        return np.asarray(models[0].predict(values), dtype=float).reshape(len(values), -1)
    return np.stack([np.asarray(model.predict(values), dtype=float).ravel() for model in models], axis=1)


def gives_spread(model: Any) -> bool:
    """Whether `predict(X, return_std=True)` gives a standard deviation per row, as `BayesianRidge` does."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return "return_std" in signature(last.predict).parameters


def member_spreads(models: Models, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n o"]:
    """Standard deviation that each model itself predicts for its error on each row."""
    return np.stack([np.asarray(model.predict(values, return_std=True)[1]) for model in models], axis=1)


# --- several members ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """Rows as they came, and with every modality that is not a vector turned into one."""

    raw: Modalities
    vectors: Modalities

    def __getitem__(self, rows: Any) -> Inputs:
        return Inputs(self.raw[rows], self.vectors[rows])


@dataclass(frozen=True)
class Member:
    """A model that is asked of one modality, or of several.

    Args:
        model: Unfitted.
        names: The modalities it sees; a model of scikit-learn sees one.
        whole: Whether it answers only rows that have all of them; else those that have any.
    """

    model: Any
    names: tuple[str, ...]
    whole: bool = True

    def answers(self, inputs: Inputs) -> Bool[np.ndarray, " n"]:
        """The rows that it can be asked of."""
        has = [inputs.raw[name].present for name in self.names if name in inputs.raw]
        if not has or (self.whole and len(has) < len(self.names)):
            return np.zeros(len(inputs.raw), dtype=bool)
        found: np.ndarray = (np.logical_and if self.whole else np.logical_or).reduce(has)
        return found

    def values(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray | Modalities:
        """What its `fit` and `predict` take."""
        if is_own(self.model):
            return inputs.raw.select(*(name for name in self.names if name in inputs.raw))[rows]
        return np.asarray(inputs.vectors[self.names[0]][rows].observed(), dtype=float)


def predict_members(
    members: Mapping[str, Member],
    fitted: Mapping[str, Models],
    inputs: Inputs,
    target: Target,
    priors: Float[np.ndarray, "o k"],
) -> Float[np.ndarray, "n m o k"]:
    """The answers of the members in their given order (quantities: k = 1), NaN where a row has not what a member needs."""
    k = 1 if target.task == "regression" else priors.shape[1]
    answers = np.full((len(inputs.raw), len(members), len(priors), k), np.nan)
    for place, (label, member) in enumerate(members.items()):
        has = member.answers(inputs)
        if label not in fitted or not has.any():
            continue
        values = member.values(inputs, has)
        if target.task == "regression":
            answers[has, place] = member_quantities(fitted[label], values)[:, :, None]
        else:
            answers[has, place] = member_probabilities(fitted[label], values, priors)
    return answers


def out_of_fold(
    members: Mapping[str, Member],
    inputs: Inputs,
    codes: Shaped[np.ndarray, "n ..."],
    target: Target,
    folds: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n m o k"]:
    """Every member's answer on rows that it was not fitted on; NaN where a row has not what it needs.

    Priors, too, are those of the other folds: nothing of a row's own fold enters its answer.

    Raises:
        ModalityError: a fold leaves no member two rows to learn from.
    """
    columns = outputs_of(target, codes)
    whole: np.ndarray | None = None
    for train, held in _splits(folds):
        priors = fold_priors(target, codes[train], columns.shape[1])
        known = inputs[train]
        fitted = {}
        for label, member in members.items():
            rows = member.answers(known)
            if rows.sum() >= 2:
                fitted[label] = fit_members(
                    member.model, member.values(known, rows), columns[train[rows]], target
                )
        if fitted:
            answers = predict_members(members, fitted, inputs[held], target, priors)
            whole = np.full((len(columns), *answers.shape[1:]), np.nan) if whole is None else whole
            whole[held] = answers
    if whole is None:
        raise ModalityError(
            f"Cross-validation needs two rows of some modality in each fold, got too few of {list(members)}."
        )
    return whole


def fold_priors(
    target: Target, codes: Shaped[np.ndarray, "n ..."], n_outputs: int
) -> Float[np.ndarray, "o k"]:
    """`class_priors`; for quantities an array that only holds their number."""
    return np.ones((n_outputs, 1)) if target.task == "regression" else class_priors(target, codes)


def _splits(folds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def draw_folds(
    data: Modalities,
    codes: Shaped[np.ndarray, "n ..."],
    target: Target,
    n_folds: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " n"]:
    """A fold per row: classes are dealt evenly, and rows that share a stored value (captions of one picture) stay together."""
    groups = linked_rows([column.index for _, column in data.items()])
    n_groups = int(groups.max()) + 1
    if np.bincount(groups).max() > max(1, len(data) / 2):
        raise ModalityError(
            f"Cross-validation needs rows that share nothing, but most of the {len(data)} rows of {list(data.names)} are tied "
            "together by shared values. Take rule='mean' with weights='equal', which needs no cross-validation."
        )
    order = rng.permutation(n_groups)
    if target.task == "classification":
        first = np.zeros(n_groups, dtype=int)
        first[groups[::-1]] = codes[::-1]  # the class of the group's first row
        order = order[np.argsort(first[order], kind="stable")]
    fold_of = np.empty(n_groups, dtype=int)
    fold_of[order] = np.arange(n_groups) % min(n_folds, n_groups)
    folds: np.ndarray = fold_of[groups]
    return folds

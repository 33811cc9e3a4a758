r"""Late fusion: one model per modality, then their decisions are combined."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float, Shaped
from polymodal.fusion._members import (
    Models,
    check_model,
    default_model,
    draw_folds,
    fit_members,
    fold_priors,
    out_of_fold,
    outputs_of,
    predict_members,
)
from polymodal.fusion._stacking import stack_classes, stack_quantities
from polymodal.fusion._target import Target, Task, tag_task

Rule = Literal["mean", "product", "vote", "stacking"]


def mean_rule(
    answers: Float[np.ndarray, "n m k"], present: Bool[np.ndarray, "n m"], weights: Float[np.ndarray, "m k"]
) -> Float[np.ndarray, "n k"]:
    r"""$\sum_m w_m a_m / \sum_m w_m$ over the members that are present: soft vote, or a weighted mean of quantities.

    Relations:
        * with w_m = 1 / var_m it is the best linear unbiased estimate; its variance is 1 / sum_m 1 / var_m
    """
    share = present[:, :, None] * weights
    total = share.sum(axis=1)
    share = np.where(
        (total > 0)[:, None, :], share, present[:, :, None]
    )  # only members of weight zero: equal weights
    filled = np.where(present[:, :, None], answers, 0.0)
    combined: np.ndarray = (share * filled).sum(axis=1) / share.sum(axis=1)
    return combined


def product_rule(
    answers: Float[np.ndarray, "n m k"],
    present: Bool[np.ndarray, "n m"],
    weights: Float[np.ndarray, " m"],
    prior: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "n k"]:
    r"""$p(y \mid x_1, \dots, x_M) \propto p(y) \prod_m \big(p(y \mid x_m) / p(y)\big)^{w_m}$ over the members present.

    Relations:
        * w = 1 and modalities independent given y: the exact posterior (Kittler et al. 1998, eq. 8)
    """
    floor = 1e-12
    log_prior = np.log(np.maximum(prior, floor))
    evidence = np.log(np.maximum(np.where(present[:, :, None], answers, prior), floor)) - log_prior
    logs = log_prior + (weights[:, None] * evidence).sum(axis=1)
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    posterior: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return posterior


def gaussian_product(
    answers: Float[np.ndarray, "n m k"],
    present: Bool[np.ndarray, "n m"],
    variances: Float[np.ndarray, "m k"],
    prior_mean: Float[np.ndarray, " k"],
    prior_variance: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "n k"]:
    r"""The product rule for quantities whose errors are normal: means weighted by precision, less the repeated prior.

    $$ \mu = \frac{\sum_m \mu_m / v_m - (M-1)\, \mu_0 / v_0}{\sum_m 1 / v_m - (M-1) / v_0} $$

    Relations:
        * modalities independent given y, all jointly normal: the exact posterior mean
        * v_0 -> infinity: the best linear unbiased estimate, `mean_rule` with weights 1 / v_m
    """
    precision = present[:, :, None] / np.minimum(variances, prior_variance)
    repeats = (present.sum(axis=1) - 1)[:, None] / prior_variance
    filled = np.where(present[:, :, None], answers, 0.0)
    mean: np.ndarray = ((precision * filled).sum(axis=1) - repeats * prior_mean) / (
        precision.sum(axis=1) - repeats
    )
    return mean


def vote_rule(
    answers: Float[np.ndarray, "n m k"], present: Bool[np.ndarray, "n m"], weights: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n k"]:
    """Share of the (weighted) votes each class gets; a tie goes to the class of larger mean probability, by a millionth."""
    chosen = np.where(present[:, :, None], answers, -1.0).argmax(axis=2)
    ballots = np.eye(answers.shape[2])[chosen]
    spread = np.tile(weights[:, None], (1, answers.shape[2]))
    votes = mean_rule(ballots, present, spread)
    shares: np.ndarray = (1 - 1e-6) * votes + 1e-6 * mean_rule(answers, present, spread)
    return shares


def vote_weight(accuracy: float, n_classes: int) -> float:
    r"""$\max\{0, \log \frac{(K-1)\, a}{1-a}\}$: the best weight of an independent voter of accuracy a; 0 at chance."""
    a = min(max(accuracy, 1e-6), 1 - 1e-3)  # a perfect record on few rows is not certainty
    return max(0.0, float(np.log((n_classes - 1) * a / (1 - a))))


def _gives_probabilities(model: LateFusion) -> bool:
    if getattr(model, "task_", model.task) == "regression":
        raise AttributeError("This LateFusion predicts quantities: it has predict, not predict_proba.")
    return True


class LateFusion(Fusion):
    r"""One scikit-learn model per modality, each fitted on the rows that have it; then their decisions are combined.

    A modality that a row lacks is left out and the rest is renormalised: nothing is imputed. Pictures, texts, sounds and
    sequences become vectors first (`polymodal.encoders.Vectorize`, which sees no target).

    Args:
        rule: `"mean"` averages probabilities (soft vote) or quantities. `"product"` multiplies evidence, exact where the
            modalities are independent given y. `"vote"` counts each model's decision. `"stacking"` learns a second model
            on out-of-fold answers, one for each set of modalities that a row may have.
        model: A scikit-learn classifier or regressor, or name -> one; logistic or ridge regression on standardised
            columns where none is given.
        weights: `"equal"`; `"validation"`, by cross-validated error: log-odds of being right (classes), or 1 / error variance
            (quantities: the best linear unbiased estimate); or name -> weight >= 0, such as 1 / noise variance of a channel.
            For the product they are exponents, scaled to mean 1 (classes), and must be 1 / error
            variance (quantities, for which `"equal"` means `"validation"`). Not used by `"stacking"`.
        cv: Folds of the cross-validation, >= 2. Rows that share a stored value stay in one fold.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        random_state: Seed of the folds.

    Attributes:
        models_: Name -> fitted models, one per output (a single one for classes).
        weights_: Name -> weight of each output (quantities: 1 / variance in the unit of y).
        prior_: Share of each class among the training rows, (outputs, classes).
        classes_: The classes in sorted order, or the label columns.
        task_: The task that was learned.

    Relations:
        * one modality: the model alone, whatever the rule (but for stacking, which recalibrates it)
        * rule="product" with GaussianNB equals GaussianNB on the concatenated features
        * a row that lacks a modality gets what a LateFusion without this modality gives it (equal or given weights)

    References:
        Kittler, Hatef, Duin & Matas 1998, On combining classifiers; Breiman 1996, Stacked regressions;
        Wolpert 1992, Stacked generalization.
    """

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, unpaired=True, target="required")

    def __init__(
        self,
        rule: Rule = "mean",
        *,
        model: Any = None,
        weights: Literal["equal", "validation"] | Mapping[str, float] = "equal",
        cv: int = 5,
        task: Task = "auto",
        random_state: RandomState = 0,
    ) -> None:
        self.rule = rule
        self.model = model
        self.weights = weights
        self.cv = cv
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[LateFusion]:
        return [cls(), cls("stacking", cv=3), cls("product", weights="validation", cv=3)]

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_settings(data)
        self._check_some_present(data)
        if y is None:
            raise ModalityError("LateFusion needs a target y, got none. Pass fit(data, y).")
        target = Target.of(y, self.task)
        codes = target.encode(y)
        self._take_target(target)
        names, columns = sorted(data.names), outputs_of(target, codes)
        templates = {name: self._template(name) for name in names}
        for name, template in templates.items():
            check_model(template, f"modality {name!r}", target, probabilities=self.rule != "vote")
        vectors = self._fit_vectors(data)
        self.prior_ = fold_priors(target, codes, columns.shape[1])
        self.models_: dict[str, Models] = {}
        for name in names:
            has = vectors[name].present
            values = np.asarray(vectors[name].observed(), dtype=float)
            self.models_[name] = fit_members(templates[name], values, columns[has], target)
        self._codes, self._out_of_fold = np.empty((0, columns.shape[1])), np.empty((0, 0, 0, 0))
        if self._needs_validation():
            folds = draw_folds(data, codes, target, self.cv, generator(self.random_state))
            self._validate(out_of_fold(templates, vectors, codes, target, folds), columns)
        elif isinstance(self.weights, Mapping):
            self.weights_ = {name: np.full(columns.shape[1], float(self.weights[name])) for name in names}
        else:
            self.weights_ = {name: np.ones(columns.shape[1]) for name in names}

    def _needs_validation(self) -> bool:
        gaussian = self.rule == "product" and self.task_ == "regression" and self.weights == "equal"
        return gaussian or self.rule == "stacking" or self.weights == "validation"

    def _validate(self, held: np.ndarray, columns: np.ndarray) -> None:
        """Weights from what the models said of rows they had not seen; these answers stay where stacking needs them."""
        self.weights_, given = {}, self.weights if isinstance(self.weights, Mapping) else None
        for place, name in enumerate(sorted(self.models_)):
            has = ~np.isnan(held[:, place, 0, 0])
            said, truth = held[has, place], columns[has]
            if not has.any():
                worth = np.zeros(columns.shape[1])
            elif self.task_ == "regression":
                error = ((said[:, :, 0] - truth) ** 2).mean(axis=0)
                worth = 1 / (np.maximum(error, 1e-12) * self._target.scale**2)
            else:
                right = (said.argmax(axis=2) == truth).mean(axis=0)
                worth = np.array([vote_weight(a, held.shape[3]) for a in right])
            self.weights_[name] = worth if given is None else np.full(columns.shape[1], float(given[name]))
        if self.rule == "stacking":
            self._codes, self._out_of_fold = columns, held

    def _template(self, name: str) -> Any:
        chosen = self.model.get(name) if isinstance(self.model, Mapping) else self.model
        return default_model(self.task_) if chosen is None else chosen

    def _check_settings(self, data: Modalities) -> None:
        rules = ("mean", "product", "vote", "stacking")
        if self.rule not in rules:
            raise ConfigError(
                f"rule must be one of {list(rules)}, got {self.rule!r}.{suggest(str(self.rule), rules)}"
            )
        if isinstance(self.cv, bool) or not isinstance(self.cv, int) or self.cv < 2:
            raise ConfigError(f"cv must be a whole number of at least 2, got {self.cv!r}.")
        if isinstance(self.model, Mapping):
            data.select(*self.model)
        if isinstance(self.weights, Mapping):
            if set(self.weights) != set(data.names):
                raise ModalityError(
                    f"weights must name every modality {list(data.names)}, got {list(self.weights)}."
                )
            if min(self.weights.values()) < 0 or max(self.weights.values()) <= 0:
                raise ModalityError(f"weights must be >= 0 and not all 0, got {dict(self.weights)}.")
        elif self.weights not in ("equal", "validation"):
            raise ConfigError(
                f"weights must be 'equal', 'validation' or name -> weight, got {self.weights!r}."
            )

    def _take_target(self, target: Target) -> None:
        self._target, self.task_ = target, target.task
        if target.task == "regression" and self.rule == "vote":
            raise ModalityError(
                "rule='vote' counts decisions for classes, but y holds quantities. Take rule='mean'."
            )
        if target.task != "regression":
            self.classes_ = target.classes
        elif hasattr(self, "classes_"):
            del self.classes_

    # --- values that are not vectors ----------------------------------------------------------------------------------

    def _fit_vectors(self, data: Modalities) -> Modalities:
        others = [name for name, column in data.items() if column.kind != "vector"]
        self._vectorizer: Any = None
        if not others:
            return data
        from polymodal.encoders.vectorize import Vectorize

        self._vectorizer = Vectorize(random_state=0).fit(data.select(*others))
        return self._vectors(data)

    def _vectors(self, data: Modalities) -> Modalities:
        if self._vectorizer is None:
            return data
        others = [name for name in data.names if name in self._vectorizer.modalities_]
        if not others:
            return data
        made = self._vectorizer.transform(data.select(*others))
        return data.assign({name: made[name] for name in others})

    # --- using ------------------------------------------------------------------------------------------------------

    def _combine(self, data: Modalities) -> Float[np.ndarray, "n o k"]:
        names = sorted(self.models_)
        answers = predict_members(self.models_, self._vectors(data), self._target, self.prior_, names)
        present = ~np.isnan(answers[:, :, 0, 0])
        if self.rule == "stacking":
            return self._stack(answers, present)
        return np.stack(
            [self._by_rule(answers[:, :, o], present, o) for o in range(answers.shape[2])], axis=1
        )

    def _by_rule(self, answers: np.ndarray, present: np.ndarray, output: int) -> np.ndarray:
        weights = np.array([self.weights_[name][output] for name in sorted(self.models_)])
        if self.rule == "product" and self.task_ == "regression":
            one = np.ones(1)  # answers are in units of the target's spread: prior mean 0, variance 1
            variances = 1 / np.maximum(weights * self._target.scale[output] ** 2, 1e-12)
            return gaussian_product(answers, present, variances[:, None], 0 * one, one)
        if self.rule == "product":
            exponents = weights / weights.mean() if weights.any() else np.ones_like(weights)
            return product_rule(answers, present, exponents, self.prior_[output])
        if self.rule == "vote":
            return vote_rule(answers, present, weights)
        return mean_rule(answers, present, np.tile(weights[:, None], (1, answers.shape[2])))

    def _stack(self, answers: np.ndarray, present: np.ndarray) -> np.ndarray:
        combined = np.full((len(answers), *answers.shape[2:]), np.nan)
        known = ~np.isnan(self._out_of_fold[:, :, 0, 0])
        for pattern in np.unique(present, axis=0):
            rows = (present == pattern).all(axis=1)
            taught = known[:, pattern].all(axis=1)
            for o in range(answers.shape[2]):
                seen, asked = self._out_of_fold[taught][:, pattern, o], answers[rows][:, pattern, o]
                truth = self._codes[taught, o]
                if self.task_ == "regression":
                    quantity = stack_quantities(seen[:, :, 0], truth, asked[:, :, 0])
                    found = None if quantity is None else quantity[:, None]
                else:
                    found = stack_classes(seen, truth, asked, self.prior_[o])
                if (
                    found is None
                ):  # these modalities never met in training: nothing to learn a combination from
                    equal = np.ones((len(pattern), answers.shape[3]))
                    found = mean_rule(answers[rows][:, :, o], present[rows], equal)
                combined[rows, o] = found
        return combined

    def _transform(self, data: Modalities) -> np.ndarray:
        combined = self._combine(data)
        if self.task_ == "regression":
            return np.asarray(combined[:, :, 0] * self._target.scale + self._target.mean)
        return np.asarray(combined[:, :, 1] if self.task_ == "multilabel" else combined[:, 0])

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def predict_proba(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """Probability of each class (rows sum to 1), in the order of `classes_`; or of each label."""
        probability: np.ndarray = self.transform(data)
        return probability

    def predict(self, data: Modalities | Mapping[str, Any]) -> Shaped[np.ndarray, "n ..."]:
        """The likeliest class, the labels that are likelier than not, or the quantities."""
        combined = self.transform(data)
        if self.task_ == "regression":
            return combined[:, 0] if self._target.flat else combined
        return self._target.decide(combined)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """Accuracy (classes; whole rows for labels) or R2 (quantities)."""
        if y is None:
            raise ModalityError("LateFusion needs a target y, got none. Pass score(data, y).")
        return self._target.score(y, self.predict(data))

    def __sklearn_tags__(self) -> Tags:
        return tag_task(super().__sklearn_tags__(), getattr(self, "task_", self.task))

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        return {
            "modalities_": self.modalities_,
            "models_": self.models_,
            "weights_": self.weights_,
            "prior_": self.prior_,
            "target": dataclasses.asdict(self._target),
            "codes": self._codes,
            "out_of_fold": self._out_of_fold,
            "vectorizer": self._vectorizer,
        }

    def _set_state(self, state: dict[str, Any]) -> None:
        for name in ("modalities_", "models_", "weights_", "prior_"):
            setattr(self, name, state[name])
        self._codes, self._out_of_fold = state["codes"], state["out_of_fold"]
        self._vectorizer = state["vectorizer"]
        self._take_target(Target(**state["target"]))

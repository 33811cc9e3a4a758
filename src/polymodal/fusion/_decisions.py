"""What late and hybrid fusion share: members that answer, weights of their answers, and a rule that makes one of them. Abstract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import Predictor
from polymodal.core.random import RandomState, generator
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Float
from polymodal.fusion._members import (
    Inputs,
    Member,
    Models,
    check_model,
    default_model,
    draw_folds,
    fit_members,
    fold_priors,
    gives_spread,
    is_own,
    member_spreads,
    out_of_fold,
    outputs_of,
    predict_members,
)
from polymodal.fusion._stacking import stack_classes, stack_quantities
from polymodal.fusion._vectors import as_vectors, fit_vectorizer
from polymodal.fusion.noise import learn_channels, signal_to_noise
from polymodal.fusion.rules import (
    confidence_weight,
    gaussian_product,
    mean_rule,
    precision_weight,
    product_rule,
    vote_rule,
    vote_weight,
)

Rule = Literal["mean", "product", "vote", "stacking"]
Weights = Literal["equal", "validation", "noise", "confidence"] | Mapping[str, float]


class DecisionFusion(Predictor, Fusion):
    """Base of fusions of answers. A method stores the parameters named here and writes `_choose_members`."""

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, unpaired=True, target="required")

    rule: Rule
    weights: Weights
    noise: Mapping[str, float] | None
    cv: int
    task: Task
    random_state: RandomState

    @abstractmethod
    def _choose_members(self, names: list[str]) -> dict[str, Member]:
        """Label -> member, from the sorted names of the modalities; `task_` is known."""

    def _template(self, models: Any, name: str) -> Any:
        """The model of a modality, out of one for all or of a mapping."""
        chosen = models.get(name) if isinstance(models, Mapping) else models
        return default_model(self.task_, spread=self.weights == "confidence") if chosen is None else chosen

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        y = self._required(y, "fit")
        self._check_settings()
        self._check_some_present(data)
        target = Target.of(y, self.task)
        codes = target.encode(y)
        columns = outputs_of(target, codes)
        self._take_target(target)
        self._check_task()
        self._members = self._choose_members(sorted(data.names))
        self._check_members(data)
        self._vectorizer: Any = fit_vectorizer(data.select(*self._vectorized()))
        inputs = self._inputs(data)
        self.prior_ = fold_priors(target, codes, columns.shape[1])
        self.models_: dict[str, Models] = {}
        for label, member in self._members.items():
            rows = member.answers(inputs)
            self.models_[label] = fit_members(
                member.model, member.values(inputs, rows), columns[rows], target
            )
        self._codes, self._out_of_fold = np.empty((0, columns.shape[1])), np.empty((0, 0, 0, 0))
        held: np.ndarray | None = None
        if self._needs_validation():
            folds = draw_folds(data, codes, target, self.cv, generator(self.random_state))
            held = out_of_fold(self._members, inputs, codes, target, folds)
        if self.rule == "stacking" and held is not None:
            self._codes, self._out_of_fold = columns, held
        self._learn_weights(data, columns, held)

    def _vectorized(self) -> list[str]:
        """The modalities that a model of scikit-learn gets."""
        return [member.names[0] for member in self._members.values() if not is_own(member.model)]

    def _inputs(self, data: Modalities) -> Inputs:
        return Inputs(data, as_vectors(self._vectorizer, data))

    def _needs_validation(self) -> bool:
        gaussian = self.rule == "product" and self.task_ == "regression" and self.weights == "equal"
        return gaussian or self.rule == "stacking" or self.weights == "validation"

    def _learn_weights(self, data: Modalities, columns: np.ndarray, held: np.ndarray | None) -> None:
        """`weights_`: one per member and output; their mean over the training rows where `"noise"` gives each row its own."""
        o = columns.shape[1]
        self._channels: dict[str, dict[str, np.ndarray]] = {}
        if self.weights == "noise":
            self._channels = learn_channels(data, self.noise)
            ratios = self._ratios(data)
            self.weights_ = {
                label: np.full(o, ratios[ratios[:, place] > 0, place].mean() if ratios[:, place].any() else 0)
                for place, label in enumerate(self._members)
            }
        elif isinstance(self.weights, Mapping):
            self.weights_ = {label: np.full(o, float(self.weights[label])) for label in self._members}
        elif held is not None:
            self.weights_ = {
                label: self._worth(held[:, place], columns) for place, label in enumerate(self._members)
            }
        else:
            self.weights_ = {label: np.ones(o) for label in self._members}

    def _worth(self, held: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Weight of each output, from what the member said of rows it had not seen."""
        has = ~np.isnan(held[:, 0, 0])
        if not has.any():
            return np.zeros(columns.shape[1])
        said, truth = held[has], columns[has]
        if self.task_ == "regression":
            error = ((said[:, :, 0] - truth) ** 2).mean(axis=0)
            return np.asarray(1 / (np.maximum(error, 1e-12) * self._target.scale**2))
        codes, k = truth.astype(int), held.shape[2]
        if self.rule != "vote":
            return np.array([precision_weight(said[:, o], codes[:, o]) for o in range(codes.shape[1])])
        right = (said.argmax(axis=2) == codes).mean(axis=0)
        commonest = [np.bincount(column, minlength=k).max() / len(column) for column in codes.T]
        return np.array([vote_weight(a, k, most) for a, most in zip(right, commonest, strict=True)])

    # --- settings ---------------------------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        if self.rule not in get_args(Rule):
            raise ConfigError(
                f"rule must be one of {list(get_args(Rule))}, got {self.rule!r}.{suggest(str(self.rule), get_args(Rule))}"
            )
        if isinstance(self.cv, bool) or not isinstance(self.cv, int) or self.cv < 2:
            raise ConfigError(f"cv must be a whole number of at least 2, got {self.cv!r}.")
        ways = ("equal", "validation", "noise", "confidence")
        if not isinstance(self.weights, Mapping) and self.weights not in ways:
            raise ConfigError(
                f"weights must be one of {list(ways)} or name -> weight, got {self.weights!r}.{suggest(str(self.weights), ways)}"
            )
        if self.noise is not None and self.weights != "noise":
            raise ConfigError(
                f"noise= is read by weights='noise' only, got weights={self.weights!r}. Leave one of them out."
            )
        if self.rule == "stacking" and self.weights in ("noise", "confidence"):
            raise ConfigError(
                f"rule='stacking' learns its weights, got weights={self.weights!r}. Take rule='mean'."
            )

    def _check_task(self) -> None:
        if self.task_ == "regression" and self.rule == "vote":
            raise ModalityError(
                "rule='vote' counts decisions for classes, but y holds quantities. Take rule='mean'."
            )

    def _check_members(self, data: Modalities) -> None:
        for label, member in self._members.items():
            owner = f"modality {label!r}" if member.names == (label,) else f"{label!r}"
            check_model(member.model, owner, self._target, probabilities=self.rule != "vote")
            spread = not is_own(member.model) and gives_spread(member.model)
            if self.weights == "confidence" and self.task_ == "regression" and not spread:
                raise ModalityError(
                    "weights='confidence' on quantities needs models whose predict takes return_std=True, such as BayesianRidge; "
                    f"the model of {owner}, {type(member.model).__name__}, does not. Take weights='validation'."
                )
        if isinstance(self.weights, Mapping):
            if set(self.weights) != set(self._members):
                raise ModalityError(
                    f"weights must name every modality {list(self._members)}, got {list(self.weights)}."
                )
            if min(self.weights.values()) < 0 or max(self.weights.values()) <= 0:
                raise ModalityError(f"weights must be >= 0 and not all 0, got {dict(self.weights)}.")

    # --- using ------------------------------------------------------------------------------------------------------

    def _combine(self, data: Modalities) -> Float[np.ndarray, "n o k"]:
        inputs = self._inputs(data)
        answers = predict_members(self._members, self.models_, inputs, self._target, self.prior_)
        present = ~np.isnan(answers[:, :, 0, 0])
        if self.rule == "stacking":
            return self._stack(answers, present)
        weights = self._row_weights(inputs, answers, present)
        return np.stack(
            [self._by_rule(answers[:, :, o], present, weights[:, :, o], o) for o in range(answers.shape[2])],
            axis=1,
        )

    def _row_weights(self, inputs: Inputs, answers: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Weight of each member's answer on each row, for each output (n, m, o); 0 where there is no answer."""
        if self.weights == "noise":
            weights = np.repeat(self._ratios(inputs.raw)[:, :, None], answers.shape[2], axis=2)
        elif self.weights == "confidence" and self.task_ == "regression":
            weights = np.zeros(answers.shape[:3])
            for place, (label, member) in enumerate(self._members.items()):
                has = present[:, place]
                if has.any():
                    spread = member_spreads(self.models_[label], np.asarray(member.values(inputs, has)))
                    weights[has, place] = 1 / np.maximum(spread, 1e-6) ** 2
        elif self.weights == "confidence":
            weights = confidence_weight(np.where(present[:, :, None, None], answers, 1 / answers.shape[3]))
        else:
            fixed = np.stack([self.weights_[label] for label in self._members])
            weights = np.repeat(fixed[None], len(answers), axis=0)
        return np.where(present[:, :, None], weights, 0.0)

    def _ratios(self, data: Modalities) -> Float[np.ndarray, "n m"]:
        """Signal-to-noise ratio of each member on each row: the sum over the modalities that it sees."""
        each = signal_to_noise(data, self._channels)
        none = np.zeros(len(data))
        return np.stack(
            [sum((each.get(name, none) for name in m.names), none) for m in self._members.values()], axis=1
        )

    def _by_rule(
        self, answers: np.ndarray, present: np.ndarray, weights: np.ndarray, output: int
    ) -> np.ndarray:
        if self.rule == "product" and self.task_ == "regression":
            return self._gaussian(answers, present, weights, output)
        if self.rule == "product":
            counted = np.maximum((weights > 0).sum(axis=1, keepdims=True), 1)
            scale = weights.sum(axis=1, keepdims=True) / counted
            exponents = np.where(scale > 0, weights / np.where(scale > 0, scale, 1), present.astype(float))
            return product_rule(answers, present, exponents, self.prior_[output])
        if self.rule == "vote":
            return vote_rule(answers, present, weights)
        return mean_rule(answers, present, np.repeat(weights[:, :, None], answers.shape[2], axis=2))

    def _gaussian(
        self, answers: np.ndarray, present: np.ndarray, weights: np.ndarray, output: int
    ) -> np.ndarray:
        """Answers are in units of the target's spread: prior mean 0, variance 1."""
        one = np.ones(1)
        if self.weights == "noise":
            variances = 1 / (
                1 + weights
            )  # what is left of variance 1 after a reading of this signal-to-noise ratio
        elif self.weights == "confidence":
            variances = 1 / np.maximum(weights, 1e-12)
        else:
            variances = 1 / np.maximum(weights * self._target.scale[output] ** 2, 1e-12)
        counted = present & (weights > 0)
        counted = np.where(counted.any(axis=1, keepdims=True), counted, present)
        return gaussian_product(answers, counted, variances[:, :, None], 0 * one, one)

    def _stack(self, answers: np.ndarray, present: np.ndarray) -> np.ndarray:
        combined = np.full((len(answers), *answers.shape[2:]), np.nan)
        for there in np.unique(present, axis=0):
            rows = (present == there).all(axis=1)
            pattern, taught = self._lesson(there)
            for o in range(answers.shape[2]):
                seen, asked = self._out_of_fold[taught][:, pattern, o], answers[rows][:, pattern, o]
                truth = self._codes[taught, o]
                if self.task_ == "regression":
                    quantity = stack_quantities(seen[:, :, 0], truth, asked[:, :, 0])
                    found = None if quantity is None else quantity[:, None]
                else:
                    found = stack_classes(seen, truth, asked, self.prior_[o])
                if found is None:  # these never met in training: nothing to learn a combination from
                    equal = np.ones((len(pattern), answers.shape[3]))
                    found = mean_rule(answers[rows][:, :, o], present[rows] & pattern, equal)
                combined[rows, o] = found
        return combined

    def _lesson(self, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The members whose answers are combined where those of `there` answer, and the training rows to learn it from.

        A member of several modalities that lacks some of them says less than on whole rows: only rows that lack the same can teach
        its weight, and where these are few it is left out.
        """
        known = ~np.isnan(self._out_of_fold[:, :, 0, 0])
        lacking = {label for label, has in zip(self._members, there, strict=True) if not has}
        partly = np.array([bool(lacking & set(member.names)) for member in self._members.values()])
        if (there & partly).any():
            alike = np.asarray((known == there).all(axis=1))
            if alike.sum() >= _FEW:
                return there, alike
            there = there & ~partly
        return there, np.asarray(known[:, there].all(axis=1))

    def _answers(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        combined = self._combine(data)
        if self.task_ == "regression":
            return np.asarray(combined[:, :, 0] * self._target.scale + self._target.mean)
        return np.asarray(combined[:, :, 1] if self.task_ == "multilabel" else combined[:, 0])

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._answers(data)

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        private = {name: getattr(self, f"_{name}") for name in _KEPT}
        return {**super()._get_state(), **private}

    def _set_state(self, state: dict[str, Any]) -> None:
        super()._set_state({name: value for name, value in state.items() if name not in _KEPT})
        for name in _KEPT:
            setattr(self, f"_{name}", state.get(name, {}))  # the first models had no channels
        self._members = self._choose_members(sorted(self.modalities_))


_FEW = 30
"""Fewer rows than this do not teach how much a member's answers on incomplete rows are worth."""

_KEPT = ("codes", "out_of_fold", "vectorizer", "channels")
"""What is saved beside the public attributes, without its underscore."""

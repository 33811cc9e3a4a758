r"""Late fusion: one model per modality, then their decisions are combined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.fusion._decisions import DecisionFusion, Rule, Weights
from polymodal.fusion._members import Member


class LateFusion(DecisionFusion):
    r"""One scikit-learn model per modality, each fitted on the rows that have it; then their decisions are combined.

    A modality that a row lacks is left out and the rest is renormalised: nothing is imputed. Pictures, texts, sounds and
    sequences become vectors first (`polymodal.encoders.Vectorize`, which sees no target).

    Args:
        rule: `"mean"` averages probabilities (soft vote) or quantities. `"product"` multiplies evidence, exact where the
            modalities are independent given y. `"vote"` counts each model's decision. `"stacking"` learns a second model
            on out-of-fold answers, one for each set of modalities that a row may have.
        model: A scikit-learn classifier or regressor, or an estimator of this package, which gets the modality as it is; or
            name -> one. Logistic or ridge regression on standardised columns where none is given.
        weights: `"equal"`; name -> weight >= 0; or found:
            `"validation"`, by cross-validated error: `precision_weight` (of votes `vote_weight`), or 1 / error variance (quantities);
            `"noise"`, by the signal-to-noise ratio of each row's signal, so that a recording that gets noisy counts less;
            `"confidence"`, by how sure the model is of each row: 1 / entropy (classes), or 1 / variance that it predicts
            (quantities; `BayesianRidge` where no model is given).
            For the product of classes they are exponents, scaled to mean 1 over what the row has; for the product of quantities given
            weights must be 1 / error variance, and `"equal"` means `"validation"`. Not used by `"stacking"`.
        noise: Name -> noise variance of a channel in the square of its units, where it is known. `weights="noise"` measures
            the others, which must be sequences, sounds or pictures.
        cv: Folds of the cross-validation, >= 2. Rows that share a stored value stay in one fold.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        random_state: Seed of the folds.

    Attributes:
        models_: Name -> fitted models, one per output (a single one for classes).
        weights_: Name -> weight of each output (quantities: 1 / variance in the unit of y; noise: the mean ratio).
        prior_: Share of each class among the training rows, (outputs, classes).
        classes_: The classes in sorted order, or the label columns.
        task_: The task that was learned.

    Relations:
        * one modality: the model alone, whatever the rule (but for stacking, which recalibrates it)
        * rule="product" with GaussianNB equals GaussianNB on the concatenated features
        * a row that lacks a modality gets what a LateFusion without this modality gives it (equal or given weights)
        * readings of one quantity with known noise: weights 1 / noise variance give the least variance, 1 / sum_m 1 / v_m

    References:
        Kittler, Hatef, Duin & Matas 1998, On combining classifiers; Breiman 1996, Stacked regressions;
        Wolpert 1992, Stacked generalization; Misra, Bourlard & Tyagi 2003 (entropy as weight).
    """

    def __init__(
        self,
        rule: Rule = "mean",
        *,
        model: Any = None,
        weights: Weights = "equal",
        noise: Mapping[str, float] | None = None,
        cv: int = 5,
        task: Task = "auto",
        random_state: RandomState = 0,
    ) -> None:
        self.rule = rule
        self.model = model
        self.weights = weights
        self.noise = noise
        self.cv = cv
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[LateFusion]:
        return [
            cls(),
            cls("stacking", cv=3),
            cls("product", weights="validation", cv=3),
            cls(weights="confidence"),
        ]

    def _choose_members(self, names: list[str]) -> dict[str, Member]:
        return {name: Member(self._template(self.model, name), (name,)) for name in names}

    def _check_members(self, data: Modalities) -> None:
        if isinstance(self.model, Mapping):
            data.select(*self.model)
        super()._check_members(data)

r"""Hybrid fusion: a model of all modalities at once answers beside the models of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.fusion._decisions import DecisionFusion, Rule, Weights
from polymodal.fusion._members import Member, is_own
from polymodal.fusion.early import EarlyFusion, Missing

EARLY = "early"
"""How the early model is called in `models_` and `weights_`."""


class HybridFusion(DecisionFusion):
    r"""An early model of all modalities and one model of each, whose answers are combined as in `LateFusion`.

    The early model sees what modalities mean together; those of one modality need no others, so a row that lacks something is
    answered by them. They all see the same values: their errors are not independent, and a product counts evidence twice.
    The mean, or stacking, which learns how much each adds, suits them.

    Args:
        early: An estimator that predicts from several modalities, such as `TensorFusion`; or a scikit-learn model, for
            `EarlyFusion`; which is taken where none is given.
        late: The models of each modality: as `model` of `LateFusion`.
        rule: How answers are combined: as in `LateFusion`.
        weights: As in `LateFusion`; a mapping names the modalities and `"early"`. The signal-to-noise ratio of the early model is the
            sum of those of its modalities.
        noise: As in `LateFusion`.
        early_rows: Which rows the early model learns from and answers: `"complete"`, or `"any"`, where it treats missing modalities
            in its own way (an `EarlyFusion` made here: by a model for each set of modalities, `missing="patterns"`).
        cv: Folds of the cross-validation, >= 2. Rows that share a stored value stay in one fold.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        random_state: Seed of the folds. The early model has its own.

    Attributes:
        models_: Name of a modality, or `"early"` -> fitted models: one per output, or a single one of this package for all.
        weights_: The same names -> weight of each output.
        prior_: Share of each class among the training rows, (outputs, classes).
        classes_: The classes in sorted order, or the label columns.
        task_: The task that was learned.

    Relations:
        * weight 0 for `"early"`: `LateFusion` with the other weights
        * weight 0 for all but `"early"`: the early model, on rows that it answers
        * a row that lacks a modality, early_rows="complete": what `LateFusion` with the same models gives it (equal or given weights)

    References:
        Atrey, Hossain, El Saddik & Kankanhalli 2010, Multimodal fusion for multimedia analysis, section 3 (hybrid fusion).
    """

    def __init__(
        self,
        early: Any = None,
        *,
        late: Any = None,
        rule: Rule = "mean",
        weights: Weights = "equal",
        noise: Mapping[str, float] | None = None,
        early_rows: Literal["complete", "any"] = "complete",
        cv: int = 5,
        task: Task = "auto",
        random_state: RandomState = 0,
    ) -> None:
        self.early = early
        self.late = late
        self.rule = rule
        self.weights = weights
        self.noise = noise
        self.early_rows = early_rows
        self.cv = cv
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[HybridFusion]:
        return [cls(), cls(rule="stacking", cv=3), cls(early_rows="any", weights="validation", cv=3)]

    def _choose_members(self, names: list[str]) -> dict[str, Member]:
        missing: Missing = "mean" if self.early_rows == "complete" else "patterns"
        early = self.early if is_own(self.early) else EarlyFusion(self.early, missing=missing)
        members = {name: Member(self._template(self.late, name), (name,)) for name in names}
        return {**members, EARLY: Member(early, tuple(names), whole=self.early_rows == "complete")}

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.early_rows not in get_args(Literal["complete", "any"]):
            raise ConfigError(f"early_rows must be 'complete' or 'any', got {self.early_rows!r}.")
        if EARLY in self.modalities_:
            raise ModalityError(
                f"HybridFusion calls its own model {EARLY!r}: no modality may have this name. Rename it."
            )

    def _check_members(self, data: Modalities) -> None:
        if isinstance(self.late, Mapping):
            data.select(*self.late)
        super()._check_members(data)
        if self.early_rows == "complete" and not len(data.complete()):
            raise ModalityError(
                f"HybridFusion fits its early model on rows that have all of {list(data.names)}, got none. "
                "Take early_rows='any', or LateFusion."
            )

"""What estimators that predict share: the coded target, answers in one form, scikit-learn's tags. Any family can have a head."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Estimator
from polymodal.core.modalities import Modalities
from polymodal.core.target import Target, tag_task
from polymodal.core.task import KnownTask, Task
from polymodal.core.typing import Float, Shaped


def gives_probabilities(model: Predictor) -> bool:
    """What `hasattr(model, "predict_proba")` asks; for `available_if`.

    Raises:
        AttributeError: the model predicts quantities.
    """
    if getattr(model, "task_", model.task) == "regression":
        raise AttributeError(
            f"This {type(model).__name__} predicts quantities: it has predict, and no probabilities."
        )
    return True


class Predictor(Estimator):
    """An estimator that predicts a target. A method calls `_take_target` in `_fit`, and writes `_answers`.

    Attributes:
        task_: The task that was learned.
        classes_: The classes in sorted order, or the columns of labels; not there for quantities.
    """

    task: Task = "classification"
    """The task asked for: a parameter where the method knows several."""

    task_: KnownTask
    _target: Target

    @abstractmethod
    def _answers(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        """Of rows that have some modality: the probability of each class or label; or each quantity in the units of the data."""

    def _take_target(self, target: Target) -> None:
        """Learn how answers are said."""
        self._target, self.task_ = target, target.task
        if target.task != "regression":
            self.classes_ = target.classes
        elif hasattr(self, "classes_"):
            del self.classes_

    def _required(self, y: np.ndarray | None, method: str) -> np.ndarray:
        """`y`, which `method` cannot do without."""
        if y is None:
            raise ModalityError(f"{type(self).__name__} needs a target y, got none. Pass {method}(data, y).")
        return y

    def _ready(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """Rows to predict: known modalities, and some of them on every row."""
        frame = self._check_known(data)
        self._check_some_present(frame)
        return frame

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def predict_proba(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """Probability of each class (rows sum to 1), in the order of `classes_`; or of each label.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        return self._answers(self._ready(data))

    def predict(self, data: Modalities | Mapping[str, Any]) -> Shaped[np.ndarray, "n ..."]:
        """The likeliest class, the labels that are likelier than not, or the quantities.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        answers = self._answers(self._ready(data))
        if self.task_ == "regression":
            return answers[:, 0] if self._target.flat else answers
        return self._target.decide(answers)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """Accuracy (classes; whole rows for labels) or R2 (quantities)."""
        return self._target.score(self._required(y, "score"), self.predict(data))

    def __sklearn_tags__(self) -> Tags:
        return tag_task(super().__sklearn_tags__(), getattr(self, "task_", self.task))

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        return {**super()._get_state(), "target": dataclasses.asdict(self._target)}

    def _set_state(self, state: dict[str, Any]) -> None:
        self._take_target(Target(**state["target"]))
        super()._set_state({name: value for name, value in state.items() if name != "target"})


class ScoringPredictor(Predictor):
    """A predictor whose head gives numbers that are not yet probabilities. A method writes `_outputs`."""

    @abstractmethod
    def _outputs(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        """Log-odds of each label, or of each class up to a constant per row; or each quantity in units of its spread.

        Every row has some modality.
        """

    def _answers(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        from scipy.special import expit, softmax

        outputs = self._outputs(data)
        if self.task_ == "regression":
            quantities: np.ndarray = outputs * self._target.scale + self._target.mean
            return quantities
        probability: np.ndarray = expit(outputs) if self.task_ == "multilabel" else softmax(outputs, axis=1)
        return probability

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def decision_function(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n ..."]:
        """Log-odds: of the second of two classes (n,); up to a constant per row of each of more classes, or of each label.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        outputs = self._outputs(self._ready(data))
        two = self.task_ == "classification" and outputs.shape[1] == 2
        odds: np.ndarray = outputs[:, 1] - outputs[:, 0] if two else outputs
        return odds

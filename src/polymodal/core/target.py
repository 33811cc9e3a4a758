"""What a target is: classes, numbers or labels; coded once, for every method that predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.task import KnownTask, resolve_task
from polymodal.core.typing import Float, Shaped

if TYPE_CHECKING:
    from sklearn.utils import Tags


@dataclass(frozen=True)
class Target:
    """How one target is coded: classes as positions, quantities in units of their own spread.

    Args:
        task: The task.
        classes: The classes in sorted order, or the column numbers of labels; empty for quantities.
        mean: Mean of each quantity; empty unless regression.
        scale: Standard deviation of each quantity, 1 where it is constant; empty unless regression.
        flat: Whether the target is one value per row, so that predictions are as well.
    """

    task: KnownTask
    classes: Shaped[np.ndarray, " k"]
    mean: Float[np.ndarray, " q"]
    scale: Float[np.ndarray, " q"]
    flat: bool

    @classmethod
    def of(cls, y: Shaped[np.ndarray, "n ..."], task: str = "auto") -> Target:
        """Learn the coding of `y`.

        Raises:
            ModalityError: a classification with a single class.
        """
        known = resolve_task(y, task)
        none = np.empty(0)
        if known == "regression":
            numbers = y.reshape(len(y), -1).astype(float)
            spread = numbers.std(axis=0)
            scale = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(numbers.mean(axis=0))), spread, 1.0)
            return cls(known, none, numbers.mean(axis=0), scale, y.ndim == 1)
        if known == "multilabel":
            return cls(known, np.arange(y.shape[1]), none, none, False)
        classes = np.unique(y)
        if len(classes) < 2:
            raise ModalityError(
                f"Classification needs at least two classes in y, got only {classes.tolist()}."
            )
        return cls(known, classes, none, none, True)

    @property
    def n_outputs(self) -> int:
        """How many numbers a head gives: one per class, label or quantity."""
        return len(self.mean) if self.task == "regression" else len(self.classes)

    def encode(self, y: Shaped[np.ndarray, "n ..."]) -> np.ndarray:
        """Positions of classes (n,), labels (n, k) or standardised quantities (n, q).

        Raises:
            ModalityError: a class that was not fitted.
        """
        if self.task == "classification":
            flat = y.ravel()
            unknown = sorted(set(flat.tolist()) - set(self.classes.tolist()), key=str)
            if unknown:
                raise ModalityError(f"Unknown classes {unknown[:5]}; fitted on {self.classes.tolist()[:20]}.")
            return np.searchsorted(self.classes, flat)
        numbers = y.reshape(len(y), -1).astype(float)
        return numbers if self.task == "multilabel" else (numbers - self.mean) / self.scale

    def restore(self, standardised: Float[np.ndarray, "n q"]) -> Float[np.ndarray, "n ..."]:
        """Quantities in the user's own units, (n,) if `y` was."""
        numbers: np.ndarray = standardised * self.scale + self.mean
        return numbers[:, 0] if self.flat else numbers

    def decide(self, probability: Float[np.ndarray, "n k"]) -> Shaped[np.ndarray, "n ..."]:
        """The likeliest class, or each label that is likelier than not."""
        if self.task == "multilabel":
            return (probability > 0.5).astype(np.int64)
        likeliest: np.ndarray = self.classes[probability.argmax(axis=1)]
        return likeliest

    def score(self, y: Shaped[np.ndarray, "n ..."], predicted: Shaped[np.ndarray, "n ..."]) -> float:
        """Accuracy (of whole rows, for labels), or R2 averaged over quantities."""
        from sklearn.metrics import accuracy_score, r2_score

        if self.task == "regression":
            return float(r2_score(y.reshape(len(y), -1), predicted.reshape(len(y), -1)))
        return float(accuracy_score(y if self.task == "multilabel" else y.ravel(), predicted))


def tag_task(tags: Tags, task: str) -> Tags:
    """scikit-learn's tags of an estimator with this task: a classifier gets stratified folds.

    Before `fit`, `"auto"` counts as a classifier: scikit-learn stratifies only where y holds classes anyway.
    """
    from sklearn.utils import ClassifierTags, RegressorTags

    tags.target_tags.required = True
    if task == "regression":
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
    else:
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags(multi_label=task == "multilabel")
    return tags

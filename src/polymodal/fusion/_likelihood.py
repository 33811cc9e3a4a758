"""What classifiers by likelihood share: Bayes' rule over the densities of each class. Abstract; a method gives the densities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import ScoringPredictor
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.typing import Float


class LikelihoodFusion(ScoringPredictor, Fusion):
    r"""Base of models of $p(x_1, \dots, x_M \mid y)$: the posterior is $p(y) \, p(x \mid y)$, normalised.

    Attributes:
        classes_: The classes in sorted order.
        prior_: p(y): the share of each class among the training rows.
    """

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, unpaired=True, target="required")

    prior_: np.ndarray

    @abstractmethod
    def _log_given_class(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        """Log p(the modalities that each row has | y), nats."""

    def _take_classes(self, y: np.ndarray | None) -> np.ndarray:
        """Learn the classes and their prior; gives every row's class as a position."""
        given = self._required(y, "fit")
        target = Target.of(given, "classification")
        codes = target.encode(given)
        self._take_target(target)
        self.prior_ = np.bincount(codes, minlength=len(target.classes)) / len(codes)
        return codes

    def _outputs(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        joint: np.ndarray = np.log(self.prior_) + self._log_given_class(data)
        return joint

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._outputs(data)

    def log_likelihood(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, " n"]:
        """Log p(the modalities that the row has), nats: low for a row that is like none of the training rows."""
        given = self._log_given_class(self._ready(data))
        total: np.ndarray = np.logaddexp.reduce(np.log(self.prior_) + given, axis=1)
        return total

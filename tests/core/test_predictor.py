"""One way to predict, for every estimator with a head."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import ScoringPredictor
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target


class Echo(ScoringPredictor, Fusion):
    """Its outputs are its input."""

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, missing=True, target="required")

    def __init__(self, task: str = "auto") -> None:
        self.task = task

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._take_target(Target.of(self._required(y, "fit"), self.task))

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._outputs(data)

    def _outputs(self, data: Modalities) -> np.ndarray:
        return np.asarray(data["x"].values(), dtype=float)


def frame(*rows: list[float]) -> Modalities:
    return Modalities({"x": np.array(rows, dtype=float)})


def test_two_classes() -> None:
    data = frame([0.0, np.log(3)], [2.0, 0.0])
    model = Echo().fit(data, np.array(["a", "b"]))
    assert model.classes_.tolist() == ["a", "b"]
    np.testing.assert_allclose(model.decision_function(data), [np.log(3), -2])
    np.testing.assert_allclose(model.predict_proba(data)[0], [0.25, 0.75])
    assert model.predict(data).tolist() == ["b", "a"]
    assert model.score(data, np.array(["b", "b"])) == 0.5
    assert is_classifier(model)
    assert not is_regressor(model)


def test_more_classes_are_a_softmax() -> None:
    data = frame([0.0, np.log(2), 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    model = Echo().fit(data, np.array([5, 7, 9]))
    np.testing.assert_allclose(model.predict_proba(data)[0], [0.25, 0.5, 0.25])
    assert model.decision_function(data).shape == (3, 3)


def test_labels_stand_each_for_themselves() -> None:
    data = frame([np.log(3), -np.log(3)], [0.1, 5.0])
    model = Echo("multilabel").fit(data, np.array([[1, 0], [1, 1]]))
    np.testing.assert_allclose(model.predict_proba(data)[0], [0.75, 0.25])
    assert model.predict(data).tolist() == [[1, 0], [1, 1]]


def test_quantities_come_back_in_their_own_units() -> None:
    data = frame([-1.0], [1.0])
    model = Echo().fit(data, np.array([100.0, 300.0]))
    np.testing.assert_allclose(model.predict(data), [100.0, 300.0])
    assert model.score(data, np.array([100.0, 300.0])) == 1.0
    assert is_regressor(model)
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "decision_function")


def test_a_second_fit_forgets_the_classes_of_the_first() -> None:
    data = frame([-1.0, 0.0], [1.0, 0.0])
    model = Echo().fit(data, np.array(["a", "b"]))
    model.fit(data, np.array([[0.5, 1.5], [2.5, 1.0]]))
    assert model.task_ == "regression"
    assert not hasattr(model, "classes_")


def test_state_brings_the_coding_back() -> None:
    data = frame([-1.0], [1.0])
    model = Echo().fit(data, np.array([100.0, 300.0]))
    again = Echo()
    again._set_state(model._get_state())
    np.testing.assert_array_equal(again.predict(data), model.predict(data))


def test_a_row_of_nothing_is_refused_by_its_id() -> None:
    data = frame([0.0, 1.0], [1.0, 0.0])
    model = Echo().fit(data, np.array([0, 1]))
    nothing = Modalities({"x": [np.zeros(2), None]}, ids=["here", "gone"])
    with pytest.raises(ModalityError, match="'gone'"):
        model.predict(nothing)


def test_a_score_needs_a_target() -> None:
    data = frame([0.0, 1.0], [1.0, 0.0])
    with pytest.raises(ModalityError, match=r"Pass score\(data, y\)"):
        Echo().fit(data, np.array([0, 1])).score(data)

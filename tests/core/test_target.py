"""Classes, quantities and labels are told apart, coded and decoded."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

from polymodal.core.errors import ModalityError
from polymodal.core.target import Target
from polymodal.core.task import resolve_task


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["cat", "dog"]), "classification"),
        (np.array([True, False]), "classification"),
        (np.array([0, 1, 2]), "classification"),
        (np.array([0.0, 1.0]), "regression"),
        (np.array([[0, 1], [1, 1]]), "multilabel"),
        (np.array([[0.5, 1.0], [1.0, 2.0]]), "regression"),
    ],
)
def test_auto(y: np.ndarray, task: str) -> None:
    assert resolve_task(y) == task


@pytest.mark.parametrize(
    ("y", "task", "match"),
    [
        (np.arange(100), "auto", "100 different integers"),
        (np.array([0, 1]), "clustering", "clustering"),
        (np.array([0, 1]), "multilabel", "0/1 column"),
        (np.array([[0, 2], [1, 1]]), "classification", "one class per row"),
        (np.array(["a", "b"]), "regression", "needs numbers"),
    ],
)
def test_what_does_not_fit_is_said(y: np.ndarray, task: str, match: str) -> None:
    with pytest.raises(ModalityError, match=match):
        resolve_task(y, task)


def test_integers_are_quantities_when_said_so() -> None:
    assert resolve_task(np.arange(100), "regression") == "regression"


def test_classes() -> None:
    y = np.array(["b", "a", "b"])
    target = Target.of(y)
    assert target.encode(y).tolist() == [1, 0, 1]
    assert target.decide(np.array([[0.9, 0.1], [0.2, 0.8]])).tolist() == ["a", "b"]
    assert target.score(y, np.array(["b", "b", "b"])) == accuracy_score(y, ["b", "b", "b"])
    with pytest.raises(ModalityError, match="Unknown classes"):
        target.encode(np.array(["c"]))
    with pytest.raises(ModalityError, match="at least two classes"):
        Target.of(np.array(["b", "b"]))


def test_quantities_come_back_in_their_own_units(rng: np.random.Generator) -> None:
    y = rng.normal(5.0, 3.0, size=20)
    target = Target.of(y)
    assert target.encode(y).std() == pytest.approx(1.0)
    np.testing.assert_allclose(target.restore(target.encode(y)), y)
    assert target.score(y, y * 0.9) == pytest.approx(r2_score(y, y * 0.9))
    constant = Target.of(np.full(4, 2.5))
    np.testing.assert_array_equal(constant.restore(np.zeros((4, 1))), np.full(4, 2.5))


def test_labels() -> None:
    y = np.array([[0, 1], [1, 1], [0, 0]])
    target = Target.of(y)
    assert target.n_outputs == 2
    assert target.decide(np.array([[0.4, 0.6]])).tolist() == [[0, 1]]

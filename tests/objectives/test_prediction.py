"""Losses of heads, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core.target import Target
from polymodal.objectives.prediction import prediction_loss, target_tensor


def test_classes_by_cross_entropy() -> None:
    target = Target.of(np.array(["a", "b"]))
    wanted = target_tensor(target, np.array(["b"]))
    loss = prediction_loss(torch.tensor([[0.0, np.log(3.0)]]), wanted, "classification")
    assert loss.item() == pytest.approx(-np.log(0.75))


def test_labels_by_binary_cross_entropy_of_each() -> None:
    y = np.array([[1, 0], [0, 1]])
    wanted = target_tensor(Target.of(y), y)
    assert prediction_loss(torch.zeros(2, 2), wanted, "multilabel").item() == pytest.approx(np.log(2))


def test_quantities_by_squared_error_in_units_of_their_spread() -> None:
    y = np.array([10.0, 30.0])
    wanted = target_tensor(Target.of(y), y)
    assert wanted.tolist() == [[-1.0], [1.0]]
    assert prediction_loss(torch.zeros(2, 1), wanted, "regression").item() == pytest.approx(1.0)


@pytest.mark.parametrize("y", [np.array([0, 1, 2]), np.array([[0, 1], [1, 0]]), np.array([0.5, 1.5])])
def test_gradients(y: np.ndarray) -> None:
    target = Target.of(y)
    wanted = target_tensor(target, y)
    wanted = wanted if target.task == "classification" else wanted.double()
    outputs = torch.randn(len(y), target.n_outputs, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o: prediction_loss(o, wanted, target.task), outputs)

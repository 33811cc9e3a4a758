"""Classes, quantities or labels."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.core.ragged import array_of_rows
from polymodal.core.task import resolve_task


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["a", "b"]), "classification"),
        (np.array([True, False]), "classification"),
        (np.array([0.0, 1.0]), "regression"),
        (np.array([[0, 1], [1, 1]]), "multilabel"),
        (np.array([[0.5, 1], [1, 1]]), "regression"),
    ],
)
def test_told_from_the_values(y, task):
    assert resolve_task(y) == task


def test_many_integers_need_a_word():
    with pytest.raises(ModalityError, match="classes or quantities"):
        resolve_task(np.arange(50))
    assert resolve_task(np.arange(50), "regression") == "regression"
    with pytest.raises(ModalityError, match="needs a 0/1 column per label"):
        resolve_task(np.arange(3), "multilabel")


def test_labels_of_steps_are_for_others() -> None:
    with pytest.raises(ModalityError, match="one value per row"):
        resolve_task(array_of_rows([[0, 1], [1]]))

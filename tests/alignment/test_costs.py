"""What a cell costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from polymodal.alignment._costs import frames, of_matrix, of_sequences
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError

METRICS = ["euclidean", "sqeuclidean", "cityblock", "cosine"]


def test_costs_of_cells_one_by_one(rng):
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(7, 3))
    i, j = np.indices((6, 7)).reshape(2, -1)
    for metric in METRICS:
        np.testing.assert_allclose(
            of_sequences(a, b, metric, squared=False).at(i, j), cdist(a, b, metric).ravel(), atol=1e-12
        )


def test_a_part_of_the_cells(rng):
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(7, 3))
    for whole in (of_sequences(a, b, "euclidean", squared=False), of_matrix(cdist(a, b), squared=False)):
        i, j = np.indices((3, 5)).reshape(2, -1)
        part = whole.part(slice(2, 5), slice(1, 6))
        np.testing.assert_allclose(part.at(i, j), cdist(a, b)[2:5, 1:6].ravel(), atol=1e-12)


def test_frames_of_what_people_have():
    one = Ragged.of([[1.0, 2.0, 3.0]], rate=50.0)
    values, rate = frames(one, "a")
    assert values.tolist() == [[1.0], [2.0], [3.0]]
    assert rate == 50.0
    assert frames([1, 2], "a")[0].dtype == np.float64
    assert frames(np.zeros((4, 2, 3), dtype=np.float32), "a")[0].shape == (4, 6)
    with pytest.raises(ModalityError, match="Sequence b must hold numbers"):
        frames(["x", "y"], "b")


def test_a_matrix_of_another_shape_is_refused(rng):
    with pytest.raises(ModalityError, match=r"of shape \(2, 3\), got float64 of shape \(3, 2\)"):
        of_matrix(rng.random((3, 2)), squared=False, shape=(2, 3))

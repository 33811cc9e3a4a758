"""Full matrices of costs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment._distances import all_distances, cost_matrix
from polymodal.core.errors import ModalityError


def test_distances_by_hand():
    a, b = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0]])
    assert all_distances(a, b, "euclidean", "Assignment").tolist() == [[0.0], [5.0]]
    assert all_distances(a, b, lambda x, y: x @ y.T + 1, "Assignment").tolist() == [[1.0], [1.0]]


def test_what_is_refused():
    a = np.ones((3, 2))
    with pytest.raises(ModalityError, match="Assignment compares elements.*GromovWasserstein"):
        all_distances(a, np.ones((3, 4)), "euclidean", "Assignment")
    with pytest.raises(ModalityError, match="1000000 x 1000000 elements would take"):
        all_distances(np.zeros((10**6, 1)), np.zeros((10**6, 1)), "euclidean", "Assignment")
    with pytest.raises(ModalityError, match="metric 'eukleidian'"):
        all_distances(a, a, "eukleidian", "Assignment")
    with pytest.raises(ModalityError, match="metric 'cosine' is not defined"):
        all_distances(a, 0 * a, "cosine", "Assignment")
    with pytest.raises(ModalityError, match=r"shape \(3, 3\), got .*\(2, 2\)"):
        all_distances(a, a, lambda x, y: np.ones((2, 2)), "Assignment")
    with pytest.raises(ModalityError, match="NaN in 1 of 4"):
        cost_matrix([[1.0, np.nan], [0.0, 0.0]])
    with pytest.raises(ModalityError, match="finite here, got 1 infinite"):
        cost_matrix([[1.0, np.inf], [0.0, 0.0]], finite=True)
    with pytest.raises(ModalityError, match="matrix of numbers"):
        cost_matrix([["a"]])
    assert cost_matrix([[1, 2]]).dtype == np.float64

"""Sums of what several modalities say."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.retrieval.composing import compose_parts, shares_of
from polymodal.retrieval.layout import Layout

HERE = np.array([True, True])


def layout(metric: str) -> Layout:
    return Layout.infer(2, metric, np.arange(2), {})


def test_parts_count_by_direction_under_cosine() -> None:
    parts = {"a": (np.array([[5.0, 0], [5, 0]]), HERE), "b": (np.array([[0, 0.1], [0, 0.1]]), HERE)}
    found = compose_parts(parts, {"a": 1.0, "b": 1.0}, layout("cosine"))
    np.testing.assert_allclose(found, np.full((2, 2), 0.5**0.5), rtol=1e-6)


def test_a_weighted_mean_under_other_metrics() -> None:
    parts = {
        "a": (np.array([[4.0, 0], [4, 0]]), HERE),
        "b": (np.array([[0, 8.0], [9, 9]]), ~HERE | [True, False]),
    }
    found = compose_parts(parts, {"a": 3.0, "b": 1.0}, layout("euclidean"))
    np.testing.assert_allclose(found, [[3, 2], [4, 0]])


def test_parts_that_cancel_are_refused() -> None:
    parts = {"a": (np.ones((2, 2)), HERE), "b": (2 * np.ones((2, 2)), HERE)}
    with pytest.raises(ModalityError, match="cancel"):
        compose_parts(parts, {"a": 1.0, "b": -1.0}, layout("cosine"))


def test_weights_are_one_unless_given_and_known() -> None:
    assert shares_of(["a", "b"], {"b": 2}) == {"a": 1.0, "b": 2.0}
    with pytest.raises(ModalityError, match=r"weights name \['c'\]"):
        shares_of(["a", "b"], {"c": 2})

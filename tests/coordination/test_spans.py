from __future__ import annotations

import numpy as np

from polymodal.coordination._spans import row_span, spans
from polymodal.core.modalities import Modalities


def test_rows_are_put_back_exactly(rng):
    x = rng.standard_normal((6, 20)) + 3
    coordinates, rotation, mean = row_span(x)
    assert coordinates.shape == (6, 5)
    np.testing.assert_allclose(mean + coordinates @ rotation.T, x, atol=1e-12)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(5), atol=1e-12)
    flat, _, _ = row_span(np.ones((4, 7)))
    np.testing.assert_allclose(flat, np.zeros((4, 1)), atol=1e-12)


def test_only_wide_modalities_are_rotated_and_absent_rows_stay_absent(rng):
    data = Modalities({"a": rng.standard_normal((8, 30)), "b": rng.standard_normal((8, 3))}).without("a", [2])
    found = spans(data, wide=10)
    assert list(found.rotations) == ["a"]
    assert found.data["b"] is data["b"]
    assert found.data.present["a"].tolist() == data.present["a"].tolist()
    back = found.offsets["a"] + found.data["a"].observed() @ found.rotations["a"].T
    np.testing.assert_allclose(back, data["a"].observed(), atol=1e-12)
    assert not spans(data).rotations

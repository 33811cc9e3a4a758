from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities, Ragged
from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Spec
from polymodal.fusion._row_sequences import mean_and_scale, row_sequences

SPECS = {"b": Spec("sequence", (2,)), "a": Spec("sequence", ()), "v": Spec("vector", (3,))}


def test_frames_of_all_rows_and_nan_where_a_row_lacks_a_modality() -> None:
    b = [np.array([[1, 2], [3, 4]]), np.array([[5, 6]]), None]
    a = [None, np.array([7.0]), np.array([8.0, 9.0, 10.0])]
    made = row_sequences(Modalities({"b": b, "a": a}), SPECS)
    assert list(made.frames) == ["a", "b"]
    assert made.lengths.tolist() == [2, 1, 3]
    nan = np.nan
    np.testing.assert_array_equal(made.frames["a"][:, 0], [nan, nan, 7, 8, 9, 10])
    np.testing.assert_array_equal(made.frames["b"][:, 0], [1, 3, 5, nan, nan, nan])
    some = made.some(np.array([2, 0]))
    assert some.offsets.tolist() == [0, 3, 5]
    np.testing.assert_array_equal(some.frames["a"][:, 0], [8, 9, 10, nan, nan])


def test_vectors_are_one_step_and_a_modality_of_no_values_is_nan() -> None:
    made = row_sequences(Modalities({"v": np.ones((2, 3)), "b": [None, None]}), SPECS)
    assert made.lengths.tolist() == [1, 1]
    assert made.frames["b"].shape == (2, 2)
    assert np.isnan(made.frames["b"]).all()


def test_modalities_of_one_row_must_agree_in_length() -> None:
    data = Modalities({"b": Ragged.of([np.zeros((2, 2))]), "v": np.zeros((1, 3))}, ids=["first"])
    with pytest.raises(ModalityError, match="row 'first' has 2 steps of 'b' and 1 of 'v'"):
        row_sequences(data, SPECS)


def test_mean_and_scale_of_what_is_there() -> None:
    mean, scale = mean_and_scale(np.array([[1.0, 5.0], [np.nan, np.nan], [3.0, 5.0]]))
    assert mean.tolist() == [2, 5]
    assert scale.tolist() == [1, 1]

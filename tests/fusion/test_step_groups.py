from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.core.errors import ModalityError
from polymodal.fusion import sequences_of


def test_there_and_back(rng: np.random.Generator) -> None:
    x, groups = rng.normal(size=(20, 3)), rng.integers(5, size=20)
    steps = sequences_of({"x": x, "z": x[:, :1]}, groups)
    assert steps.data.ids.tolist() == list(dict.fromkeys(groups.tolist()))
    for i, group in enumerate(steps.data.ids):
        np.testing.assert_array_equal(steps.data["x"].store[i], x[groups == group])
    labels = rng.integers(2, size=20)
    np.testing.assert_array_equal(steps.join(steps.split(labels)), labels)
    np.testing.assert_array_equal(steps.join(list(steps.data["x"].values())), x)


def test_a_group_may_lack_a_modality_as_a_whole() -> None:
    data = Modalities({"x": np.arange(4.0), "z": [None, np.ones(2), None, np.zeros(2)]})
    steps = sequences_of(data, ["a", "b", "a", "b"])
    assert steps.data["z"].index.tolist() == [-1, 0]
    assert steps.data["z"].observed()[0].tolist() == [[1, 1], [0, 0]]
    with pytest.raises(ModalityError, match="'z' is missing on some steps of group 'c'"):
        sequences_of(data, ["c", "c", "d", "d"])


def test_values_that_rows_share() -> None:
    data = Modalities.join({"x": np.array([5.0]), "t": np.arange(3.0)}, on={"x": [1], "t": [1, 1, 1]})
    assert sequences_of(data, [0, 1, 0]).data["x"].store[0].tolist() == [[5], [5]]


def test_bad_input() -> None:
    with pytest.raises(ModalityError, match="one group for each of 2 rows"):
        sequences_of({"x": np.zeros(2)}, [1])
    with pytest.raises(ModalityError, match="'words' holds text"):
        sequences_of({"words": ["a", "b"]}, [0, 0])
    steps = sequences_of({"x": np.zeros(2)}, [0, 0])
    with pytest.raises(ModalityError, match="split needs one value"):
        steps.split([1])
    with pytest.raises(ModalityError, match="join needs one value"):
        steps.join([np.zeros(3)])

"""What is added is checked and converted once."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.retrieval import Layout


def test_types_are_read_off_and_survive_json() -> None:
    metadata = {"t": ["a", None], "i": [1, 2], "f": [1, 0.5], "b": [True, False], "n": [None, None]}
    layout = Layout.infer(3, "dot", np.arange(2), metadata)
    assert layout.ids == "int"
    assert layout.metadata == {"t": "text", "i": "int", "f": "float", "b": "bool", "n": "text"}
    assert Layout.from_json(layout.to_json()) == layout
    assert layout.prepare_table([4, 4], metadata).to_pylist()[1] == {
        "id": 4, "part": 1, "t": None, "i": 2, "f": 0.5, "b": False, "n": None,
    }  # fmt: skip


def test_cosine_stores_length_one() -> None:
    np.testing.assert_allclose(Layout(2).prepare_vectors([[3, 4], [0, 0]]), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(Layout(2, "dot").prepare_vectors([[3, 4]]), [[3, 4]])


def test_pandas_and_numpy_values() -> None:
    layout = Layout(2, metadata={"x": "float"})
    assert layout.prepare_table(["a", "b"], {"x": np.array([1.5, np.nan])})["x"].to_pylist() == [1.5, None]
    assert layout.prepare_table(np.array(["a"], dtype=object), None)["x"].to_pylist() == [None]


def test_bad_input() -> None:
    layout = Layout(2, metadata={"script": "text"})
    with pytest.raises(ModalityError, match="dim 0"):
        Layout(0)
    with pytest.raises(ModalityError, match="'vector'"):
        Layout(2, metadata={"vector": "text"})
    with pytest.raises(ModalityError, match="2 numbers.*another model"):
        layout.prepare_vectors(np.eye(3))
    with pytest.raises(ModalityError, match="finite"):
        layout.prepare_vectors([[np.nan, 1]])
    with pytest.raises(ModalityError, match="texts for ids"):
        layout.prepare_ids([1, 2])
    with pytest.raises(ModalityError, match="integers for ids"):
        Layout(2, ids="int").prepare_ids(["a"])
    with pytest.raises(ModalityError, match="'skript'.*'script'"):
        layout.prepare_table(["a"], {"skript": ["greek"]})
    with pytest.raises(ModalityError, match="'script' needs one value per entry"):
        layout.prepare_table(["a"], {"script": []})
    with pytest.raises(ModalityError, match="'script' of this index is text"):
        layout.prepare_table(["a"], {"script": [3]})
    with pytest.raises(ModalityError, match="'m' needs texts, numbers or booleans"):
        Layout.infer(2, "dot", np.arange(2), {"m": ["a", 1]})

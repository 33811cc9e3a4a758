from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits as sklearn_digits

from polymodal.datasets import load_digits


def test_the_halves_are_the_picture():
    d = load_digits()
    both = np.concatenate([d.data["top"].values(), d.data["bottom"].values()], axis=1)
    np.testing.assert_allclose(both * 16, sklearn_digits().data)
    assert both.max() == 1


def test_names_are_stored_once():
    d = load_digits("grid")
    assert len(d) == 1797
    assert d.data["top"].shape == (4, 8)
    assert len(d.data["name"].store) == 10
    assert d.data["name"][0].values() == ["zero"]
    assert d["label"][:10].tolist() == list(range(10))

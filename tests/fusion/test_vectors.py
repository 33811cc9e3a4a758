from __future__ import annotations

import numpy as np

from polymodal import Modalities
from polymodal.encoders import Vectorize
from polymodal.fusion._vectors import as_vectors, fit_vectorizer


def test_vectors_stay_as_they_are_and_texts_become_vectors() -> None:
    words = ["red sun", "blue sea", "red car", "blue sky"]
    data = Modalities({"x": np.arange(4.0)[:, None], "words": words})
    fitted = fit_vectorizer(data, 2)
    made = as_vectors(fitted, data)
    assert made["x"].store is data["x"].store
    expected = Vectorize(2, random_state=0).fit({"words": words}).transform({"words": words})
    np.testing.assert_array_equal(made["words"].values(), expected["words"].values())


def test_nothing_to_do_where_all_are_vectors() -> None:
    data = Modalities({"x": np.arange(4.0)[:, None]})
    assert fit_vectorizer(data) is None
    assert as_vectors(None, data) is data

"""One value is a batch of one; a batch stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.core import Files
from polymodal.core.estimator import Spec
from polymodal.retrieval.asked import as_batch


@pytest.mark.parametrize(
    ("value", "spec", "rows"),
    [
        (np.zeros(3), Spec("vector", (3,)), 1),
        (np.zeros((5, 3)), Spec("vector", (3,)), 5),
        (np.zeros((7, 2)), Spec("sequence", (2,)), 1),
        ([np.zeros((7, 2)), np.zeros((4, 2))], Spec("sequence", (2,)), 2),
        (np.zeros((8, 8)), Spec("grid", (8, 8)), 1),
        ("a cat", Spec("text", ()), 1),
        (["a cat", "a dog"], Spec("text", ()), 2),
        (np.zeros(4), Spec("vector", (1,)), 4),
    ],
)
def test_how_many_queries(value, spec: Spec, rows: int) -> None:
    assert len(as_batch(value, spec)) == rows


def test_pictures_are_read_at_the_fitted_size() -> None:
    found = as_batch("cat.png", Spec("grid", (32, 24, 3)))
    assert isinstance(found, Files)
    assert found.reader.size == (32, 24)
    assert as_batch(Path("word.wav"), Spec("sound", ())) == [Path("word.wav")]

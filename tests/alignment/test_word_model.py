"""What word models share: the maximisation step and the table of a new pair."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from polymodal.alignment import IBM1
from polymodal.alignment._word_model import UNSEEN


def test_the_maximisation_divides_by_the_owner_and_smooths() -> None:
    model = IBM1().fit(["a b"], ["x y"])
    counts = np.array([1.0, 1.0, 3.0, 1.0, 0.0, 2.0])  # empty, a, b: x and y each
    np.testing.assert_allclose(model._table_of_counts(counts), [0.5, 0.5, 0.75, 0.25, 0, 1])
    model.smoothing = 0.1
    smooth = model._table_of_counts(counts)
    assert smooth[2] == pytest.approx(np.exp(digamma(3.1) - digamma(4.2)))
    assert smooth.reshape(3, 2).sum(axis=1).max() < 1  # variational weights add up to less than one


def test_a_new_pair_finds_what_was_learned() -> None:
    model = IBM1(3).fit(["a b", "b"], ["x y", "y"])
    t = model._lookup(["b", "new"], ["y", "z"])
    assert t.shape == (2, 3)
    assert t[0, 1] == model.translation_probability("b", "y")
    assert t[0, 0] == model.translation_probability(None, "y")
    assert t[1].tolist() == [UNSEEN] * 3
    assert t[0, 2] == UNSEEN

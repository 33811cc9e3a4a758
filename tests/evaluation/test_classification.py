"""Accuracy, R2 and ROC area: scikit-learn's values, with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from polymodal.core.errors import ModalityError
from polymodal.evaluation import accuracy, r2, roc_auc


def test_values_are_scikit_learn_s(rng: np.random.Generator) -> None:
    y, guess = rng.integers(3, size=60), rng.integers(3, size=60)
    assert accuracy(y, guess).value == pytest.approx(accuracy_score(y, guess))
    a = rng.normal(100.0, 1.0, size=60)
    b = a + 0.5 * rng.normal(size=60)
    assert r2(a, b).value == pytest.approx(r2_score(a, b))
    assert r2(a, np.full(60, a.mean())).value == pytest.approx(0, abs=1e-9)
    two, score = (y > 0).astype(int), np.round(rng.normal(size=60) + (y > 0), 1)  # rounded: with ties
    assert roc_auc(two, score).value == pytest.approx(roc_auc_score(two, score))
    assert roc_auc(two, -score).value == pytest.approx(1 - roc_auc_score(two, score))


def test_the_interval_of_an_accuracy_is_the_binomial_one(rng: np.random.Generator) -> None:
    right = np.arange(400) % 10 < 8
    found = accuracy(np.ones(400), right.astype(float), n_resamples=4000)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert found.value == 0.8
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.01)


def test_intervals_hold_the_value_and_widen_with_groups(rng: np.random.Generator) -> None:
    speakers = np.repeat(np.arange(10), 30)
    offset = rng.normal(size=10)[speakers]
    y = rng.normal(size=300)
    predicted = y + offset
    free, grouped = r2(y, predicted), r2(y, predicted, groups=speakers)
    assert free.low < free.value < free.high
    assert grouped.high - grouped.low > free.high - free.low
    area = roc_auc(y > 0, predicted)
    assert area.low < area.value < area.high


def test_refusals() -> None:
    with pytest.raises(ModalityError, match="3 rows, 2 predictions"):
        accuracy(np.ones(3), np.ones(2))
    with pytest.raises(ModalityError, match="constant"):
        r2(np.ones(3), np.ones(3))
    with pytest.raises(ModalityError, match="two classes"):
        roc_auc(np.arange(3), np.arange(3))
    with pytest.raises(ModalityError, match="level"):
        r2(np.arange(3), np.arange(3), level=2.0)
    with pytest.raises(ModalityError, match="groups"):
        r2(np.arange(3), np.arange(3), groups=[1])

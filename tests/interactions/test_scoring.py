from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

from polymodal.core.errors import ModalityError
from polymodal.interactions._scoring import (
    constant_answer,
    draw_counts,
    name_scorer,
    predictions,
    score_samples,
    summarise,
)


def test_scores_of_samples_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    counts = draw_counts(30, 5, 0.95, rng)
    quantities, classes = rng.normal(size=30), rng.integers(3, size=30)
    for y, answers, metric in (
        (quantities, quantities + rng.normal(size=(2, 30)), r2_score),
        (classes, rng.integers(3, size=(2, 30)), accuracy_score),
    ):
        rows = [np.repeat(np.arange(30), c.astype(int)) for c in counts]
        expected = [np.mean([metric(y[r], a[r]) for a in answers]) for r in rows]
        np.testing.assert_allclose(score_samples("auto", y, answers, counts), expected)
        np.testing.assert_allclose(score_samples(metric, y, answers, counts), expected)


def test_names_and_constants() -> None:
    assert [name_scorer("auto", y) for y in (np.array([1.5]), np.array([1]), np.array(["x"]))] == [
        "r2",
        "accuracy",
        "accuracy",
    ]
    assert name_scorer(r2_score, np.array([1])) == "r2_score"
    assert constant_answer("auto", np.array([1.0, 2.0])) == 1.5
    assert constant_answer("auto", np.array(["u", "v", "v"])) == "v"


def test_the_first_value_is_the_estimate() -> None:
    found = summarise(np.array([0.5, *np.linspace(0, 1, 101)]), 0.9)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.05, 0.95))


def test_predictions_need_one_answer_a_row() -> None:
    from polymodal import Modalities

    class Short:
        def predict(self, data: Modalities) -> np.ndarray:
            return np.zeros(1)

    with pytest.raises(ModalityError, match=r"Short.predict needs to give one answer a row \(3\)"):
        predictions(Short(), Modalities({"a": np.eye(3)}))

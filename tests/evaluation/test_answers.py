"""Answers of a model, and how good they are: scikit-learn's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from polymodal.core.errors import ModalityError
from polymodal.evaluation.answers import Answers, Truth, ask, measure, metric_of


class Fixed:
    """Says what it was given."""

    def __init__(self, said, probability=None):
        self.said = said
        if probability is not None:
            self.predict_proba = lambda data: probability

    def predict(self, data):
        return self.said


def score(y, said, probability=None, task="auto"):
    truth = Truth.of(y, task)
    return measure(truth, np.arange(len(y)), ask(Fixed(said, probability), np.zeros(len(y)), truth))


def test_two_classes(rng):
    y, p = np.array(["no", "yes"])[rng.integers(2, size=50)], rng.random(50).round(1)
    said = np.where(p > 0.5, "yes", "no")
    found = score(y, said, np.c_[1 - p, p])
    assert found["AUC"] == pytest.approx(sk.roc_auc_score(y == "yes", p))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, said))
    assert found["balanced accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, said))
    assert "AUC" not in score(y, said)


def test_many_classes(rng):
    y, said = rng.integers(4, size=60), rng.integers(4, size=60)
    found = score(y, said)
    assert found == {
        "accuracy": pytest.approx(sk.accuracy_score(y, said)),
        "macro F1": pytest.approx(sk.f1_score(y, said, average="macro")),
    }


def test_quantities(rng):
    y, said = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    assert score(y, said)["R2"] == pytest.approx(sk.r2_score(y, said))
    assert score(y, said)["MAE"] == pytest.approx(sk.mean_absolute_error(y, said))
    assert score(y[:, 0], said[:, 0])["R2"] == pytest.approx(sk.r2_score(y[:, 0], said[:, 0]))


def test_labels(rng):
    y, said = rng.integers(2, size=(40, 3)), rng.integers(2, size=(40, 3))
    found = score(y, said)
    assert found["macro F1"] == pytest.approx(sk.f1_score(y, said, average="macro"))
    assert found["exact rows"] == pytest.approx(sk.accuracy_score(y, said))


def test_a_class_that_does_not_exist_is_wrong():
    assert score(np.array([0, 1, 2, 2]), np.array([0, 1, 7, 2]))["accuracy"] == 0.75


def test_what_is_refused():
    with pytest.raises(ModalityError, match="target that varies"):
        Truth.of(np.array(["a", "a"]))
    truth = Truth.of(np.array([0.0, 1.0]))
    with pytest.raises(ModalityError, match="1 answers a row on 2 rows"):
        ask(Fixed(np.zeros(3)), np.zeros(2), truth)
    with pytest.raises(ModalityError, match="not finite"):
        ask(Fixed(np.array([0.0, np.nan])), np.zeros(2), truth)


def test_no_answer_at_all_where_nothing_is_defined():
    truth = Truth.of(np.array([0, 1]))
    said = Answers(np.zeros((1, 1)), np.zeros(1))
    assert measure(truth, np.array([0]), said) == {"accuracy": 1.0, "balanced accuracy": 1.0}
    none = np.empty(0, dtype=np.int64)
    assert np.isnan(metric_of("accuracy", truth, np.array([0]), said, none))

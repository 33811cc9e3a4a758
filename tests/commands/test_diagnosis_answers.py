"""Answers on rows left out, and the numbers whose mean is the metric."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from polymodal import Modalities
from polymodal.commands.diagnosis_answers import metric_name, row_values
from polymodal.commands.diagnosis_understanding import Question


def test_every_row_is_answered_by_a_model_that_did_not_see_it(planted):
    found = planted("unique")
    answers = found.answers
    assert set(answers.modalities) == {
        "a alone", "b alone", "chance", "late mean", "late product", "concatenation", "stacking", "sums", "products",
    }  # fmt: skip
    for said in answers.probability.values():
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)
    shuffled = np.random.default_rng(1).permutation(found.question.y)
    assert accuracy_score(found.question.y, answers.predicted["a alone"]) > 0.8
    assert accuracy_score(shuffled, answers.predicted["a alone"]) < 0.65


def test_one_fold_of_auc_is_that_of_scikit_learn(planted):
    found = planted("unique")
    question, said = found.question, found.answers.probability["a alone"]
    rows = question.folds == 0
    one = type(question)(
        question.data[rows],
        question.y[rows],
        question.task,
        np.arange(rows.sum()),
        np.zeros(rows.sum(), dtype=int),
    )
    values = row_values(one, found.answers.predicted["a alone"][rows], said[rows])
    assert metric_name(question) == "AUC"
    assert values.mean() == pytest.approx(roc_auc_score(one.y == "yes", said[rows, 1]))
    assert found.answers.values["chance"].mean() == pytest.approx(0.5)


def test_r2_is_a_mean_of_row_values(planted):
    found = planted("sum")
    for name in ("a alone", "concatenation"):
        said = found.answers.predicted[name]
        assert found.answers.values[name].mean() == pytest.approx(r2_score(found.question.y, said))


def test_row_values_carry_the_spread_of_r2(rng):
    """Their bootstrap is that of the metric: standard errors agree with resampled R2."""
    n = 400
    y = rng.normal(size=n)
    said = y + 0.7 * rng.normal(size=n)
    question = Question(
        Modalities({"a": said[:, None]}), y, "regression", np.arange(n), np.zeros(n, dtype=int)
    )
    values = row_values(question, said, said[:, None])
    again = [r2_score(y[rows], said[rows]) for rows in rng.integers(n, size=(300, n))]
    assert values.std() / np.sqrt(n) == pytest.approx(np.std(again), rel=0.15)


def test_summaries_follow_the_second_class(planted):
    found = planted("unique")
    summary = found.answers.summary("a")
    assert summary[found.question.y == "yes"].mean() > 0.5 > -0.5 > summary[found.question.y == "no"].mean()

"""What moves with the wording."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.retrieval import WordingReport

CLASSES, TEMPLATES = ("cat", "dog", "bird"), ("a {}", "the {}", "my {}")
ANSWERS = np.array([[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 2]])


def test_by_hand() -> None:
    report = WordingReport.of(CLASSES, TEMPLATES, ANSWERS, np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    assert report.changed == 0.25
    np.testing.assert_allclose(report.accuracies, [0.75, 0.5, 0.5])
    assert report.ensemble_accuracy == 0.75
    np.testing.assert_allclose(report.agreement, np.full((3, 3), 0.75) + 0.25 * np.eye(3))
    np.testing.assert_allclose(report.stability, [1.0, 0.5, np.nan])
    assert (report.steadiest, report.shakiest) == ("cat", "dog")
    assert "25% of 4 rows change their answer with the wording of 3 templates" in report.sentence
    assert "50.0% with 'the {}' and 75.0% with 'a {}'; all together give 75.0%" in report.sentence
    assert str(report).splitlines()[1].split() == ["a", "{}", "0.750", "1.000"]


def test_relations_answers_that_never_differ() -> None:
    report = WordingReport.of(CLASSES, TEMPLATES, np.repeat(ANSWERS[:1], 3, 0), ANSWERS[0], None)
    assert report.changed == 0
    assert (report.agreement == 1).all()
    np.testing.assert_allclose(report.stability[:2], 1)
    assert np.isnan(report.ensemble_accuracy)
    assert "Accuracy" not in report.sentence


@pytest.mark.parametrize("known", [True, False])
def test_picture(known) -> None:
    import matplotlib.pyplot as plt

    truth = ANSWERS[0] if known else None
    axes = WordingReport.of(CLASSES, TEMPLATES, ANSWERS, ANSWERS[0], truth).plot()
    assert len(axes.patches) == 3
    assert axes.get_xlabel().startswith("accuracy" if known else "share")
    plt.close("all")

"""Bayes' rule over given densities: a method of two lines shows what the base does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from polymodal import Modalities
from polymodal.core.errors import ModalityError
from polymodal.fusion._likelihood import LikelihoodFusion

MEANS = np.array([-1.0, 2.0])


class Known(LikelihoodFusion):
    """Two classes of known normal densities."""

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._take_classes(y)

    def _log_given_class(self, data: Modalities) -> np.ndarray:
        total = np.zeros((len(data), 2))
        for _, column in data.items():
            total[column.present] += norm.logpdf(column.observed(), MEANS, 1.0)
        return total


@pytest.fixture
def fitted() -> Known:
    return Known().fit({"a": np.zeros(4), "b": np.zeros(4)}, np.array(["no", "no", "no", "yes"]))


def test_posterior_is_bayes_rule(fitted: Known) -> None:
    data = Modalities({"a": np.array([0.3, 1.0]), "b": [np.array([-0.2]), None]})
    likelihood = np.array(
        [
            norm.pdf(0.3, MEANS) * norm.pdf(-0.2, MEANS),
            norm.pdf(1.0, MEANS),
        ]
    ) * [0.75, 0.25]
    np.testing.assert_allclose(
        fitted.predict_proba(data), likelihood / likelihood.sum(1, keepdims=True), atol=1e-12
    )
    np.testing.assert_allclose(fitted.log_likelihood(data), np.log(likelihood.sum(1)), atol=1e-12)
    np.testing.assert_allclose(fitted.transform(data), np.log(likelihood), atol=1e-12)
    odds = np.log(likelihood[:, 1] / likelihood[:, 0])
    np.testing.assert_allclose(fitted.decision_function(data), odds, atol=1e-12)
    assert fitted.predict(data).tolist() == np.array(["no", "yes"])[(odds > 0).astype(int)].tolist()


def test_a_row_of_nothing_is_refused(fitted: Known) -> None:
    data = Modalities({"a": [np.zeros(1), None], "b": [np.zeros(1), None]})
    with pytest.raises(ModalityError, match="at least one of"):
        fitted.log_likelihood(data)


def test_one_class_is_refused() -> None:
    with pytest.raises(ModalityError, match="at least two classes"):
        Known().fit({"a": np.zeros(3)}, np.zeros(3, dtype=int))

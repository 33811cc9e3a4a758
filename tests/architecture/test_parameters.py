"""Parameters are attributes, so none may bear the name of what an estimator does."""

from __future__ import annotations

import inspect

import pytest

from polymodal.core.estimator import Estimator
from polymodal.testing import public_estimators

DEEDS = {
    "fit",
    "transform",
    "fit_transform",
    "score",
    "predict",
    "predict_proba",
    "decision_function",
    "generate",
    "sample",
}


@pytest.mark.parametrize("cls", public_estimators(), ids=lambda cls: cls.__name__)
def test_no_parameter_hides_a_deed(cls: type[Estimator]) -> None:
    assert not DEEDS & set(inspect.signature(cls).parameters)

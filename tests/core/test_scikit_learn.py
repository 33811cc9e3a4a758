"""scikit-learn's simple models as plain data and back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from polymodal.core.errors import ModelFormatError
from polymodal.core.scikit_learn import KEPT, from_plain, to_plain

PREDICTORS = [LogisticRegression(C=0.3), LinearRegression(), Ridge(), RidgeCV(), BayesianRidge()]
PREDICTORS += [GaussianNB(), LinearDiscriminantAnalysis(), QuadraticDiscriminantAnalysis()]
TRANSFORMERS = [StandardScaler(), MinMaxScaler(), PCA(2)]


def test_every_kept_class_is_tested() -> None:
    assert {type(model).__name__ for model in PREDICTORS + TRANSFORMERS} == set(KEPT)


@pytest.mark.parametrize("model", PREDICTORS + TRANSFORMERS, ids=lambda m: type(m).__name__)
def test_there_and_back(model, rng: np.random.Generator) -> None:
    x = rng.normal(size=(40, 3))
    y = (x[:, 0] > 0).astype(int)
    model.fit(x, y)
    again = from_plain(*to_plain(model, "model"))
    method = "predict" if model in PREDICTORS else "transform"
    np.testing.assert_array_equal(getattr(again, method)(x), getattr(model, method)(x))
    if isinstance(model, BayesianRidge):
        np.testing.assert_array_equal(
            again.predict(x, return_std=True)[1], model.predict(x, return_std=True)[1]
        )
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_others_are_refused_by_place() -> None:
    with pytest.raises(ModelFormatError, match=r"models_\.sound.*RandomForestClassifier"):
        to_plain(RandomForestClassifier(), "models_.sound")
    with pytest.raises(ModelFormatError, match="RandomForestClassifier"):
        from_plain("RandomForestClassifier", {}, {})

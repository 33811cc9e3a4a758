"""scikit-learn's estimators as plain data: a class of a closed list, its parameters, and its learned arrays. No pickle."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from polymodal.core.errors import ModelFormatError

KEPT = {
    "LogisticRegression": "sklearn.linear_model",
    "LinearRegression": "sklearn.linear_model",
    "Ridge": "sklearn.linear_model",
    "RidgeCV": "sklearn.linear_model",
    "BayesianRidge": "sklearn.linear_model",
    "LinearDiscriminantAnalysis": "sklearn.discriminant_analysis",
    "QuadraticDiscriminantAnalysis": "sklearn.discriminant_analysis",
    "GaussianNB": "sklearn.naive_bayes",
    "StandardScaler": "sklearn.preprocessing",
    "MinMaxScaler": "sklearn.preprocessing",
    "PCA": "sklearn.decomposition",
}
"""Classes whose public learned attributes are all that they predict with."""


def is_scikit_learn(value: Any) -> bool:
    """Whether the object's class is scikit-learn's own."""
    return type(value).__module__.split(".")[0] == "sklearn"


def to_plain(model: Any, place: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Class name, parameters and learned attributes.

    Raises:
        ModelFormatError: a class outside `KEPT`; names `place`.
    """
    name = type(model).__name__
    if not is_scikit_learn(model) or name not in KEPT:
        raise ModelFormatError(
            f"{place} is a {type(model).__module__}.{name}, which cannot be saved without pickle. Of scikit-learn's models "
            f"{', '.join(sorted(KEPT))} and pipelines of them can."
        )
    learned = {k: v for k, v in vars(model).items() if k.endswith("_") and not k.startswith("_")}
    return name, model.get_params(deep=False), learned


def from_plain(name: str, params: Mapping[str, Any], learned: Mapping[str, Any]) -> Any:
    """The model that `to_plain` took apart.

    Raises:
        ModelFormatError: a class outside `KEPT`.
    """
    if name not in KEPT:
        raise ModelFormatError(
            f"The model names the scikit-learn class {name!r}, which is not one that is kept."
        )
    model = getattr(importlib.import_module(KEPT[name]), name)(**params)
    for key, value in learned.items():
        setattr(model, key, value)
    return model

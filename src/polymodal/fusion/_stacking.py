"""Stacking: a second model on what the first ones said of rows they had not seen; one for each set of modalities."""

from __future__ import annotations

import numpy as np

from polymodal.core.typing import Float, Shaped
from polymodal.fusion._members import spread


def centred_logs(probability: Float[np.ndarray, "*batch k"]) -> Float[np.ndarray, "*batch k"]:
    """Log p minus its mean over classes: symmetric in the classes, zero for an even answer."""
    logs = np.log(np.maximum(probability, 1e-9))
    centred: np.ndarray = logs - logs.mean(axis=-1, keepdims=True)
    return centred


def stack_classes(
    seen: Float[np.ndarray, "n m k"],
    codes: Shaped[np.ndarray, " n"],
    asked: Float[np.ndarray, "q m k"],
    prior: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "q k"] | None:
    """Logistic regression on the members' log-probabilities.

    Args:
        seen: Out-of-fold answers on training rows that have all m modalities.
        codes: Their classes.
        asked: Answers on the rows in question.
        prior: For classes that those training rows do not hold.

    Returns:
        Probabilities, or None where those training rows hold fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(codes)) < 2:
        return None
    model = LogisticRegression(max_iter=2000).fit(centred_logs(seen).reshape(len(seen), -1), codes)
    given = model.predict_proba(centred_logs(asked).reshape(len(asked), -1))
    return spread(given, np.asarray(model.classes_, dtype=int), prior)


def stack_quantities(
    seen: Float[np.ndarray, "n m"], y: Float[np.ndarray, " n"], asked: Float[np.ndarray, "q m"]
) -> Float[np.ndarray, " q"] | None:
    r"""Least squares with weights that are not negative (Breiman 1996): $\min_{w \ge 0} \| (y - \bar y) - (P - \bar P) w \|^2$.

    Returns:
        Predictions, or None where fewer than three training rows have all m modalities.
    """
    from scipy.optimize import nnls

    if len(y) < 3:
        return None
    mean = seen.mean(axis=0)
    weights = nnls(seen - mean, y - y.mean())[0]
    predicted: np.ndarray = y.mean() + (asked - mean) @ weights
    return predicted

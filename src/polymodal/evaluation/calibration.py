"""Whether a probability means what it says: the expected calibration error, and the temperature that lowers it."""

from __future__ import annotations

import math

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Float, Int

COLDEST, HOTTEST = 1e-3, 1e2


def calibration_error(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " m"], *, bins: int = 15
) -> float:
    r"""Expected calibration error $\sum_b \tfrac{n_b}{n} |\text{accuracy}_b - \text{confidence}_b|$ over bins of equal width, in [0, 1].

    Args:
        confidence: The probability given to each answer, in [0, 1].
        right: Whether the answer was right.
        bins: Number of bins.

    Raises:
        ModalityError: no rows, other lengths, or a confidence outside [0, 1].

    Relations:
        * confidence 1 on every row: 1 - accuracy.
        * one bin: |accuracy - mean confidence|, which no number of bins goes below.

    References: Naeini et al. 2015; Guo et al. 2017, eq. 3.
    """
    if not len(confidence) or len(confidence) != len(right):
        raise ModalityError(
            f"calibration_error needs one confidence and one answer per row, got {len(confidence)} and {len(right)}."
        )
    if not (confidence.min() >= 0 and confidence.max() <= 1 + 1e-9):
        raise ModalityError(
            f"A confidence lies in [0, 1], got {confidence.min():g}..{confidence.max():g}. Pass probabilities."
        )
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=right.astype(float) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def log_loss(
    logits: Float[np.ndarray, "n c"], y: Int[np.ndarray, " n"], *, temperature: float = 1.0
) -> float:
    r"""Mean of $-\log \mathrm{softmax}(z/\tau)_y$ in nats.

    Relations:
        * equal logits: log c.
    """
    z = logits / temperature
    z = z - z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())


def best_temperature(logits: Float[np.ndarray, "n c"], y: Int[np.ndarray, " m"]) -> float:
    r"""The temperature $\tau$ of least log loss of $\mathrm{softmax}(z/\tau)$, between 0.001 and 100; answers do not change.

    Args:
        logits: One score per row and class.
        y: The right class of each row, as a number from 0.

    Raises:
        ModalityError: no rows, or a class that has no column.

    Relations:
        * logits times a: temperature times a.

    Complexity:
        O(n c) a step, about 30 steps: the loss is convex in 1 / tau.

    References: Guo et al. 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    if not len(y) or len(y) != len(logits) or y.min() < 0 or y.max() >= logits.shape[1]:
        raise ModalityError(
            f"best_temperature needs the number of a class for each of {len(logits)} rows, below {logits.shape[1]}; got {len(y)} of them."
        )
    bounds = (math.log(COLDEST), math.log(HOTTEST))
    found = minimize_scalar(
        lambda log: log_loss(logits, y, temperature=math.exp(log)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-7},
    )
    return math.exp(float(found.x))

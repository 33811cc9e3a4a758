"""What the regression of an interaction refuses: columns that say the same, classes that are separated, rows without a number."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float


def as_numbers(name: str, values: np.ndarray) -> Float[np.ndarray, " n"]:
    """Finite numbers that vary."""
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ModalityError(
            f"interaction_regression needs a number on every row of {name!r}, got {int((~np.isfinite(x)).sum())} without. "
            "Leave those rows out of a, b and y."
        )
    if len(x) and np.ptp(x) == 0:
        raise ModalityError(
            f"{name!r} is constant ({x[0]:g} on every row): its effect cannot be told. Leave it out."
        )
    return x


def as_response(
    name: str, y: np.ndarray, family: Literal["linear", "logistic"]
) -> tuple[Float[np.ndarray, " n"], Any]:
    """Quantities, or 0 and 1 for two classes; and the class that 1 stands for."""
    values = np.asarray(y)
    if family == "linear":
        if values.dtype.kind not in "biuf":
            raise ModalityError(
                f"{name!r} needs numbers for family='linear', got {values.dtype}. Classes: family='logistic'."
            )
        return as_numbers(name, values), None
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) != 2:
        raise ModalityError(
            f"{name!r} needs two classes for family='logistic', got {len(classes)}: {classes[:5].tolist()}. "
            "Compare one class with the rest, or take family='linear' for quantities."
        )
    return codes.astype(np.float64), classes[1].item()


def check_rank(design: np.ndarray, names: tuple[str, str, str]) -> None:
    """No column but the first is a linear function of the others, and there are more rows than columns."""
    centred = design[:, 1:] - design[:, 1:].mean(axis=0)
    scaled = centred / np.linalg.norm(centred, axis=0).clip(min=np.finfo(float).tiny)
    if np.linalg.matrix_rank(scaled, tol=1e-8) < scaled.shape[1]:
        a, b, _ = names
        what = "say the same" if scaled.shape[1] == 2 else "and their product say the same"
        raise ModalityError(
            f"{a!r} and {b!r} {what} (one is a linear function of the rest on these rows), so that their effects cannot be told "
            "apart. Leave one out, or collect rows on which they differ."
        )
    if len(design) <= design.shape[1]:
        raise ModalityError(
            f"{design.shape[1]} coefficients need more than {design.shape[1]} rows, got {len(design)}."
        )


def is_separated(design: np.ndarray, y: np.ndarray) -> bool:
    """Whether some direction puts no row on the wrong side and some row on the right one (Konis' linear programme)."""
    from scipy.optimize import linprog

    scale = np.abs(design).max(axis=0)
    signed = np.where(y[:, None] > 0, 1.0, -1.0) * design / scale
    total = signed.sum(axis=0)
    found = linprog(-total, A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    return bool(found.status == 0 and -found.fun > 1e-7)

"""Small data on which an estimator must work: correlated vectors of a few modalities, and a target."""

from __future__ import annotations

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.requirements import Requirements

_SIZES = {"beta": 5, "alpha": 4, "gamma": 3}  # not in alphabetical order: order must not matter


def example_data(
    requires: Requirements, *, rows: int = 40, seed: int = 0
) -> tuple[Modalities, np.ndarray | None]:
    """`rows` rows of vectors that share two latent factors, in as many modalities as the method takes; y if it needs one.

    Args:
        requires: What the estimator declares.
        rows: Number of rows.
        seed: Which draw.

    Raises:
        ModalityError: the estimator does not work on vectors; give `check_estimator` data of your own.
    """
    if "vector" not in requires.kinds:
        raise ModalityError(
            f"example_data gives vectors, the estimator works on {sorted(requires.kinds)}. Pass data=."
        )
    rng = np.random.default_rng(seed)
    most = requires.max_modalities or 3
    names = list(_SIZES)[: max(requires.min_modalities, min(3, most))]
    factors = rng.normal(size=(rows, 2))
    columns = {
        name: factors @ rng.normal(size=(2, _SIZES[name])) + 0.5 * rng.normal(size=(rows, _SIZES[name]))
        for name in names
    }
    y = (factors[:, 0] > 0).astype(int) if requires.target == "required" else None
    return Modalities(columns), y

"""Small data on which an estimator must work: correlated vectors or pictures of a few modalities, and a target."""

from __future__ import annotations

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.requirements import Requirements

_SIZES = {"beta": 5, "alpha": 4, "gamma": 3}  # not in alphabetical order: order must not matter
_PICTURE = (5, 6)


def example_data(
    requires: Requirements, *, rows: int = 40, seed: int = 0
) -> tuple[Modalities, np.ndarray | None]:
    """`rows` rows of vectors that share two latent factors, in as many modalities as the method takes; y if it needs one.

    A method that takes no vectors gets pictures.

    Args:
        requires: What the estimator declares.
        rows: Number of rows.
        seed: Which draw.

    Raises:
        ModalityError: the estimator takes neither; give `check_estimator` data of your own.
    """
    if not requires.kinds & {"vector", "grid"}:
        raise ModalityError(
            f"example_data gives vectors or pictures, the estimator works on {sorted(requires.kinds)}. Pass data=."
        )
    rng = np.random.default_rng(seed)
    most = requires.max_modalities or 3
    names = list(_SIZES)[: max(requires.min_modalities, min(3, most))]
    factors = rng.normal(size=(rows, 2))
    shapes = {name: (_SIZES[name],) if "vector" in requires.kinds else _PICTURE for name in names}
    columns = {
        name: np.tensordot(factors, rng.normal(size=(2, *shape)), 1) + 0.5 * rng.normal(size=(rows, *shape))
        for name, shape in shapes.items()
    }
    y = (factors[:, 0] > 0).astype(int) if requires.target == "required" else None
    return Modalities(columns), y

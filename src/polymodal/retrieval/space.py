"""The space that a model embeds into: which modalities it has."""

from __future__ import annotations

from typing import Any

from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.core.estimator import Spec, fitted_modalities, last_step


def space_modalities(model: Any, *, asker: str) -> dict[str, Spec]:
    """What a fitted coordination (or a pipeline that ends in one) knows of its modalities.

    Args:
        model: The model.
        asker: Who needs it: a class name for the sentence.

    Raises:
        ModalityError: the model is a fusion or a fission.
        NotFittedError: it has learned nothing yet.
    """
    method = last_step(model)
    family = getattr(method, "family", "coordination")
    if family != "coordination":
        raise ModalityError(
            f"A {asker} needs a coordination, whose transform gives vectors of each modality in one space; {type(method).__name__} "
            f"is a {family}. Take load_clip, or one of polymodal.coordination (CCA, CLIP)."
        )
    known = fitted_modalities(model)
    if not known:
        raise NotFittedError(f"This {type(model).__name__} is not fitted yet. Call fit(data) first.")
    return known

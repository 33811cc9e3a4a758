"""A noisy copy of one modality, whatever its kind."""

from __future__ import annotations

import numpy as np

from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts


def add_noise(column: Modality, amount: float, rng: np.random.Generator) -> Modality:
    """Gaussian noise of `amount` standard deviations on numbers; words dropped with probability `amount` from texts.

    Vectors and sequences: the standard deviation is that of each feature. Grids and sounds: one for all values, and what
    comes out is cut to the range of what went in (8-bit pictures to 0..255), in its type.
    """
    index = np.arange(len(column))
    values = column.values()
    if column.kind == "text":
        return Modality(Texts([_drop_words(text, amount, rng) for text in values]), index)
    if isinstance(values, Ragged):
        steps = _blur(values.values, amount, rng, per_feature=column.kind == "sequence")
        return Modality(Ragged(steps, values.offsets, values.rate), index)
    return Modality(_blur(np.asarray(values), amount, rng, per_feature=column.kind == "vector"), index)


def _blur(values: np.ndarray, amount: float, rng: np.random.Generator, *, per_feature: bool) -> np.ndarray:
    x = values.astype(np.float64)
    spread = x.std(axis=0) if per_feature else x.std()
    noisy = x + amount * spread * rng.normal(size=x.shape)
    if per_feature:
        return np.asarray(noisy.astype(values.dtype if values.dtype.kind == "f" else np.float64))
    low, high = (0, 255) if values.dtype == np.uint8 else (x.min(), x.max())
    cut = np.clip(noisy, low, high)
    return np.asarray((cut if values.dtype.kind == "f" else np.rint(cut)).astype(values.dtype))


def _drop_words(text: str, probability: float, rng: np.random.Generator) -> str:
    words = text.split()
    if len(words) < 2:
        return text
    kept = rng.random(len(words)) >= min(probability, 1.0)
    kept[rng.integers(len(words))] |= not kept.any()
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)

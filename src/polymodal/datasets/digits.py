"""`load_digits`: scikit-learn's handwritten digits, cut in two halves and named."""

from __future__ import annotations

from typing import Literal

import numpy as np

from polymodal.core.modalities import Modalities, Modality
from polymodal.core.texts import Texts
from polymodal.datasets.dataset import Dataset

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def load_digits(halves: Literal["vector", "grid"] = "vector") -> Dataset:
    """1797 handwritten digits as `top` and `bottom` half and `name`: two halves that only the digit itself connects.

    Args:
        halves: Each half as 32 numbers, or as a picture of 4 x 8 pixels; ink from 0 to 1 either way.

    Returns:
        Metadata: label (0 to 9). The ten names are stored once each.

    Relations:
        * the two halves one above the other are scikit-learn's own picture.
    """
    from sklearn.datasets import load_digits as load

    bunch = load()
    pictures = (bunch.images / 16).astype(np.float32)
    shape = (len(pictures), 32) if halves == "vector" else (len(pictures), 4, 8)
    label = bunch.target.astype(np.int64)
    data = Modalities(
        {
            "top": pictures[:, :4].reshape(shape),
            "bottom": pictures[:, 4:].reshape(shape),
            "name": Modality(Texts(NAMES), label),
        }
    )
    return Dataset(
        data,
        {"label": label},
        name="digits",
        description="Handwritten digits of 8 x 8 pixels, upper and lower half, and the digit's English name.",
        licence="CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits, test set)",
    )

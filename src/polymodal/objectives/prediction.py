"""Losses of a head that predicts classes, labels or quantities."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polymodal.core.target import Target
from polymodal.core.task import KnownTask
from polymodal.core.typing import Float, Shaped


def prediction_loss(
    outputs: Float[Tensor, "n q"], wanted: Shaped[Tensor, "n ..."], task: KnownTask
) -> Float[Tensor, ""]:
    """The mean loss of a head's outputs: cross entropy of classes, binary cross entropy of labels, squared error of quantities.

    Args:
        outputs: One number per class or label (logits), or per quantity.
        wanted: Positions of classes (n,), labels (n, q) of 0 and 1, or quantities (n, q): what `target_tensor` gives.
        task: The task.
    """
    if task == "classification":
        return functional.cross_entropy(outputs, wanted)
    if task == "multilabel":
        return functional.binary_cross_entropy_with_logits(outputs, wanted)
    return functional.mse_loss(outputs, wanted)


def target_tensor(target: Target, y: Shaped[np.ndarray, "n ..."]) -> Shaped[Tensor, "n ..."]:
    """`y` as `prediction_loss` reads it: whole numbers for classes, float32 otherwise."""
    dtype = torch.long if target.task == "classification" else torch.float32
    return torch.as_tensor(target.encode(y), dtype=dtype)

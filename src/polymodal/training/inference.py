"""A trained module over many rows, batch by batch, in evaluation mode and without gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.training.batches import Batch, Batches, Collate, split_rows
from polymodal.training.devices import choose_device
from polymodal.training.progress import Progress, embedding_reports


def infer(
    module: nn.Module,
    function: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    data: Modalities,
    *,
    collates: Mapping[str, Collate],
    batch_size: int = 1024,
    device: str | None = None,
) -> dict[str, np.ndarray]:
    """`function(module, batch)` for all rows: name -> (n, ...) arrays, in row order.

    The module's device and mode (evaluation is taken) come back afterwards.

    Args:
        module: The module whose mode is switched, and whose device is used.
        function: Gives tensors with one item per row of the batch.
        data: The rows. No rows give an empty dict.
        collates: As for `train`; they should be those of `module`'s encoders.
        batch_size: Rows at a time; the result does not depend on it.
        device: Where to compute, as in `Training`; None: where the module's parameters are.

    Raises:
        ModalityError: a result that is infinite or not a number.
    """
    first = next(module.parameters(), None)
    home = torch.device("cpu") if first is None else first.device
    there = home if device is None else choose_device(device)
    modes = [(m, m.training) for m in module.modules()]
    module.eval().to(there)
    parts: dict[str, list[np.ndarray]] = {}
    try:
        with torch.inference_mode(), embedding_reports(len(data)) as report:
            rows = split_rows(np.arange(len(data)), batch_size)
            for done, batch in enumerate(Batches(data, collates, keep_bytes=0).iterate(rows), start=1):
                report(Progress(done, len(rows), 1, math.nan))
                for name, tensor in function(module, batch.to(there)).items():
                    parts.setdefault(name, []).append(_array(tensor))
    finally:
        module.to(home)
        for submodule, training in modes:
            submodule.training = training
    found = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    for name, values in found.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModalityError(
                f"{type(module).__name__} gives no finite {name!r} for some of the {len(data)} rows: values that are far from those "
                "it learned from. Look for very large numbers, or another unit."
            )
    return found


def _array(tensor: Tensor) -> np.ndarray:
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    array: np.ndarray = (tensor.float() if half else tensor).cpu().numpy()
    return array

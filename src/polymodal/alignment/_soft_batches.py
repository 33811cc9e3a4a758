"""What soft-DTW takes, made a batch: padded tensors with their lengths, and the costs of their frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.alignment import _costs
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Bool, Float, Int

Sequences = Tensor | np.ndarray | Ragged | Sequence[Any]
Lengths = tuple[Any, Any] | None
Metric = str | Callable[[Tensor, Tensor], Tensor]


def cost_matrices(x: Tensor, y: Tensor, metric: Metric) -> Float[Tensor, "batch n m"]:
    """Costs of every pair of frames of each pair of sequences, differentiable."""
    if callable(metric):
        costs = torch.stack([metric(s, t) for s, t in zip(x, y, strict=True)])
        if costs.shape != (len(x), x.shape[1], y.shape[1]):
            raise ModalityError(
                f"A metric given as a function must give costs ({x.shape[1]}, {y.shape[1]}), got {tuple(costs.shape[1:])}."
            )
        return costs
    _costs.codes(metric, False)
    if metric == "cosine":
        x, y = (torch.nn.functional.normalize(s, dim=-1) for s in (x, y))
        return 1.0 - x @ y.transpose(1, 2)
    if metric == "sqeuclidean":
        return ((x[:, :, None] - y[:, None]) ** 2).sum(-1) if x.shape[2] == 1 else _squares(x, y)
    exact = "donot_use_mm_for_euclid_dist"  # the other way loses half the digits where frames are near
    return torch.cdist(x, y, p=1.0 if metric == "cityblock" else 2.0, compute_mode=exact)


def _squares(x: Float[Tensor, "batch n d"], y: Float[Tensor, "batch m d"]) -> Float[Tensor, "batch n m"]:
    """Squared distances as a product; taken from a point among the frames, so that fewer digits are lost."""
    centre = x[:, :1].detach()
    x, y = x - centre, y - centre
    squares = (x * x).sum(-1)[:, :, None] + (y * y).sum(-1)[:, None, :]
    return (squares - 2.0 * (x @ y.transpose(1, 2))).clamp_min(0.0)


def pair(a: Sequences, b: Sequences, lengths: Lengths) -> tuple[Tensor, Tensor, Tensor, Tensor, bool]:
    """Both sides as padded batches of one dtype, their lengths, and whether they were one pair."""
    given = lengths or (None, None)
    (x, n, one_a), (y, m, one_b) = _padded(a, given[0], "a"), _padded(b, given[1], "b")
    if len(x) != len(y) or one_a != one_b or x.shape[2] != y.shape[2]:
        raise ModalityError(
            f"soft_dtw compares a and b pair by pair, in one space: as many sequences of as many features. Got a {tuple(x.shape)} "
            f"and b {tuple(y.shape)} as (sequences, frames, features)."
        )
    if lengths is not None:  # what stands in the padding, NaN even, must not enter a product
        x, y = (torch.where(_used(size, s)[:, :, None], s, 0.0) for s, size in ((x, n), (y, m)))
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.to(dtype), y.to(dtype), n, m, one_a


def _padded(x: Sequences, lengths: Any, name: str) -> tuple[Tensor, Tensor, bool]:
    if isinstance(x, Ragged | Sequence) and not (len(x) and np.ndim(x[0]) == 0):
        parts = [_floats(s) for s in x]
        if lengths is not None or not parts or any(s.ndim not in {1, 2} or not len(s) for s in parts):
            raise ModalityError(
                f"soft_dtw needs {name} as sequences (frames,) or (frames, features) of at least one frame, without lengths, "
                f"got shapes {[tuple(s.shape) for s in parts][:4]}."
            )
        parts = [s.reshape(len(s), -1) for s in parts]
        sizes = torch.tensor([len(s) for s in parts], device=parts[0].device)
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True), sizes, False
    values = _floats(x)
    if values.ndim not in {1, 2, 3} or not values.numel():
        raise ModalityError(
            f"soft_dtw needs {name} as (frames,), (frames, features) or (batch, frames, features), none empty, got {tuple(values.shape)}."
        )
    single = values.ndim < 3
    batch = values.reshape(1, len(values), -1) if single else values
    return batch, frames_used(lengths, len(batch), batch.shape[1], batch.device), single


def _floats(x: Any) -> Tensor:
    values = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())


def frames_used(given: Any, batch: int, longest: int, device: torch.device) -> Int[Tensor, " batch"]:
    if given is None:
        return torch.full((batch,), longest, device=device)
    lengths = torch.as_tensor(given, device=device).long()
    if lengths.shape != (batch,) or bool((lengths < 1).any()) or bool((lengths > longest).any()):
        raise ModalityError(
            f"lengths need one number per sequence, from 1 to {longest} frames: {batch} of them, got {lengths.tolist()}."
        )
    return lengths


def _used(sizes: Int[Tensor, " batch"], x: Float[Tensor, "batch t d"]) -> Bool[Tensor, "batch t"]:
    return torch.arange(x.shape[1], device=x.device) < sizes[:, None]

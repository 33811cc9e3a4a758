"""The exact gradient of a batch that does not fit in memory: encode it in chunks, compare all rows, encode again.

A contrastive loss needs the vectors of all rows of a batch, but not all their graphs at the same time. First every chunk is
encoded without a graph; the loss of all vectors gives its gradient by each vector; then each chunk is encoded again, with
a graph and with the same random numbers, and its part of that gradient is passed on. By the chain rule the sum is the
gradient of the whole batch. The price is one more pass forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polymodal.training.batches import Batch, Column
from polymodal.training.distributed import all_gather_rows


@dataclass(frozen=True, eq=False)
class Embedded:
    """What a loss compares: the rows of all processes.

    Attributes:
        vectors: Name -> (n, ...) what `embed` gave.
        present: Modality -> (n,) True where the row has it.
        rows: (n,) row numbers in the data.
        target: (n, ...) target of the rows, or None.
    """

    vectors: dict[str, Tensor]
    present: dict[str, Tensor]
    rows: Tensor
    target: Tensor | None = None


@dataclass(frozen=True, eq=False)
class EmbeddingLoss:
    """A loss in two steps, which is what lets `train` cut a batch into chunks (`Training(chunk_size=...)`).

    Called as a function of (module, batch) it is the loss of the whole batch, over the rows of all processes.

    Args:
        embed: (module, batch) -> name -> tensors with one item per row of the batch, each a function of its own row alone.
        compare: (module, all rows) -> the loss. It may use parameters of the module that `embed` does not (a temperature).

    Relations:
        * in chunks: the same loss and gradients as in one piece, to rounding, where `embed` treats rows one by one.
        * in several processes: the same loss and gradients as in one.
    """

    embed: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    compare: Callable[[nn.Module, Embedded], Tensor]

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        """The loss of the whole batch."""
        return self.compare(module, _gathered(self.embed(module, batch), batch, batch.rows.device))


def cached_loss(
    loss: EmbeddingLoss,
    module: nn.Module,
    batch: Batch,
    *,
    chunk_size: int,
    device: torch.device,
    precision: Callable[[], AbstractContextManager[Any]],
) -> tuple[Tensor, Callable[[], None]]:
    """The loss of a batch with a graph down to its vectors, and what to call after `backward` for the rest of the way.

    Gradients are added to `.grad` of the module's parameters, as by one `backward`. Dropout draws the same numbers in both
    passes. Layers that mix rows (batch normalisation) see one chunk at a time; their running statistics move once per
    chunk. A value that rows of two chunks share is encoded in both.

    Args:
        loss: What to compute.
        module: Already on `device`.
        batch: On the CPU; its chunks are moved one by one.
        chunk_size: Rows encoded at once.
        device: Where to compute.
        precision: Gives the context under which `embed` and `compare` run (autocast).

    Complexity:
        Two passes forward and one backward. Memory: the graph of one chunk, and the vectors of all rows.

    References: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup".
    """
    parts = torch.split(torch.arange(len(batch)), chunk_size)
    statistics = [(buffer, buffer.clone()) for buffer in module.buffers()] if module.training else []
    found: list[Mapping[str, Tensor]] = []
    draws: list[list[Tensor]] = []
    for part in parts:
        draws.append(_random_state(device))
        with torch.no_grad(), precision():
            found.append(loss.embed(module, take_rows(batch, part).to(device)))
    with torch.no_grad():  # what the first pass counted, the second counts again
        for buffer, kept in statistics:
            buffer.copy_(kept)
    leaves = {name: torch.cat([piece[name] for piece in found]).detach() for name in found[0]}
    found.clear()
    for leaf in leaves.values():
        leaf.requires_grad_(leaf.is_floating_point())
    with precision():
        value = loss.compare(module, _gathered(leaves, batch, device))
    after = _random_state(device)

    def finish() -> None:
        for part, state in zip(parts, draws, strict=True):
            _set_random_state(device, state)
            with precision():
                again = loss.embed(module, take_rows(batch, part).to(device))
            pairs = [(again[name], leaf.grad) for name, leaf in leaves.items() if leaf.grad is not None]
            chunk = [
                (vectors, gradient[part.to(device)]) for vectors, gradient in pairs if vectors.requires_grad
            ]
            if chunk:
                torch.autograd.backward([v for v, _ in chunk], [g for _, g in chunk])
        _set_random_state(device, after)

    return value, finish


def take_rows(batch: Batch, rows: Tensor) -> Batch:
    """Some rows of a batch, with only the values that they use.

    Args:
        batch: On the CPU.
        rows: (r,) positions in the batch.
    """
    columns = {name: _take(column, rows) for name, column in batch.columns.items()}
    return Batch(columns, batch.rows[rows], None if batch.target is None else batch.target[rows])


def _take(column: Column, rows: Tensor) -> Column:
    index, present = column.index[rows], column.present[rows]
    needed, places = torch.unique(index[present], return_inverse=True)
    moved = torch.full_like(index, -1)
    moved[present] = places
    values = column.values
    if isinstance(values, dict):
        return Column({key: value[needed] for key, value in values.items()}, moved, present)
    return Column(values[needed], moved, present)


def _gathered(vectors: Mapping[str, Tensor], batch: Batch, device: torch.device) -> Embedded:
    return Embedded(
        {name: all_gather_rows(v) for name, v in vectors.items()},
        {name: all_gather_rows(p.to(device)) for name, p in batch.present.items()},
        all_gather_rows(batch.rows.to(device)),
        None if batch.target is None else all_gather_rows(batch.target.to(device)),
    )


def _random_state(device: torch.device) -> list[Tensor]:
    if device.type == "cuda":
        return [torch.get_rng_state(), torch.cuda.get_rng_state(device)]
    if device.type == "mps":
        return [torch.get_rng_state(), torch.mps.get_rng_state()]
    return [torch.get_rng_state()]


def _set_random_state(device: torch.device, state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
    if device.type == "mps":
        torch.mps.set_rng_state(state[1])

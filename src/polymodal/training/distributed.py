"""Several processes train as one: rows of each batch are shared out, gradients are added up.

Nothing here is on unless `torch.distributed` is initialised (by `torchrun` and `torch.distributed.init_process_group`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


def world() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rank, size = world()
        counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        lengths = [int(c) for c in counts]
        padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(size)]
        dist.all_gather(parts, padded)
        ctx.begin, ctx.end = sum(lengths[:rank]), sum(lengths[: rank + 1])
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.begin : ctx.end]


def all_gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of the global batch; the identity in a single process.

    What a loss over the whole batch (contrastive, correlation) needs: every process computes the loss of all rows, and
    the gradient of each row is the sum over processes. `train` weighs each process by its share of the rows, so such a
    loss and a mean over rows both come out as in one process. Processes may hold different numbers of rows.
    """
    if world()[1] == 1:
        return rows
    if rows.dtype == torch.bool:
        return all_gather_rows(rows.to(torch.uint8)).bool()
    gathered: Tensor = _AllGather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def shard(rows: np.ndarray) -> np.ndarray:
    """This process's consecutive part of the rows of a global batch."""
    rank, size = world()
    part: np.ndarray = np.array_split(rows, size)[rank]
    return part


def broadcast_state(module: nn.Module) -> None:
    """Give every process the weights of the first."""
    if world()[1] == 1:
        return
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            whole = tensor.contiguous()
            dist.broadcast(whole, src=0)
            tensor.copy_(whole)


def add_gradients(parameters: list[nn.Parameter]) -> None:
    """Add up the gradients of all processes; a parameter that no process used keeps none."""
    if world()[1] == 1:
        return
    device = parameters[0].device
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=device)
    flat = torch.cat(
        [(p.grad if p.grad is not None else torch.zeros_like(p)).reshape(-1) for p in parameters]
    )
    dist.all_reduce(used)
    dist.all_reduce(flat)
    start = 0
    for p, count in zip(parameters, used.tolist(), strict=True):
        piece = flat[start : start + p.numel()].view(p.shape)
        start += p.numel()
        p.grad = piece if count else None


def add_up(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    total = value.detach().clone()
    if world()[1] > 1:
        dist.all_reduce(total)
    return total


def wait() -> None:
    """Return when every process has come here."""
    if world()[1] > 1:
        dist.barrier()

"""Soft-DTW of a batch of cost matrices in plain torch, a diagonal at a time: for devices that the compiled loops do not reach."""

from __future__ import annotations

import torch
from torch import Tensor

from polymodal.core.typing import Float, Int


def accumulated(costs: Float[Tensor, "batch n m"], gamma: float) -> Float[Tensor, "t2 batch n1"]:
    """Accumulated costs by diagonals: cell (i, j) at [i + j + 2, :, i + 1], the start's zero at [0, :, 0], infinity elsewhere."""
    batch, n, m = costs.shape
    diagonals = _skewed(costs)
    total = costs.new_full((n + m + 1, batch, n + 1), torch.inf)
    total[0, :, 0] = 0.0
    for t in range(n + m - 1):
        total[t + 2, :, 1:] = diagonals[t] - gamma * torch.logsumexp(_ways(total, t) / -gamma, dim=0)
    return total


def values(
    total: Float[Tensor, "t2 batch n1"], lengths_a: Int[Tensor, " batch"], lengths_b: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """The accumulated cost of each pair's last cell."""
    return total[lengths_a + lengths_b, torch.arange(len(lengths_a), device=total.device), lengths_a]


def expected(
    total: Float[Tensor, "t2 batch n1"],
    lengths_a: Int[Tensor, " batch"],
    lengths_b: Int[Tensor, " batch"],
    gamma: float,
) -> Float[Tensor, "batch n m"]:
    """How often a random path visits each cell, from the accumulated costs."""
    diagonals, batch, n = total.shape[0] - 2, total.shape[1], total.shape[2] - 1
    visits = total.new_zeros(
        (diagonals + 2, batch, n + 1)
    )  # two diagonals and one row beyond the last, of zeros
    rows = torch.arange(batch, device=total.device)
    visits[lengths_a + lengths_b - 2, rows, lengths_a - 1] = 1.0
    after = torch.zeros_like(
        visits[:3, :, 1:]
    )  # shares of the ways into the diagonal after this one, and into the second after
    second = after
    for t in range(diagonals - 1, -1, -1):
        here = visits[t]
        here[:, :-1] += visits[t + 1, :, :-1] * after[0]
        here[:, :-2] += visits[t + 1, :, 1:-1] * after[1, :, 1:] + visits[t + 2, :, 1:-1] * second[2, :, 1:]
        after, second = torch.softmax(_ways(total, t) / -gamma, dim=0).nan_to_num(0.0), after
    return _straight(visits[:diagonals, :, :-1])


def _ways(total: Tensor, t: int) -> Tensor:
    """What stands left of, above, and diagonally before each cell of diagonal t, (3, batch, n)."""
    return torch.stack([total[t + 1, :, 1:], total[t + 1, :, :-1], total[t, :, :-1]])


def _skewed(costs: Tensor) -> Tensor:
    """(batch, n, m) -> (n + m - 1, batch, n): cell (i, j) to [i + j, :, i], infinity where a diagonal has no such cell."""
    batch, n, m = costs.shape
    padded = torch.nn.functional.pad(costs, (0, n), value=torch.inf).reshape(batch, n * (n + m))
    return padded[:, : n * (n + m - 1)].reshape(batch, n, n + m - 1).permute(2, 0, 1)


def _straight(visits: Tensor) -> Tensor:
    """The way back from `_skewed`."""
    diagonals, batch, n = visits.shape
    flat = torch.nn.functional.pad(visits.permute(1, 2, 0).reshape(batch, n * diagonals), (0, n))
    return flat.reshape(batch, n, diagonals + 1)[:, :, : diagonals + 1 - n].contiguous()

"""SigLIP: every pair of rows is its own yes-or-no question, so that no row waits for all others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int
from polymodal.objectives.positives import Positives, positive_pairs

_BLOCK = 1 << 21
"""Scores held at once: 8 MiB in float32."""


def sigmoid_loss(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    scale: float | Tensor = 10.0,
    bias: float | Tensor = -10.0,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
    block: int | None = None,
) -> Float[Tensor, ""]:
    r"""Minus the log-likelihood that each pair is (y = 1) or is not (y = -1) of one kind, per row.

    $$ L = -\frac1n \sum_{ij} \log \sigma\big(y_{ij} l_{ij}\big), \qquad l_{ij} = t \cos(a_i, b_j) + c $$

    Computed as $\frac1n [\sum_{ij} \log(1 + e^{l_{ij}}) - \sum_{y_{ij} = 1} l_{ij}]$: the first sum a block of rows at a time, the
    second by sums over equal codes, so no n x n matrix exists.

    Args:
        a: One embedding per row; normalised here.
        b: The partners, row by row.
        scale: t, the inverse temperature; a tensor gets its gradient.
        bias: c; a tensor gets its gradient. -10 at the start says that most pairs are strangers.
        codes_a: Rows with equal codes hold the same thing (`positive_pairs`).
        codes_b: The same for `b`.
        block: Rows of one block; None: as many as fit in 8 MiB.

    Raises:
        ModalityError: `a` and `b` of different shapes.

    Complexity:
        8 n^2 d operations forward and backward; memory O(n d), and one block.

    Relations:
        * equals `sigmoid_loss_reference`, forward and gradient.
        * symmetric: sigmoid_loss(a, b) = sigmoid_loss(b, a).
        * scale and bias zero: n log 2.
        * one row: -log sigma(t cos(a, b) + c), an attraction without strangers.

    References: Zhai et al. 2023, "Sigmoid loss for language image pre-training" (algorithm 1).
    """
    _check(a, b)
    n = len(a)
    if n == 0:
        return a.sum() + b.sum()
    a, b = _unit(a), _unit(b)
    t, c = (torch.as_tensor(value, dtype=a.dtype, device=a.device) for value in (scale, bias))
    rows = torch.arange(n, device=a.device)
    friends = Positives.of(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    size = block or max(1, _BLOCK // n)
    with torch.autocast(a.device.type, enabled=False):
        total: Tensor = _SoftplusSum.apply(a, b, t, c, size)  # type: ignore[no-untyped-call]
        agreement = t * (a * friends.sum_over(b)).sum() + c * friends.counts(a.detach()).sum()
    return (total - agreement) / n


def sigmoid_loss_reference(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    scale: float | Tensor = 10.0,
    bias: float | Tensor = -10.0,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """The definition of `sigmoid_loss` in plain steps, with all n x n scores at once: the truth in tests."""
    _check(a, b)
    rows = torch.arange(len(a), device=a.device)
    friends = positive_pairs(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    logits = _unit(a) @ _unit(b).T * scale + bias
    sign = torch.where(friends, 1.0, -1.0).to(logits.dtype)
    return -functional.logsigmoid(sign * logits).sum() / len(a)


class _SoftplusSum(torch.autograd.Function):
    """Sum of log(1 + exp(t <a_i, b_j> + c)) over all i and j, a block of rows at a time; blocks are computed again going back."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, t: Tensor, c: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(a, b, t, c)
        ctx.size = size
        total = a.new_zeros(())
        for x in torch.split(a, size):
            total -= functional.logsigmoid(torch.addmm(-c.reshape(1, 1), x * -t, b.T)).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b, t, c = ctx.saved_tensors
        grad_a, grad_b = torch.empty_like(a), torch.zeros_like(b)
        grad_t, grad_c = torch.zeros_like(t), torch.zeros_like(c)
        for start in range(0, len(a), ctx.size):
            rows = slice(start, start + ctx.size)
            x = a[rows]
            share = torch.addmm(c.reshape(1, 1), x * t, b.T).sigmoid_().mul_(grad)
            grad_c += share.sum()
            drawn = share @ b
            grad_t += (drawn * x).sum()
            grad_a[rows] = drawn * t
            grad_b.addmm_(share.T, x * t)
        return grad_a, grad_b, grad_t, grad_c, None


def _unit(x: Tensor) -> Tensor:
    return functional.normalize(x.float() if x.dtype in (torch.bfloat16, torch.float16) else x, dim=1)


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ModalityError(
            f"sigmoid_loss needs one row of b for each row of a, in the same space; got {tuple(a.shape)} and {tuple(b.shape)}. "
            "Leave out the rows that lack either."
        )

from __future__ import annotations

import math

import pytest
import torch

from polymodal.objectives import sigmoid_loss


def test_closed_forms() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    assert sigmoid_loss(eye, eye, scale=0.0, bias=0.0).item() == pytest.approx(3 * math.log(2))
    # t = 4, bias = -2: partners at logit 2, strangers at logit -2: every question log(1 + e^-2)
    assert sigmoid_loss(eye, eye, scale=4.0, bias=-2.0).item() == pytest.approx(
        3 * math.log(1 + math.exp(-2))
    )


def test_symmetric_and_codes() -> None:
    a, b = torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert sigmoid_loss(a, b).item() == pytest.approx(sigmoid_loss(b, a).item())
    same = torch.ones(2, 3, dtype=torch.float64)
    together = sigmoid_loss(same, same, codes_a=torch.zeros(2, dtype=torch.int64), scale=20.0)
    assert together.item() == pytest.approx(2 * math.log(1 + math.exp(-10)))


def test_gradcheck() -> None:
    a, b = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).unbind(0)
    scale, bias = torch.tensor(3.0, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, y, t, c: sigmoid_loss(x, y, scale=t, bias=c),
        tuple(v.requires_grad_() for v in (a, b, scale, bias)),
    )

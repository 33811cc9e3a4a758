from __future__ import annotations

import math

import pytest
import torch

from polymodal.core.errors import ModalityError
from polymodal.objectives import sigmoid_loss, sigmoid_loss_reference


def inputs(n: int, seed: int = 1) -> tuple[torch.Tensor, ...]:
    a, b = torch.randn(2, n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).unbind(0)
    scale, bias = torch.tensor(3.0, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)
    return tuple(v.clone().requires_grad_() for v in (a, b, scale, bias))


def test_closed_forms() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    assert sigmoid_loss(eye, eye, scale=0.0, bias=0.0).item() == pytest.approx(3 * math.log(2))
    # t = 4, bias = -2: partners at logit 2, strangers at logit -2: every question log(1 + e^-2)
    assert sigmoid_loss(eye, eye, scale=4.0, bias=-2.0).item() == pytest.approx(
        3 * math.log(1 + math.exp(-2))
    )
    assert sigmoid_loss(eye[:1], eye[:1], scale=4.0, bias=-2.0).item() == pytest.approx(
        math.log(1 + math.exp(-2))
    )


def test_symmetric_and_codes() -> None:
    a, b, *_ = inputs(6)
    assert sigmoid_loss(a, b).item() == pytest.approx(sigmoid_loss(b, a).item())
    same = torch.ones(2, 3, dtype=torch.float64)
    together = sigmoid_loss(same, same, codes_a=torch.zeros(2, dtype=torch.int64), scale=20.0)
    assert together.item() == pytest.approx(2 * math.log(1 + math.exp(-10)))


@pytest.mark.parametrize("block", [None, 1, 4])
@pytest.mark.parametrize("shared", [False, True])
def test_equals_the_definition_forward_and_gradient(block: int | None, shared: bool) -> None:
    codes = torch.tensor([0, 0, 1, 2, 2, 2, 3]) if shared else None
    found, expected = inputs(7), inputs(7)
    a, b, t, c = found
    value = sigmoid_loss(a, b, scale=t, bias=c, codes_b=codes, block=block)
    truth = sigmoid_loss_reference(
        expected[0], expected[1], scale=expected[2], bias=expected[3], codes_b=codes
    )
    assert value.item() == pytest.approx(truth.item(), rel=1e-12)
    value.backward()
    truth.backward()
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-12)


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(
        lambda x, y, t, c: sigmoid_loss(x, y, scale=t, bias=c, block=2), inputs(4)
    )


def test_no_rows_and_other_shapes() -> None:
    empty = torch.zeros(0, 3, requires_grad=True)
    assert sigmoid_loss(empty, empty).item() == 0
    with pytest.raises(
        (ModalityError, TypeError), match="sigmoid_loss"
    ):  # TypeError from the shape check of the tests
        sigmoid_loss(torch.ones(2, 3), torch.ones(4, 3))

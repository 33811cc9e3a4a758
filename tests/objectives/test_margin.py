from __future__ import annotations

import pytest
import torch

from polymodal.objectives import margin_loss


def test_signs_by_hand() -> None:
    """max(0, margin - positive + negative): partners at cosine 1, strangers at 0."""
    eye = torch.eye(3, dtype=torch.float64)
    assert margin_loss(eye, eye, margin=0.2).item() == 0
    assert margin_loss(eye, eye, margin=1.5).item() == pytest.approx(2 * 2 * 0.5)
    assert margin_loss(eye, eye, margin=1.5, hardest=True).item() == pytest.approx(2 * 0.5)
    swapped = eye[[1, 2, 0]]  # every partner at 0, one stranger at 1, one at 0
    assert margin_loss(eye, swapped, margin=0.2).item() == pytest.approx(2 * (1.2 + 0.2))
    assert margin_loss(eye, swapped, margin=0.2, hardest=True).item() == pytest.approx(2 * 1.2)


def test_relations() -> None:
    made = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 6, 4, dtype=torch.float64, generator=made)
    assert margin_loss(a, b).item() == pytest.approx(margin_loss(b, a).item())
    assert margin_loss(a, b, hardest=True) <= margin_loss(a, b)
    assert margin_loss(a[:2], b[:2], hardest=True).item() == pytest.approx(margin_loss(a[:2], b[:2]).item())
    assert margin_loss(a, a + 0.1 * b) < margin_loss(a, b)


def test_shared_things_are_no_strangers() -> None:
    same = torch.ones(3, 4, dtype=torch.float64)
    codes = torch.zeros(3, dtype=torch.int64)
    assert margin_loss(same, same, codes_a=codes).item() == 0
    assert margin_loss(same, same).item() == pytest.approx(2 * 2 * 0.2)


@pytest.mark.parametrize("hardest", [False, True])
def test_gradcheck(hardest: bool) -> None:
    a, b = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).unbind(0)
    assert torch.autograd.gradcheck(
        lambda x, y: margin_loss(x, y, margin=0.4, hardest=hardest), (a.requires_grad_(), b.requires_grad_())
    )

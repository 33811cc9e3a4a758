from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.objectives import decorrelation_loss


def parts(n: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.from_numpy(np.random.default_rng(0).normal(size=(n, 5))).split([2, 3], 1))  # type: ignore[return-value]


def test_equals_numpys_correlations() -> None:
    a, b = parts()
    expected = np.corrcoef(a.numpy().T, b.numpy().T)[:2, 2:]
    assert decorrelation_loss(a, b).item() == pytest.approx((expected**2).sum())
    assert decorrelation_loss(a, a).item() > 2
    assert decorrelation_loss(a, b).item() == pytest.approx(decorrelation_loss(b, a).item())
    assert decorrelation_loss(7 * a - 3, b).item() == pytest.approx(decorrelation_loss(a, b).item())


def test_orthogonal_rows_may_be_correlated_and_the_reverse() -> None:
    """z1 . z2 = 0 in every row is another thing than centred Z1' Z2 = 0 over the batch."""
    t = torch.linspace(-1, 1, 9, dtype=torch.float64)
    ones = torch.ones_like(t)
    a, b = torch.stack([t, ones], 1), torch.stack([ones, -t], 1)
    assert (a * b).sum(1).abs().max() == 0
    assert decorrelation_loss(a, b).item() == pytest.approx(1)
    one, other = t[:, None], (t**2 + 3)[:, None]
    assert (one * other).abs().max() > 1
    assert decorrelation_loss(one, other).item() == pytest.approx(0, abs=1e-12)


def test_constant_columns_and_few_rows() -> None:
    a, b = parts()
    constant = torch.full((20, 1), 0.1, dtype=torch.float64, requires_grad=True)
    loss = decorrelation_loss(constant, b)
    loss.backward()
    assert loss.item() == 0
    assert not constant.grad.any()  # type: ignore[union-attr]
    assert decorrelation_loss(a[:1], b[:1]).item() == 0
    assert decorrelation_loss(a[:0], b[:0]).item() == 0


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(decorrelation_loss, tuple(x.clone().requires_grad_() for x in parts(6)))

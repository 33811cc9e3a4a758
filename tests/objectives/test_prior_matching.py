from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from polymodal.objectives import matching_game, maximum_mean_discrepancy


def test_a_discriminator_that_knows_nothing():
    blank = nn.Linear(2, 1)
    nn.init.zeros_(blank.weight)
    nn.init.zeros_(blank.bias)
    encoder, discriminator = matching_game(blank, torch.randn(5, 2), torch.randn(7, 2))
    assert float(encoder.detach()) == pytest.approx(math.log(2))
    assert float(discriminator.detach()) == pytest.approx(2 * math.log(2))


def test_each_loss_reaches_its_own_side():
    torch.manual_seed(0)
    net, codes = nn.Linear(2, 1), torch.randn(5, 2, requires_grad=True)
    encoder, discriminator = matching_game(net, codes, torch.randn(7, 2))
    assert torch.autograd.grad(encoder, list(net.parameters()), allow_unused=True, retain_graph=True) == (
        None,
        None,
    )
    assert torch.autograd.grad(discriminator, codes, allow_unused=True, retain_graph=True) == (None,)
    (pull,) = torch.autograd.grad(encoder, codes)
    # -log D falls along the discriminator's weights
    assert bool(((pull @ net.weight[0]) < 0).all())
    discriminator.backward()
    assert float(net.weight.grad.abs().sum()) > 0


def test_shifted_normals():
    """E k for N(0, 1) - N(mu, 1): width s^2 = 4, mu = 1.5."""
    torch.manual_seed(0)
    a, b = torch.randn(1500, 1, dtype=torch.float64), torch.randn(1500, 1, dtype=torch.float64) + 1.5
    wanted = 2 * 2 / math.sqrt(6) * (1 - math.exp(-(1.5**2) / 12))
    assert float(maximum_mean_discrepancy(a, b, scales=(4.0,))) == pytest.approx(wanted, abs=0.04)


def test_relations():
    torch.manual_seed(0)
    a, b = torch.randn(40, 3, dtype=torch.float64), torch.rand(30, 3, dtype=torch.float64)
    d = maximum_mean_discrepancy(a, b)
    torch.testing.assert_close(maximum_mean_discrepancy(b, a), d)
    torch.testing.assert_close(maximum_mean_discrepancy(a.flip(0) + 7, b + 7), d)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    torch.testing.assert_close(maximum_mean_discrepancy(a @ turn, b @ turn), d)
    assert float(maximum_mean_discrepancy(a, a)) == pytest.approx(0, abs=1e-12)
    assert float(d) > 0


def test_gradients():
    torch.manual_seed(0)
    a, b = (torch.randn(4, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(maximum_mean_discrepancy, (a, b))

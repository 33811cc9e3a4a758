from __future__ import annotations

import pytest
import torch

from polymodal.nn import Deconvolution2d


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((5, 9), 3), ((1, 1), 2), ((17, 30), 1)])
def test_pictures_have_the_size_asked_for(size: tuple[int, int], channels: int) -> None:
    network = Deconvolution2d(4, channels, size, width=4)
    assert network(torch.randn(3, 4)).shape == (3, *size, channels)
    assert network(torch.randn(0, 4)).shape == (0, *size, channels)


def test_small_pictures_need_no_doubling() -> None:
    network = Deconvolution2d(4, 1, (8, 6), width=4)
    assert network.coarse == (8, 6)
    assert not any(isinstance(layer, torch.nn.ConvTranspose2d) for layer in network.layers)


def test_each_item_stands_alone_and_every_weight_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = Deconvolution2d(4, 1, (20, 20), width=4)
    codes = torch.randn(5, 4)
    made = network(codes)
    torch.testing.assert_close(network(codes[2:3])[0], made[2], atol=1e-5, rtol=1e-4)
    made.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_it_learns_a_picture() -> None:
    torch.manual_seed(0)
    network = Deconvolution2d(1, 1, (12, 12), width=8)
    wanted = torch.zeros(1, 12, 12, 1)
    wanted[:, 3:6, 5:10] = 1
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (network(torch.ones(1, 1)) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01

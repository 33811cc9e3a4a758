import numpy as np
import pytest
import torch

from polymodal.nn import ResidualConv1d, ResidualConv2d


def test_zero_weights_leave_the_skip(rng: np.random.Generator) -> None:
    block = ResidualConv2d(4, 4)
    with torch.no_grad():
        block.norm_second.weight.zero_()
    x = torch.from_numpy(rng.normal(size=(2, 4, 5, 5)).astype(np.float32))
    torch.testing.assert_close(block(x.clone()), x.relu())


@pytest.mark.parametrize("size", [1, 2, 7])
def test_stride_halves_any_size_and_every_parameter_learns(size: int, rng: np.random.Generator) -> None:
    block = ResidualConv2d(3, 8, stride=2)
    x = torch.from_numpy(rng.normal(size=(5, 3, size, size)).astype(np.float32))
    out = block(x)
    assert out.shape == (5, 8, -(-size // 2), -(-size // 2))
    torch.testing.assert_close(block(x[1:2]), out[1:2], rtol=1e-5, atol=1e-5)
    out.square().sum().backward()
    assert all(p.grad is not None for p in block.parameters())


def test_padding_never_enters(rng: np.random.Generator) -> None:
    block = ResidualConv1d(4, kernel=3)
    x = torch.from_numpy(rng.normal(size=(2, 6, 4)).astype(np.float32))
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    clean = block(x, mask)
    poisoned = block(x.masked_fill(~mask[..., None], torch.nan), mask)
    torch.testing.assert_close(poisoned[mask], clean[mask], rtol=0, atol=0)
    torch.testing.assert_close(block(x[:1, :4], mask[:1, :4]), clean[:1, :4], rtol=1e-5, atol=1e-6)

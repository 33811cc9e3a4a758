import pytest
import torch
from torch import nn

from polymodal.nn import MLP


def test_depth_zero_is_one_linear_map() -> None:
    mlp = MLP(3, 2, depth=0)
    (layer,) = mlp.layers
    x = torch.arange(6.0).reshape(2, 3)
    assert isinstance(layer, nn.Linear)
    torch.testing.assert_close(mlp(x), x @ layer.weight.T + layer.bias)


@pytest.mark.parametrize("depth", [1, 3])
def test_shape_and_every_parameter_learns(depth: int) -> None:
    mlp = MLP(3, 2, width=8, depth=depth, dropout=0.5)
    out = mlp(torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)))
    assert out.shape == (4, 5, 2)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mlp.parameters())

"""Multiplicative fusion: the elementwise product; an absent modality is a factor of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal import AdditiveFusion, Modalities, Training
from polymodal.fusion import LowRankLayer, MultiplicativeFusion, MultiplicativeLayer

DIMS = {"a": 2, "b": 3, "c": 2}


def draws(n: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim) for name, dim in DIMS.items()}


def identity(additive: bool = False) -> MultiplicativeLayer:
    layer = MultiplicativeLayer({"a": 2, "b": 2}, 2, additive)
    with torch.no_grad():
        for factor in layer.factors:
            factor.weight.copy_(torch.eye(2))
    return layer


def test_with_unit_maps_it_is_the_elementwise_product() -> None:
    a, b = torch.tensor([[2.0, 3.0]]), torch.tensor([[5.0, 7.0]])
    assert identity()({"a": a, "b": b}).tolist() == [[10, 21]]


def test_an_absent_modality_is_a_factor_of_one() -> None:
    a = torch.tensor([[2.0, 3.0]])
    assert identity()({"a": a}).tolist() == [[2, 3]]
    nothing = identity()({"a": a}, {"a": torch.tensor([False])})
    assert nothing.tolist() == [[1, 1]]


def test_equals_a_low_rank_layer_of_rank_one() -> None:
    torch.manual_seed(0)
    layer, low, x = MultiplicativeLayer(DIMS, 4), LowRankLayer(DIMS, 4, rank=1), draws()
    with torch.no_grad():
        for factor, other in zip(layer.factors, low.factors, strict=True):
            factor.bias.normal_()
            other.copy_(torch.cat([factor.weight.T, factor.bias[None]])[:, None])
    torch.testing.assert_close(layer(x), low(x))


def test_additive_and_multiplicative_is_their_sum() -> None:
    torch.manual_seed(0)
    layer, x = MultiplicativeLayer(DIMS, 4, additive=True), draws()
    product = MultiplicativeLayer(DIMS, 4)
    product.load_state_dict({k: v for k, v in layer.state_dict().items() if not k.startswith("additive")})
    present = {"c": torch.tensor([True, False, True, True, False])}
    torch.testing.assert_close(layer(x, present), product(x, present) + layer.additive(x, present))


@pytest.mark.parametrize("n_modalities", [1, 2, 4])
def test_the_start_has_unit_mean_square(n_modalities: int) -> None:
    torch.manual_seed(0)
    dims = {f"m{i}": 20 for i in range(n_modalities)}
    out = MultiplicativeLayer(dims, 2000)({name: torch.randn(200, 20) for name in dims})
    assert out.pow(2).mean().item() == pytest.approx(1, rel=0.15)


def test_learns_the_product_that_additive_fusion_cannot(rng: np.random.Generator) -> None:
    a, b = rng.choice([-1.0, 1.0], size=(2, 300, 1))
    data, y = Modalities({"words": a, "voice": b}), (a * b)[:, 0].astype(int)
    options = Training(max_epochs=12, batch_size=50, learning_rate=1e-2)
    for sums in (False, True):
        model = MultiplicativeFusion(4, additive=sums, training=options, random_state=0).fit(data, y)
        assert model.score(data, y) == 1.0
        assert model.score(data.select("words"), y) == pytest.approx(0.5, abs=0.1)
    short = Training(max_epochs=5, batch_size=50, learning_rate=1e-2)
    assert AdditiveFusion(4, training=short, random_state=0).fit(data, y).score(data, y) < 0.8

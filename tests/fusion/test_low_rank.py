"""Low-rank fusion: exactly a tensor of rank R, linear in the modalities, and tame at the start for many of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal import AdditiveFusion, Modalities, Training
from polymodal.core.errors import ConfigError
from polymodal.fusion import (
    LowRankFusion,
    LowRankLayer,
    TensorLayer,
    low_rank_to_tensor,
    tensor_contract,
    tensor_to_low_rank,
)

DIMS = {"a": 2, "b": 3, "c": 2}


def draws(n: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim) for name, dim in DIMS.items()}


def test_one_product_has_the_value_of_its_definition() -> None:
    layer = LowRankLayer({"a": 1, "b": 1}, 1, rank=2)
    with torch.no_grad():
        layer.factors[0].copy_(torch.tensor([[[2.0], [1.0]], [[3.0], [0.0]]]))  # 2a + 3 and a
        layer.factors[1].copy_(torch.tensor([[[5.0], [0.0]], [[7.0], [4.0]]]))  # 5b + 7 and 4
        layer.weight.copy_(torch.tensor([1.0, -2.0]))
        layer.bias.fill_(0.5)
    out = layer({"a": torch.tensor([[10.0]]), "b": torch.tensor([[100.0]])})
    assert out.item() == 23 * 507 - 2 * 10 * 4 + 0.5
    assert layer({"a": torch.tensor([[10.0]])}).item() == 23 * 7 - 2 * 10 * 4 + 0.5  # b enters as [0; 1]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    k=st.integers(1, 3),
    rank=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_equals_the_tensor_it_stands_for_and_back(sizes: list[int], k: int, rank: int, seed: int) -> None:
    torch.manual_seed(seed)
    dims = {f"m{i}": size for i, size in enumerate(sizes)}
    layer = LowRankLayer(dims, k, rank).double()
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    x = {name: torch.randn(4, dim, dtype=torch.float64) for name, dim in dims.items()}
    present = {name: torch.rand(4) < 0.7 for name in dims}
    tensor = low_rank_to_tensor(layer)
    torch.testing.assert_close(layer(x, present), tensor(x, present))
    ones = [torch.nn.functional.pad(v, (0, 1), value=1.0) for v in x.values()]
    torch.testing.assert_close(layer(x), tensor_contract(ones, tensor.weight))
    torch.testing.assert_close(tensor_to_low_rank(tensor)(x, present), layer(x, present))


def test_a_new_tensor_layer_needs_few_products() -> None:
    torch.manual_seed(0)
    tensor, x = TensorLayer(DIMS, 2), draws()
    low = tensor_to_low_rank(tensor)
    assert low.rank == 5  # lines along b: at a1, a2, c1, c2 and at the ones
    torch.testing.assert_close(low(x), tensor(x))
    with torch.no_grad():
        tensor.weight.zero_()
    assert torch.equal(tensor_to_low_rank(tensor)(x), torch.zeros(5, 2))


def test_parameters_grow_linearly_with_the_modalities() -> None:
    counts = [
        sum(p.numel() for p in LowRankLayer(dict.fromkeys(map(str, range(m)), 7), 5, 3).parameters())
        for m in (1, 2, 3, 20)
    ]
    assert counts == [120 * m + 3 + 5 for m in (1, 2, 3, 20)]  # R k (d + 1) each, R weights and k constants


@pytest.mark.parametrize("n_modalities", [1, 2, 5, 30])
def test_the_start_keeps_its_scale_for_any_number_of_modalities(n_modalities: int) -> None:
    torch.manual_seed(0)
    dims = {f"m{i:02d}": 4 for i in range(n_modalities)}
    layer = LowRankLayer(dims, 4000, rank=4)
    with torch.no_grad():
        out = layer({name: torch.randn(40, 4) for name in dims})
    assert out.pow(2).mean().item() == pytest.approx((1 + 1 / n_modalities) ** n_modalities, rel=0.12)
    assert out.mean().item() == pytest.approx(0, abs=0.1)
    assert (1 + 1 / n_modalities) ** n_modalities < math.e


def test_for_one_modality_it_is_linear() -> None:
    layer, x = LowRankLayer({"a": 3}, 2), torch.randn(2, 4, 3)
    middle = layer({"a": (x[0] + x[1]) / 2})
    torch.testing.assert_close(middle, (layer({"a": x[0]}) + layer({"a": x[1]})) / 2, rtol=1e-4, atol=1e-5)


def test_learns_the_product_of_three_that_additive_fusion_cannot(rng: np.random.Generator) -> None:
    signs = rng.choice([-1.0, 1.0], size=(3, 300, 1))
    data = Modalities(dict(zip(("words", "voice", "face"), signs, strict=True)))
    y = signs.prod(axis=0)[:, 0].astype(int)
    options = Training(max_epochs=15, batch_size=50, learning_rate=1e-2)
    low = LowRankFusion(8, modality_dropout=0.0, training=options, random_state=0).fit(data, y)
    short = Training(max_epochs=5, batch_size=50, learning_rate=1e-2)
    additive = AdditiveFusion(8, modality_dropout=0.0, training=short, random_state=0).fit(data, y)
    assert low.score(data, y) == 1.0
    assert additive.score(data, y) < 0.8
    assert low.score(data.select("words", "voice"), y) == pytest.approx(0.5, abs=0.1)


def test_a_rank_of_zero_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="rank must be a whole number of at least 1, got 0"):
        LowRankFusion(rank=0).fit({"a": rng.normal(size=(8, 2))}, np.arange(8) % 2)

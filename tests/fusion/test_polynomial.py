"""Polynomial fusion: the sum over all monomials, of any degree, without forming them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from polymodal import AdditiveFusion, Modalities, Training
from polymodal.core.errors import ConfigError
from polymodal.fusion import AdditiveLayer, PolynomialFusion, PolynomialLayer

DIMS = {"a": 2, "b": 1}


def draws(n: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim, dtype=torch.float64) for name, dim in DIMS.items()}


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_equals_the_explicit_sum_over_monomials(degree: int) -> None:
    torch.manual_seed(0)
    layer, x = PolynomialLayer(DIMS, 2, degree, rank=3).double(), draws()
    f = torch.cat([*x.values(), torch.ones(5, 1, dtype=torch.float64)], dim=1)
    v, w = layer.directions.detach(), layer.weights.detach()
    total = torch.zeros(5, 2, dtype=torch.float64)
    for chosen in itertools.combinations_with_replacement(range(4), degree):
        times = math.factorial(degree) // math.prod(math.factorial(chosen.count(i)) for i in set(chosen))
        coefficient = times * (w * v[list(chosen)].prod(dim=0)).sum(dim=0)
        total += f[:, list(chosen)].prod(dim=1)[:, None] * coefficient
    torch.testing.assert_close(layer(x), total)


def test_is_the_contraction_of_a_symmetric_tensor() -> None:
    torch.manual_seed(0)
    layer, x = PolynomialLayer(DIMS, 2, degree=3, rank=3).double(), draws()
    f = torch.cat([*x.values(), torch.ones(5, 1, dtype=torch.float64)], dim=1)
    W = torch.einsum("irk,jrk,lrk,rk->kijl", *[layer.directions.detach()] * 3, layer.weights.detach())
    torch.testing.assert_close(W, W.transpose(1, 3))
    torch.testing.assert_close(layer(x), torch.einsum("kijl,ni,nj,nl->nk", W, f, f, f))


def test_degree_one_is_additive() -> None:
    torch.manual_seed(0)
    layer, additive, x = PolynomialLayer(DIMS, 2, 1, 3).double(), AdditiveLayer(DIMS, 2).double(), draws()
    with torch.no_grad():
        flat = (layer.directions * layer.weights).sum(dim=1).T
        for weight, part in zip(additive.weights, flat[:, :-1].split([2, 1], dim=1), strict=True):
            weight.copy_(part)
        additive.bias.copy_(flat[:, -1])
    present = {"b": torch.tensor([True, False, True, True, False])}
    torch.testing.assert_close(layer(x, present), additive(x, present))


def test_a_power_of_one_feature_has_the_value_of_its_definition() -> None:
    layer = PolynomialLayer({"a": 1, "b": 1}, 1, degree=3, rank=1)
    with torch.no_grad():
        layer.directions.copy_(torch.tensor([2.0, 1.0, -1.0]).reshape(3, 1, 1))
        layer.weights.fill_(0.5)
    assert layer({"a": torch.tensor([[3.0]]), "b": torch.tensor([[2.0]])}).item() == 0.5 * 7**3
    assert layer({"a": torch.tensor([[3.0]])}).item() == 0.5 * 5**3


@pytest.mark.parametrize("degree", [1, 3, 10])
def test_the_start_stays_tame_for_any_degree(degree: int) -> None:
    torch.manual_seed(0)
    layer = PolynomialLayer({"a": 10, "b": 10}, 2000, degree, rank=4)
    out = layer({"a": torch.randn(40, 10), "b": torch.randn(40, 10)})
    assert 1.5 < out.pow(2).mean().item() < math.exp(2) * 1.2


def test_learns_the_product_that_additive_fusion_cannot(rng: np.random.Generator) -> None:
    a, b = rng.choice([-1.0, 1.0], size=(2, 300, 1))
    data, y = Modalities({"words": a, "voice": b}), (a * b)[:, 0].astype(int)
    options = Training(max_epochs=12, batch_size=50, learning_rate=1e-2)
    assert PolynomialFusion(4, training=options, random_state=0).fit(data, y).score(data, y) == 1.0
    short = Training(max_epochs=5, batch_size=50, learning_rate=1e-2)
    assert AdditiveFusion(4, training=short, random_state=0).fit(data, y).score(data, y) < 0.8


def test_a_square_within_a_modality_needs_a_degree_beyond_their_number() -> None:
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    target = x[:, 0] ** 2 * x[:, 1]

    def error(layer: torch.nn.Module) -> float:
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=150, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (layer({"a": x[:, :1], "b": x[:, 1:]})[:, 0] - target).pow(2).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        return closure().item() / target.var().item()

    torch.manual_seed(0)
    errors = [error(PolynomialLayer({"a": 1, "b": 1}, 1, degree, rank=6)) for degree in (2, 3)]
    assert errors[0] > 0.2
    assert errors[1] < 0.01


def test_a_degree_of_zero_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="degree must be a whole number of at least 1, got 0"):
        PolynomialFusion(degree=0).fit({"a": rng.normal(size=(8, 2))}, np.arange(8) % 2)

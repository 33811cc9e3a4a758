from __future__ import annotations

import torch
from torch import distributions

from polymodal.objectives import NormalMixture


def parts(s: int = 3, n: int = 4, k: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(s, n, k), torch.randn(s, n, k)


def test_density_equals_torch() -> None:
    means, spreads = parts()
    there = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)
    mixture = NormalMixture.even(means, spreads, there)
    codes = torch.randn(5, 4, 2)
    weights = distributions.Categorical(probs=there.T.float())
    normals = distributions.Independent(
        distributions.Normal(means.transpose(0, 1), (spreads / 2).exp().transpose(0, 1)), 1
    )
    expected = distributions.MixtureSameFamily(weights, normals)
    torch.testing.assert_close(mixture.log_density(codes), expected.log_prob(codes))
    torch.testing.assert_close(mixture.mean(), expected.mean)


def test_one_component_is_that_normal() -> None:
    means, spreads = parts(1)
    mixture = NormalMixture.single(means[0], spreads[0])
    codes = torch.randn(4, 2)
    expected = distributions.Normal(means[0], (spreads[0] / 2).exp()).log_prob(codes).sum(-1)
    torch.testing.assert_close(mixture.log_density(codes), expected)
    assert torch.equal(mixture.mean(), means[0])


def test_equal_components_are_that_normal() -> None:
    means, spreads = parts(1)
    twice = NormalMixture.even(
        means.repeat(2, 1, 1), spreads.repeat(2, 1, 1), torch.ones(2, 4, dtype=torch.bool)
    )
    codes = torch.randn(4, 2)
    torch.testing.assert_close(
        twice.log_density(codes), NormalMixture.single(means[0], spreads[0]).log_density(codes)
    )


def test_draws_come_from_components_that_are_there_and_carry_gradients() -> None:
    means = torch.stack([torch.zeros(3, 1), torch.full((3, 1), 100.0)]).requires_grad_()
    there = torch.tensor([[True, False, True], [False, True, True]])
    draws = NormalMixture.even(means, torch.zeros(2, 3, 1), there).draw(400)
    assert draws.shape == (400, 3, 1)
    assert draws[:, 0].max() < 50 < draws[:, 1].min()
    assert 0.4 < (draws[:, 2] > 50).float().mean() < 0.6
    draws.sum().backward()
    assert means.grad is not None
    assert means.grad[1, 0, 0] == 0
    assert means.grad[0, 0, 0] == 400


def test_a_row_without_components_is_finite() -> None:
    means, spreads = parts(2)
    mixture = NormalMixture.even(means, spreads, torch.zeros(2, 4, dtype=torch.bool))
    assert torch.isfinite(mixture.mean()).all()
    assert torch.isfinite(mixture.log_density(torch.zeros(4, 2))).all()

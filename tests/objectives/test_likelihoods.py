from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import distributions
from torch.autograd import gradcheck

from polymodal.core.errors import ConfigError
from polymodal.objectives import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)
from polymodal.objectives.likelihoods import LIKELIHOODS, likelihood_of

ZERO = torch.zeros(1, dtype=torch.float64)


def draws(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_normal_and_laplace_equal_torch(scale: float) -> None:
    x, m = draws(5, 3), draws(2, 5, 3)
    log_scale = torch.full((1,), math.log(scale), dtype=torch.float64)
    normal = distributions.Normal(m, scale).log_prob(x).sum(-1)
    laplace = distributions.Laplace(m, scale).log_prob(x).sum(-1)
    torch.testing.assert_close(GaussianLikelihood().log_prob(x, m, log_scale), normal)
    torch.testing.assert_close(LaplaceLikelihood().log_prob(x, m, log_scale), laplace)


def test_a_scale_for_each_feature() -> None:
    x, m, log_scale = draws(5, 3), draws(5, 3) / 2, torch.tensor([0.1, -1.0, 2.0], dtype=torch.float64)
    expected = distributions.Normal(m, log_scale.exp()).log_prob(x).sum(-1)
    found = GaussianLikelihood(each=True).log_prob(x, m, log_scale)
    torch.testing.assert_close(found, expected)


def test_bernoulli_equals_torch_and_broadcasts() -> None:
    x = (draws(5, 3) > 0).double()
    logits = draws(2, 5, 3)
    expected = distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(BernoulliLikelihood().log_prob(x, logits, ZERO), expected)


def test_one_hot_is_cross_entropy_and_counts_are_sequences() -> None:
    logits = draws(4, 3)
    classes = torch.tensor([0, 2, 1, 1])
    one_hot = torch.nn.functional.one_hot(classes, 3).double()
    expected = -torch.nn.functional.cross_entropy(logits, classes, reduction="none")
    found = CategoricalLikelihood().log_prob(one_hot, logits, ZERO)
    torch.testing.assert_close(found, expected)
    counts = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64)
    p = logits[:1].softmax(1)[0]
    sequence = (p[0] * p[0] * p[2]).log()
    torch.testing.assert_close(CategoricalLikelihood().log_prob(counts, logits[:1], ZERO)[0], sequence)


def test_the_best_scale_is_the_mean_error() -> None:
    x, m = draws(500, 4), torch.zeros(500, 4, dtype=torch.float64)
    for name, best in (("gaussian", x.square().mean().sqrt()), ("laplace", x.abs().mean())):
        log_scale = best.log()[None].clone().requires_grad_()
        LIKELIHOODS[name]().log_prob(x, m, log_scale).sum().backward()
        assert log_scale.grad is not None
        assert abs(log_scale.grad.item()) < 1e-9


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_gradients(name: str) -> None:
    values = torch.nn.functional.one_hot(torch.tensor([0, 1]), 3).double()
    parameters = (draws(2, 3) + 3).requires_grad_()  # Laplace has a corner where both are equal
    log_scale = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    likelihood = LIKELIHOODS[name]()
    if likelihood.standard:
        assert gradcheck(lambda p, s: likelihood.log_prob(values, p, s), (parameters, log_scale))
    else:
        assert gradcheck(lambda p: likelihood.log_prob(values, p, ZERO), (parameters,))


def test_expected_values() -> None:
    zeros = np.zeros((2, 4))
    assert (GaussianLikelihood().expect(zeros) == 0).all()
    assert (BernoulliLikelihood().expect(zeros) == 0.5).all()
    assert (CategoricalLikelihood().expect(zeros) == 0.25).all()


def test_names_and_bad_input() -> None:
    assert likelihood_of("laplace") == LaplaceLikelihood()
    mine = GaussianLikelihood(scale=0.5)
    assert likelihood_of(mine) is mine
    with pytest.raises(ConfigError, match="Did you mean 'gaussian'"):
        likelihood_of("gausian")
    with pytest.raises(ConfigError, match="GaussianLikelihood needs scale > 0"):
        GaussianLikelihood(scale=0.0)
    with pytest.raises(ConfigError, match="each=True"):
        LaplaceLikelihood(scale=1.0, each=True)

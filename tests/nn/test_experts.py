from __future__ import annotations

import torch
from torch.distributions import Normal

from polymodal.nn import product_of_experts


def here(*flags):
    return torch.tensor(flags)


def test_posterior_of_noisy_observations():
    """z ~ N(0, 1) seen as 2 with variance 1/2 and as -1 with variance 1/4: precision 1 + 2 + 4, mean (4 - 4) / 7."""
    means = {"a": torch.tensor([[2.0]]), "b": torch.tensor([[-1.0]])}
    logs = {"a": torch.tensor([[0.5]]).log(), "b": torch.tensor([[0.25]]).log()}
    present = {"a": here(True), "b": here(True)}
    mean, log_variance = product_of_experts(means, logs, present)
    torch.testing.assert_close(mean, torch.tensor([[0.0]]))
    torch.testing.assert_close(log_variance.exp(), torch.tensor([[1 / 7]]))
    mean, log_variance = product_of_experts(means, logs, present, prior=False)
    torch.testing.assert_close(log_variance.exp(), torch.tensor([[1 / 6]]))


def test_the_density_is_the_product_up_to_a_constant():
    torch.manual_seed(0)
    means = {name: torch.randn(1, 1, dtype=torch.float64) for name in "abc"}
    logs = {name: torch.randn(1, 1, dtype=torch.float64) for name in "abc"}
    mean, log_variance = product_of_experts(means, logs, dict.fromkeys("abc", here(True)))
    z = torch.linspace(-3, 3, 7, dtype=torch.float64)
    one = Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(z)
    product = one + sum(Normal(means[m], (logs[m] / 2).exp()).log_prob(z) for m in "abc")
    gap = product - Normal(mean, (log_variance / 2).exp()).log_prob(z)
    torch.testing.assert_close(gap, gap[:, :1].expand_as(gap))


def test_one_and_equal_experts():
    torch.manual_seed(0)
    m, v = torch.randn(4, 2), torch.randn(4, 2)
    every = torch.ones(4, dtype=torch.bool)
    mean, log_variance = product_of_experts({"a": m}, {"a": v}, {"a": every}, prior=False)
    torch.testing.assert_close(mean, m)
    torch.testing.assert_close(log_variance, v)
    twice = product_of_experts({"a": m, "b": m}, {"a": v, "b": v}, {"a": every, "b": every}, prior=False)
    torch.testing.assert_close(twice[0], m)
    torch.testing.assert_close(twice[1].exp(), v.exp() / 2)


def test_absent_experts_never_enter():
    m = torch.tensor([[1.0], [1.0]], requires_grad=True)
    poison = torch.tensor([[float("nan")], [3.0]], requires_grad=True)
    present = {"a": here(True, False), "b": here(False, False)}
    mean, log_variance = product_of_experts(
        {"a": m, "b": poison}, {"a": 0 * m, "b": 1e9 * poison}, present, prior=False
    )
    torch.testing.assert_close(mean, torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(log_variance, torch.zeros(2, 1))
    mean.sum().backward()
    torch.testing.assert_close(poison.grad.nan_to_num(0.0), torch.zeros(2, 1))

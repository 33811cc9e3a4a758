from __future__ import annotations

import pytest
import torch

from polymodal.core.errors import ConfigError
from polymodal.objectives import AugmentedLagrangian

# min |x - (2, 1)|^2 / 2 subject to x_1 + x_2 = 1 and x_1 = x_2: no freedom. One constraint: x = (1, 0), mu = 1.
AIM = torch.tensor([2.0, 1.0])


def objective(x: torch.Tensor) -> torch.Tensor:
    return (x - AIM).square().sum() / 2


def line(x: torch.Tensor) -> torch.Tensor:
    return (x.sum() - 1)[None]


def test_ascent_reaches_the_constrained_optimum() -> None:
    x = torch.zeros(2, requires_grad=True)
    method = AugmentedLagrangian(interval=20)
    optimizer = torch.optim.SGD([x], lr=0.05)
    for _ in range(1500):
        optimizer.zero_grad()
        method(objective(x), line(x)).backward()
        optimizer.step()
    torch.testing.assert_close(x.detach(), torch.tensor([1.0, 0.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(method.multiplier, torch.tensor([1.0]), atol=1e-4, rtol=0)


def test_descent_in_the_multiplier_diverges() -> None:
    """L + mu c with plain gradient descent in both: the optimum is a saddle, and mu runs away from it."""
    x, mu = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([x, mu], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (objective(x) + (mu * line(x)).sum()).backward()
        optimizer.step()
    assert line(x).abs().item() > 1e3
    assert mu.abs().item() > 1e3


def test_a_penalty_alone_misses_the_constraint() -> None:
    """rho/2 |c|^2 without a multiplier stops at c = 2 / (1 + 2 rho)."""
    x = torch.zeros(2, requires_grad=True)
    method = AugmentedLagrangian(interval=10**9)
    optimizer = torch.optim.SGD([x], lr=0.05)
    for _ in range(1000):
        optimizer.zero_grad()
        method(objective(x), line(x)).backward()
        optimizer.step()
    assert line(x).item() == pytest.approx(2 / 3, abs=1e-4)


def test_a_curved_constraint() -> None:
    """Nearest point of the unit circle to (3, 4): (0.6, 0.8), multiplier 2 (gradients (x - aim) and 2 x, c = |x|^2 - 1)."""
    aim = torch.tensor([3.0, 4.0])
    x = torch.tensor([1.0, 0.0], requires_grad=True)
    method = AugmentedLagrangian(interval=50)
    optimizer = torch.optim.SGD([x], lr=0.01)
    for _ in range(2500):
        optimizer.zero_grad()
        method((x - aim).square().sum() / 2, (x.square().sum() - 1)[None]).backward()
        optimizer.step()
    torch.testing.assert_close(x.detach(), torch.tensor([0.6, 0.8]), atol=1e-4, rtol=0)
    assert method.multiplier.item() == pytest.approx(2, abs=1e-3)


def test_the_penalty_grows_only_where_the_violation_does_not_fall() -> None:
    method = AugmentedLagrangian(interval=1, shrink=0.5)
    zero = torch.tensor(0.0)
    for violation, rho in [(1.0, 1.0), (0.4, 1.0), (0.4, 2.0), (0.1, 2.0), (1e-5, 2.0), (1e-5, 2.0)]:
        method(zero, torch.tensor([violation]))
        assert method.penalty.item() == rho
    assert method.multiplier.item() == pytest.approx(1 + 0.4 + 0.4 + 0.2, abs=1e-4)


def test_evaluation_moves_nothing_and_state_travels() -> None:
    method = AugmentedLagrangian(2, interval=1).eval()
    constraints = torch.tensor([1.0, -2.0])
    assert method(torch.tensor(3.0), constraints).item() == 3 + 5 / 2
    assert method(torch.tensor(3.0), constraints * 0).item() == 3
    assert not method.multiplier.any()
    method.train()(torch.tensor(0.0), constraints)
    again = AugmentedLagrangian(2)
    again.load_state_dict(method.state_dict())
    assert again.multiplier.tolist() == [1.0, -2.0]
    assert not list(method.parameters())


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="AugmentedLagrangian needs"):
        AugmentedLagrangian(penalty=0)

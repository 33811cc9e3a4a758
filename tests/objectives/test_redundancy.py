from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.objectives import (
    AdversarialPenalty,
    ClubPenalty,
    NceClubPenalty,
    decorrelation_loss,
    reverse_gradient,
)
from polymodal.training import seeded

KINDS = (ClubPenalty, NceClubPenalty, AdversarialPenalty)


@pytest.fixture(autouse=True)
def _seed():
    with seeded(0):
        yield


def keep_up(network: nn.Module, a: torch.Tensor, b: torch.Tensor, *, steps: int) -> None:
    """Train the network on parts that stay as they are."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        network(a, b).fit.backward()
        optimizer.step()
        rates.step()
    network.zero_grad()


def test_club_of_correlated_normals() -> None:
    """r = 0.6: r^2 / (1 - r^2) = 0.5625, above the mutual information of 0.2231 nats."""
    a = torch.randn(4000, 1)
    b = 0.6 * a + 0.8 * torch.randn(4000, 1)
    club = ClubPenalty(1, 1, width=16)
    keep_up(club, a, b, steps=150)
    found = club(a, b)
    assert found.penalty.item() == pytest.approx(0.5625, abs=0.07)
    assert found.fit.item() == pytest.approx(
        0.5 * torch.log(torch.tensor(2 * torch.pi * 0.64)).item() + 0.5, abs=0.05
    )
    shuffled = club(a, b[torch.randperm(4000)]).penalty.item()
    assert abs(shuffled) < 0.25


def test_club_of_moments_equals_all_pairs() -> None:
    a, b = torch.randn(7, 2), torch.randn(7, 3)
    club = ClubPenalty(2, 3, width=4)
    mean, log_variance = club._normal(club.layers(a))
    squares = (b[None] - mean[:, None]).square() / log_variance.exp()[:, None]  # (i, j, q)
    logs = -squares.sum(2) / 2  # what depends on i alone cancels
    torch.testing.assert_close(club(a, b).penalty, logs.diagonal().mean() - logs.mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_term_trains_its_own_side(kind) -> None:
    a, b = torch.randn(9, 2, requires_grad=True), torch.randn(9, 2, requires_grad=True)
    network = kind(2, 2, width=4)
    keep_up(network, a.detach(), a.detach(), steps=100)
    network(a, a * 0.5 + 0.1 * b).penalty.backward()
    assert all(p.grad is None for p in network.parameters())
    assert a.grad is not None
    assert a.grad.any()
    a.grad = b.grad = None
    network(a, b).fit.backward()
    assert all(p.grad is not None for p in network.parameters())
    assert a.grad is None
    assert b.grad is None


def test_nce_club_of_correlated_normals() -> None:
    """The Jeffreys divergence of joint and product: 0.5625 for r = 0.6, as CLUB."""
    penalty = NceClubPenalty(1, 1)
    optimizer = torch.optim.Adam(penalty.parameters(), lr=5e-3)
    for _ in range(250):
        a = torch.randn(256, 1)
        optimizer.zero_grad()
        penalty(a, 0.6 * a + 0.8 * torch.randn(256, 1)).fit.backward()
        optimizer.step()
    a = torch.randn(3000, 1)
    found = penalty(a, 0.6 * a + 0.8 * torch.randn(3000, 1))
    assert found.penalty.item() == pytest.approx(0.5625, abs=0.12)
    information = torch.log(torch.tensor(3000.0)).item() - found.fit.item()
    assert information == pytest.approx(0.2231, abs=0.06)


def test_nce_club_given_the_class() -> None:
    """a and b depend through the class alone: 0 given it. And each class by itself is a problem of its own."""
    classes = torch.arange(8) % 2
    a, b = torch.randn(8, 1), torch.randn(8, 1)
    penalty = NceClubPenalty(1, 1, n_classes=2, width=4)
    halves = [penalty.contrast(a[classes == k], b[classes == k], classes[classes == k]) for k in (0, 1)]
    torch.testing.assert_close(penalty.contrast(a, b, classes), sum(halves) / 2)
    single = penalty(a[:2], b[:2], torch.tensor([0, 1]))
    assert single.penalty.item() == pytest.approx(0)
    assert single.fit.item() == pytest.approx(0)


def test_the_opponents_gradient_is_the_reversed_one() -> None:
    torch.manual_seed(1)
    a = torch.randn(40, 2, requires_grad=True)
    b = a.detach() @ torch.randn(2, 3)
    opponent = AdversarialPenalty(2, 3, width=8)
    keep_up(opponent, a, b, steps=50)
    assert opponent(a, b).fit.item() < 1
    (mine,) = torch.autograd.grad(opponent(a, b).penalty, a)
    target = (b - b.mean(0)) / b.std(0, correction=0)
    (reversed_,) = torch.autograd.grad((target - opponent.layers(reverse_gradient(a))).square().mean(), a)
    torch.testing.assert_close(mine, reversed_)
    torch.testing.assert_close(opponent(a, 5 * b - 2).fit, opponent(a, b).fit)


def test_reverse_gradient() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [-1.5, -2.0]  # type: ignore[union-attr]


def overlap_left(penalty: nn.Module | None, weight: float = 1.0) -> float:
    """a = w . (s, u) wants w = (1, 1) and must not tell b = s^2, with which it is uncorrelated: share of s in a's variance at the end."""
    s, u = torch.randn(2, 200, 1)
    s, u = torch.cat([s, -s]), torch.cat([u, u])
    b = s.square()
    w = nn.Parameter(torch.ones(2))
    groups = [{"params": [w], "lr": 5e-3}]  # slower than the network, which has to keep up
    if penalty is not None:
        groups.append({"params": list(penalty.parameters()), "lr": 1e-2})
    optimizer = torch.optim.Adam(groups)
    for _ in range(250):
        optimizer.zero_grad()
        a = w[0] * s + w[1] * u
        loss = 0.05 * (w - 1).square().sum()
        if penalty is None:
            loss = loss + weight * decorrelation_loss(a, b)
        else:
            found = penalty(a, b)
            loss = loss + weight * found.penalty + found.fit
        loss.backward()
        optimizer.step()
    return float((w[0] ** 2 / w.square().sum()).detach())


def test_penalties_remove_what_correlation_does_not_see() -> None:
    assert overlap_left(None) == pytest.approx(0.5, abs=0.1)
    assert overlap_left(ClubPenalty(1, 1, width=16)) < 0.25
    assert overlap_left(NceClubPenalty(1, 1, width=16)) < 0.25
    assert overlap_left(AdversarialPenalty(1, 1, width=16)) < 0.25


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_and_constant_parts(kind) -> None:
    network = kind(2, 3)
    nothing = network(torch.zeros(0, 2), torch.zeros(0, 3))
    assert nothing.penalty.item() == nothing.fit.item() == 0
    constant = network(torch.ones(5, 2), torch.ones(5, 3))
    assert torch.isfinite(torch.stack(constant)).all()

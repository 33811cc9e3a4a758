"""Temporal cycle consistency: by hand on two frames, limits, invariances, gradients, and a training run that aligns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polymodal.core.errors import ModalityError
from polymodal.objectives import temporal_cycle_loss


def tensors(rng, n=6, m=8, d=3):
    return (torch.tensor(rng.normal(size=shape), requires_grad=True) for shape in [(n, d), (m, d)])


def test_two_frames_by_hand():
    # a = b = {0, 1} on a line, tau = 1: the neighbour of 0 is s = e^-1 / (1 + e^-1), that of 1 is 1 - s
    a = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    s = math.exp(-1) / (1 + math.exp(-1))
    odds = math.exp(-((1 - s) ** 2) + s**2)  # of returning to the other
    other = odds / (1 + odds)
    assert temporal_cycle_loss(a, a, form="classification").item() == pytest.approx(-math.log(1 - other))
    variance = other * (1 - other) + 1e-3
    by_hand = other**2 / variance + 0.5 * 0.1 * math.log(variance)
    assert temporal_cycle_loss(a, a, variance_weight=0.1).item() == pytest.approx(by_hand)


def test_equal_embeddings_know_nothing():
    a, b = torch.zeros(5, 2, dtype=torch.float64), torch.zeros(7, 2, dtype=torch.float64)
    assert temporal_cycle_loss(a, b, form="classification").item() == pytest.approx(math.log(5))
    variance = (25 - 1) / 12 + 1e-3
    expected = 2.0 / variance + 1e-3 / 2 * math.log(variance)  # the mean of (i - 2)^2 is 2
    assert temporal_cycle_loss(a, b).item() == pytest.approx(expected)


def test_a_sequence_with_itself_returns_as_temperature_falls(rng):
    a, _ = tensors(rng)
    losses = [
        temporal_cycle_loss(a, a, form="classification", temperature=t).item() for t in [1.0, 0.1, 1e-3]
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-9
    assert temporal_cycle_loss(a, a, temperature=1e-3).item() == pytest.approx(
        5e-4 * math.log(1e-3), rel=1e-6
    )


@pytest.mark.parametrize("form", ["regression", "classification"])
def test_invariances_and_gradient(rng, form):
    a, b = tensors(rng)
    loss = temporal_cycle_loss(a, b, form=form, temperature=2.0)
    turn = torch.tensor(np.linalg.qr(rng.normal(size=(3, 3)))[0])
    moved = temporal_cycle_loss(a @ turn + 100, b @ turn + 100, form=form, temperature=2.0)
    assert moved.item() == pytest.approx(loss.item(), rel=1e-9)
    shuffled = temporal_cycle_loss(a, b[torch.tensor(rng.permutation(8))], form=form, temperature=2.0)
    assert shuffled.item() == pytest.approx(loss.item(), rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda x, y: temporal_cycle_loss(x, y, form=form, temperature=2.0), (a, b)
    )


@pytest.mark.parametrize("form", ["regression", "classification"])
def test_what_two_sequences_share_returns_and_noise_does_not(rng, form):
    def curve(s):
        return torch.tensor(3 * np.stack([np.cos(3 * s), np.sin(5 * s), s], axis=1))

    a, b = curve(np.linspace(0, 1, 30)), curve(np.linspace(0, 1, 40) ** 1.5)
    x, y = torch.tensor(3 * rng.normal(size=(30, 3))), torch.tensor(3 * rng.normal(size=(40, 3)))
    losses = [temporal_cycle_loss(p, q, form=form, temperature=0.1).item() for p, q in [(a, b), (x, y)]]
    assert losses[0] < 0.5 * losses[1]
    # a gradient step on noise lowers the loss
    x.requires_grad_()
    loss = temporal_cycle_loss(x, y, form=form)
    loss.backward()
    assert temporal_cycle_loss((x - 1e-3 * x.grad).detach(), y, form=form) < loss


def test_one_frame_and_single_precision(rng):
    one = torch.zeros(1, 2)
    assert temporal_cycle_loss(one, torch.randn(4, 2), form="classification").item() == 0
    assert temporal_cycle_loss(one, torch.randn(4, 2)).dtype == torch.float32


def test_what_is_refused():
    a = torch.zeros(3, 2)
    with pytest.raises(ModalityError, match=r"a \(3, 2\) and b \(0, 2\)"):
        temporal_cycle_loss(a, torch.zeros(0, 2))
    with pytest.raises(ModalityError, match="temperature > 0"):
        temporal_cycle_loss(a, a, temperature=0.0)

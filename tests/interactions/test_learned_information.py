"""Bounds of mutual information by trained networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core.errors import ModalityError
from polymodal.information import MutualInformationMethod, gaussian_mutual_information, mutual_information
from polymodal.interactions import (
    CLUBUpperBound,
    ConditionalNormal,
    InfoNCELowerBound,
    MINELowerBound,
    NWJLowerBound,
    PairCritic,
)
from polymodal.training import Training

SHORT = Training(max_epochs=10, batch_size=64, learning_rate=4e-3, progress=False)
LONGER = Training(max_epochs=40, batch_size=64, learning_rate=1e-2, progress=False)
LOWER = (MINELowerBound, NWJLowerBound, InfoNCELowerBound)


def pair(rng: np.random.Generator, rho: float, n: int = 700) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)


@pytest.mark.parametrize("method", LOWER)
def test_lower_bounds_come_near_the_truth(rng: np.random.Generator, method: type) -> None:
    x, y = pair(rng, 0.8)
    found = mutual_information(x, y, method(hidden=32, training=SHORT))
    assert isinstance(method(), MutualInformationMethod)
    assert found.bound == "lower"
    assert found.value == pytest.approx(gaussian_mutual_information(0.8), abs=0.15)


@pytest.mark.parametrize("method", [*LOWER, CLUBUpperBound])
def test_nothing_is_found_where_there_is_nothing(rng: np.random.Generator, method: type) -> None:
    x, y = pair(rng, 0.0)
    assert mutual_information(x, y, method(hidden=32, training=SHORT)).value == pytest.approx(0, abs=0.05)


def test_club_lies_above(rng: np.random.Generator) -> None:
    x, y = pair(rng, 0.6, 1500)
    found = mutual_information(x, y, CLUBUpperBound(hidden=32, training=SHORT))
    assert found.bound == "upper"
    assert found.value == pytest.approx(0.36 / 0.64, abs=0.15)
    assert found.value > gaussian_mutual_information(0.6)
    assert str(found).startswith("mutual information <= ")


def test_infonce_never_passes_log_batch(rng: np.random.Generator) -> None:
    x = rng.normal(size=600)
    found = mutual_information(x, x, InfoNCELowerBound(hidden=32, evaluation_batch=8, training=LONGER))
    assert found.limit <= np.log(8)
    assert found.value <= found.limit
    assert found.value > 0.7 * found.limit


def test_the_same_seed_the_same_answer(rng: np.random.Generator) -> None:
    x, y = pair(rng, 0.5, 100)
    method = MINELowerBound(hidden=8, training=Training(max_epochs=1, progress=False))
    one, same, other = (mutual_information(x, y, method, random_state=s).value for s in (1, 1, 2))
    assert one == same != other


def test_critic_scores_all_pairs() -> None:
    torch.manual_seed(0)
    critic, x, y = PairCritic(2, 3, 8).double(), torch.randn(4, 2).double(), torch.randn(5, 3).double()
    scores = critic(x, y)
    assert scores.shape == (4, 5)
    torch.testing.assert_close(scores[1, 2], critic(x[1:2], y[2:3])[0, 0])
    assert torch.autograd.gradcheck(critic, (x.requires_grad_(), y.requires_grad_()))


def test_conditional_density_integrates_to_one() -> None:
    torch.manual_seed(0)
    q, x = ConditionalNormal(2, 1, 8).double(), torch.randn(3, 2).double()
    grid = torch.linspace(-30, 30, 6001).double()
    mass = q(x, grid[:, None]).exp().sum(1) * 0.01
    torch.testing.assert_close(mass, torch.ones(3).double(), atol=1e-6, rtol=0)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(20, 2), torch.randn(20, 3)
    for method in (*LOWER, CLUBUpperBound):
        network = method(hidden=8)._network(2, 3)
        method()._loss(network(x, y)).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in list(network.parameters())[:-1])


def test_degenerate_input_and_refusals(rng: np.random.Generator) -> None:
    x, y = pair(rng, 0.5, 60)
    quick = Training(max_epochs=1, progress=False)
    assert np.isfinite(mutual_information(np.ones(60), y, MINELowerBound(training=quick)).value)
    with pytest.raises(ModalityError, match="cannot condition"):
        mutual_information(x, y, MINELowerBound(training=quick), given=x)
    with pytest.raises(ModalityError, match="y needs numbers"):
        mutual_information(x, np.array(["a", "b"] * 30), MINELowerBound(training=quick))
    with pytest.raises(ModalityError, match="got 4 rows"):
        mutual_information(x[:4], y[:4], MINELowerBound(held_out=0.2, training=quick))
    with pytest.raises(ModalityError, match="0 < held_out < 1"):
        NWJLowerBound(held_out=1.0)

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.objectives import (
    cross_covariance_loss,
    decorrelation_loss,
    difference_loss,
    row_orthogonality_loss,
    subspace_loss,
)

PAIRS = (row_orthogonality_loss, cross_covariance_loss, difference_loss, subspace_loss)


def parts(rng: np.random.Generator, n: int = 12, p: int = 3, q: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(rng.normal(size=(n, p))), torch.from_numpy(rng.normal(size=(n, q)))


def test_rows(rng: np.random.Generator) -> None:
    a, b = parts(rng)
    lengths = a.norm(dim=1) * b.norm(dim=1)
    cosines = torch.nn.functional.cosine_similarity(a, b)
    assert row_orthogonality_loss(a, b).item() == pytest.approx((lengths * cosines.abs()).mean().item())
    z, nothing = a[:, :1], torch.zeros_like(a[:, :1])
    left, right = torch.cat([z, nothing], 1), torch.cat([nothing, z], 1)
    assert row_orthogonality_loss(left, right).item() == 0
    assert decorrelation_loss(left, right).item() == pytest.approx(1)  # the same information twice


def test_covariances_are_numpys(rng: np.random.Generator) -> None:
    a, b = parts(rng, q=2)
    expected = np.cov(a.T.numpy(), b.T.numpy(), bias=True)[:3, 3:]
    assert cross_covariance_loss(a, b).item() == pytest.approx((expected**2).sum())
    assert cross_covariance_loss(a + 5, 3 * b).item() == pytest.approx(9 * (expected**2).sum())
    unit_a, unit_b = (x / x.std(0, correction=0) for x in (a, b))
    assert cross_covariance_loss(unit_a, unit_b).item() == pytest.approx(decorrelation_loss(a, b).item())


def test_difference_loss_as_in_the_authors_program(rng: np.random.Generator) -> None:
    a, b = parts(rng, q=2)
    x, y = (v.numpy() - v.numpy().mean(0) for v in (a, b))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    published = np.square(x.T @ y).mean() * 6  # their mean over 3 x 2 entries
    assert difference_loss(a, b).item() == pytest.approx(published / len(a) ** 2)
    assert difference_loss(7 * a - 2, 0.1 * b).item() == pytest.approx(difference_loss(a, b).item())
    t = torch.tensor([[-2.0], [-1.0], [3.0]])
    assert difference_loss(t, -t).item() == pytest.approx(1)
    assert 0 <= difference_loss(a, a).item() <= 1


def test_subspaces(rng: np.random.Generator) -> None:
    """Columns within a map may be parallel; only the two spaces have to differ."""
    q, _ = torch.linalg.qr(torch.from_numpy(rng.normal(size=(6, 6))))
    assert subspace_loss(q[:, :3], q[:, 3:]).item() == pytest.approx(0, abs=1e-25)
    twice = q[:, [0, 0]]
    assert subspace_loss(twice, q[:, 1:]).item() == pytest.approx(0, abs=1e-25)
    angles = torch.tensor([0.3, 1.1], dtype=torch.float64)
    turned = q[:, :2] * angles.cos() + q[:, 2:4] * angles.sin()
    assert subspace_loss(q[:, :2], turned).item() == pytest.approx(angles.cos().square().sum().item())


@pytest.mark.parametrize("loss", PAIRS)
def test_gradients_and_no_rows(loss, rng: np.random.Generator) -> None:
    a, b = (x.requires_grad_() for x in parts(rng, n=6))
    assert torch.autograd.gradcheck(loss, (a, b))
    assert loss(a[:0], b[:0]).item() == 0

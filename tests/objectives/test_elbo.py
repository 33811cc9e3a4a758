from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from polymodal.objectives import divergence_terms, draw_normal, normal_divergence, normal_log_density


@pytest.fixture
def normals():
    generator = torch.Generator().manual_seed(0)
    return torch.randn((4, 6, 3), generator=generator, dtype=torch.float64)


def test_parity_with_torch(normals):
    m, v, n, w = normals
    p, q = (Independent(Normal(a, (b / 2).exp()), 1) for a, b in ((m, v), (n, w)))
    torch.testing.assert_close(normal_divergence(m, v, n, w), kl_divergence(p, q))
    standard = Independent(Normal(torch.zeros_like(m), torch.ones_like(m)), 1)
    torch.testing.assert_close(normal_divergence(m, v), kl_divergence(p, standard))
    torch.testing.assert_close(normal_log_density(n, m, v), p.log_prob(n))


def test_shifted_by_two():
    assert float(normal_divergence(torch.tensor([2.0]), torch.tensor([0.0]))) == pytest.approx(2.0)
    assert float(normal_divergence(torch.zeros(1), torch.tensor([math.log(4.0)]))) == pytest.approx(
        0.5 * (4 - 1 - math.log(4))
    )


def test_the_bound_is_the_likelihood_for_the_exact_posterior():
    """x = W z + noise, columns of W orthogonal, so the posterior is diagonal and the evidence is normal: N(0, W W' + s2 I)."""
    torch.manual_seed(0)
    W = torch.linalg.qr(torch.randn(5, 2, dtype=torch.float64))[0] * torch.tensor([1.5, 0.7])
    s2 = 0.3
    x = torch.randn(4, 2, dtype=torch.float64) @ W.T + s2**0.5 * torch.randn(4, 5, dtype=torch.float64)
    precision = 1 + W.square().sum(0) / s2
    mean, log_variance = x @ W / s2 / precision, -precision.log().expand(4, 2)
    exact = MultivariateNormal(torch.zeros(5, dtype=torch.float64), W @ W.T + s2 * torch.eye(5)).log_prob(x)

    def bound(mean, log_variance):
        """E log p(x | z) in closed form, less the divergence."""
        noise = torch.full_like(x, math.log(s2))
        blur = 0.5 * (log_variance.exp() @ W.square().T).sum(1) / s2
        return normal_log_density(x, mean @ W.T, noise) - blur - normal_divergence(mean, log_variance)

    torch.testing.assert_close(bound(mean, log_variance), exact)
    assert bool((bound(mean + 0.1, log_variance) < exact).all())
    assert bool((bound(mean, log_variance + 0.2) < exact).all())


def test_terms_add_up(normals):
    m, v, z, _ = normals
    terms = divergence_terms(z, m, v, n_rows=50)
    prior = normal_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
    torch.testing.assert_close(sum(terms), (normal_log_density(z, m, v) - prior).mean())
    one = divergence_terms(z[:, :1], m[:, :1], v[:, :1], n_rows=50)
    assert float(one.total_correlation) == pytest.approx(0, abs=1e-12)


def test_equal_rows_tell_nothing(normals):
    m, v, z, _ = normals
    terms = divergence_terms(z, m[:1].expand(6, 3), v[:1].expand(6, 3), n_rows=1)
    assert float(terms.rows) == pytest.approx(0, abs=1e-12)
    assert float(terms.total_correlation) == pytest.approx(0, abs=1e-12)


def test_total_correlation_of_a_normal():
    """Codes x + small noise with correlation r: -log(1 - r^2) / 2 nats, on a whole data set (N = n up to the constant bias)."""
    torch.manual_seed(0)
    n, r = 1500, 0.8
    x = torch.randn(n, 2, dtype=torch.float64)
    x[:, 1] = r * x[:, 0] + (1 - r**2) ** 0.5 * x[:, 1]
    v = torch.full_like(x, math.log(0.04))
    z = draw_normal(x, v)
    found = divergence_terms(
        z, x, v, n_rows=1
    ).total_correlation  # the whole data are the batch: no factor N to correct
    blurred = r / 1.04
    assert float(found) == pytest.approx(-0.5 * math.log(1 - blurred**2), abs=0.08)


def test_draws_have_mean_and_spread():
    torch.manual_seed(0)
    m = torch.full((20000, 1), 3.0)
    z = draw_normal(m, torch.full_like(m, math.log(0.25)))
    assert float(z.mean()) == pytest.approx(3, abs=0.02)
    assert float(z.std()) == pytest.approx(0.5, abs=0.02)


def test_gradients(normals):
    inputs = [t[:3, :2].clone().requires_grad_() for t in normals]
    assert torch.autograd.gradcheck(normal_divergence, inputs)
    assert torch.autograd.gradcheck(lambda z, m, v: sum(divergence_terms(z, m, v, n_rows=9)[1:]), inputs[:3])

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polymodal.core.errors import ModalityError
from polymodal.similarity import (
    RBF,
    Cosine,
    Euclidean,
    ExponentialDistance,
    ExponentialDot,
    Linear,
    Polynomial,
)

ALL = [
    Cosine(),
    Cosine(centre=True),
    Linear(),
    Polynomial(),
    ExponentialDot(2.0),
    ExponentialDistance(0.8),
    RBF(0.7),
    Euclidean(),
]
A, B = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])  # <a, b> = 1, |a - b|^2 = 13


@pytest.mark.parametrize(
    ("kernel", "truth"),
    [
        (Cosine(), 1 / math.sqrt(5 * 10)),
        (Cosine(centre=True), -1.0),
        (Linear(), 1.0),
        (Polynomial(degree=2, gain=3.0, offset=0.5), 3.5**2),
        (ExponentialDot(2.0), math.exp(0.5)),
        (ExponentialDistance(2.0), math.exp(-math.sqrt(13) / 8)),
        (RBF(2.0), math.exp(-13 / 8)),
        (Euclidean(), -math.sqrt(13)),
    ],
)
def test_known_values(kernel, truth):
    assert kernel(A, B)[0] == pytest.approx(truth, abs=1e-12)
    assert kernel.pairwise(A, B)[0, 0] == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("kernel", ALL)
def test_rows_are_the_diagonal_of_all_pairs_and_torch_agrees(kernel, rng):
    a, b = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    full = kernel.pairwise(a, b)
    np.testing.assert_allclose(kernel(a, b), np.diag(full), atol=1e-12)
    np.testing.assert_allclose(kernel.pairwise(torch.tensor(a), torch.tensor(b)).numpy(), full, atol=1e-12)
    np.testing.assert_allclose(kernel(torch.tensor(a), torch.tensor(b)).numpy(), np.diag(full), atol=1e-12)
    np.testing.assert_allclose(kernel.pairwise(b, a), full.T, atol=1e-12)


@pytest.mark.parametrize("kernel", ALL)
def test_gradients(kernel):
    torch.manual_seed(0)
    a = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kernel.pairwise, (a, b))
    assert torch.autograd.gradcheck(kernel, (a, b))


@pytest.mark.parametrize("kernel", ALL)
def test_equal_vectors_give_finite_gradients(kernel):
    a = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    (kernel(a, a.detach()).sum() + kernel.pairwise(a, a.detach()).sum()).backward()
    assert torch.isfinite(a.grad).all()


def test_cosine_ignores_length_and_a_zero_vector_has_none(rng):
    a, b = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    np.testing.assert_allclose(Cosine()(7 * a, 0.1 * b), Cosine()(a, b))
    assert Cosine()(np.zeros((1, 6)), a[:1])[0] == 0.0
    np.testing.assert_allclose(
        Cosine(centre=True)(a, b), [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    )


def test_relations_on_unit_vectors(rng):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 6, 4)))
    cosine = Cosine().pairwise(a, b)
    np.testing.assert_allclose(Linear().pairwise(a, b), cosine)
    np.testing.assert_allclose(Polynomial(degree=1, offset=0.0).pairwise(a, b), cosine)
    np.testing.assert_allclose(Euclidean().pairwise(a, b), -np.sqrt(2 - 2 * cosine), atol=1e-7)
    s = 0.6
    np.testing.assert_allclose(
        ExponentialDot(s).pairwise(a, b), RBF(math.sqrt(s)).pairwise(a, b) * math.exp(1 / s)
    )


def test_polynomial_is_an_inner_product_of_products(rng):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    lifted = [np.einsum("ni,nj->nij", x, x).reshape(3, -1) for x in (a, b)]
    np.testing.assert_allclose(Polynomial(degree=2, offset=0.0).pairwise(a, b), lifted[0] @ lifted[1].T)


def test_rbf_is_positive_definite_with_a_diagonal_of_ones(rng):
    K = RBF(1.5).pairwise(*(2 * (rng.standard_normal((20, 3)),)))
    assert np.linalg.eigvalsh(K).min() > 0
    np.testing.assert_array_equal(np.diag(K), 1.0)
    from sklearn.metrics.pairwise import rbf_kernel

    x = rng.standard_normal((5, 3))
    np.testing.assert_allclose(RBF(1.5).pairwise(x, x), rbf_kernel(x, gamma=1 / (2 * 1.5**2)))


def test_integers_are_taken_as_numbers_and_float32_stays():
    assert Linear()(np.array([[1, 2]]), np.array([[3, 4]]))[0] == 11
    assert Cosine()(A.astype(np.float32), B.astype(np.float32)).dtype == np.float32
    assert Cosine()(torch.tensor([[1, 0]]), torch.tensor([[1, 1]])).item() == pytest.approx(math.sqrt(0.5))


def test_wrong_input_is_named():
    with pytest.raises(ModalityError, match=r"\(1, 2\) and \(1, 3\)"):
        Linear().pairwise(A, np.ones((1, 3)))
    with pytest.raises(ValueError, match="RBF needs scale > 0, got 0"):
        RBF(0.0)
    with pytest.raises(ValueError, match="degree >= 1"):
        Polynomial(degree=0)

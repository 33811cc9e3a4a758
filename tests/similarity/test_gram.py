from __future__ import annotations

import numpy as np

from polymodal.similarity import RBF, Cosine, ExponentialDistance, Linear, Polynomial
from polymodal.similarity._gram import centred, gram, median_width


def test_gram_is_the_kernel_between_all_rows(rng):
    a, b = rng.standard_normal((9, 4)) + 100, rng.standard_normal((6, 4)) + 100
    for kernel in (RBF(1.7), Linear(), Polynomial(2), Cosine(), ExponentialDistance(2.0)):
        np.testing.assert_allclose(gram(kernel, a, b), kernel.pairwise(a, b), rtol=1e-10)


def test_median_width():
    points = np.array([[0.0], [1.0], [3.0], [3.0]])  # distances 1 3 3 2 2 and one 0, which does not count
    assert median_width(points) == 2.0
    assert median_width(np.ones((4, 2))) == 0.0


def test_centring_is_subtracting_the_mean_feature(rng):
    x = rng.standard_normal((8, 3)) + 5
    K = centred(x @ x.T)
    z = x - x.mean(axis=0)
    np.testing.assert_allclose(K, z @ z.T, atol=1e-12)
    np.testing.assert_allclose(centred(K), K, atol=1e-12)
    np.testing.assert_allclose(K.sum(axis=0), 0, atol=1e-12)

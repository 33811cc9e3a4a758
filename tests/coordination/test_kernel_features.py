from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination import NystroemFeatures, RandomFourierFeatures
from polymodal.coordination._kernel_features import (
    MappedStore,
    check_positive,
    check_varies,
    has_unbounded_rank,
    kernel_of,
    mapped,
)
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.similarity import (
    RBF,
    Cosine,
    Euclidean,
    ExponentialDistance,
    ExponentialDot,
    Linear,
    Polynomial,
)
from polymodal.similarity._gram import centred


@pytest.mark.parametrize("kernel", [RBF(1.5), ExponentialDistance(1.2)])
def test_fourier_features_estimate_the_kernel(rng, kernel):
    x = rng.standard_normal((20, 3))
    features = RandomFourierFeatures.draw(kernel, 3, 20_000, random_state=0)
    phi = features(x)
    assert phi.shape == (20, features.n_features)
    np.testing.assert_allclose((phi**2).sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(phi @ phi.T, kernel.pairwise(x, x), atol=5 / np.sqrt(10_000))


def test_fourier_features_are_unbiased_with_the_stated_error(rng):
    x = rng.standard_normal((2, 3))
    truth = RBF(1.0).pairwise(x, x)[0, 1]
    estimates = [
        (phi := RandomFourierFeatures.draw(RBF(1.0), 3, 40, random_state=seed)(x))[0] @ phi[1]
        for seed in range(400)
    ]
    assert np.std(estimates) <= 1 / np.sqrt(20)
    assert abs(np.mean(estimates) - truth) < 4 * np.std(estimates) / np.sqrt(400)


def test_single_precision_in_single_precision_out(rng):
    x = rng.standard_normal((5, 3))
    features = RandomFourierFeatures.draw(RBF(1.0), 3, 11, random_state=0)
    assert features.n_features == 12  # rounded up to pairs
    assert features(x.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(features(x.astype(np.float32)), features(x), atol=1e-5)


def test_fourier_features_exist_for_some_kernels_only():
    with pytest.raises(ConfigError, match="Polynomial.*nystroem"):
        RandomFourierFeatures.draw(Polynomial(2), 3, 10)


@pytest.mark.parametrize("kernel", [RBF(1.5), Linear(), Polynomial(2)])
def test_nystroem_is_exact_between_landmarks_and_everything(rng, kernel):
    x = rng.standard_normal((30, 3))
    landmarks = np.vstack([x[:12], x[:3]])  # some stand twice
    features = NystroemFeatures.at(kernel, landmarks)
    phi = features(x)
    assert phi.shape[1] == features.n_features <= 12
    np.testing.assert_allclose(phi @ phi[:12].T, kernel.pairwise(x, x[:12]), atol=1e-6)


def test_nystroem_without_matrix_is_the_kernel(rng):
    x = rng.standard_normal((6, 3))
    features = NystroemFeatures(RBF(1.0), x[:4])
    assert features.n_features == 4
    np.testing.assert_allclose(features(x), RBF(1.0).pairwise(x, x[:4]), atol=1e-12)


def test_a_mapped_column_computes_when_asked(rng):
    x = rng.standard_normal((6, 3))
    features = NystroemFeatures.at(RBF(1.0), x[:4])
    column = mapped(Modality(x, np.array([0, 5, -1])), features)
    assert column.kind == "vector"
    assert column.shape == (features.n_features,)
    assert len(column.store) == 6
    np.testing.assert_allclose(column.observed(), features(x[[0, 5]]))
    single = MappedStore(x, RandomFourierFeatures.draw(RBF(1.0), 3, 4, random_state=0), "float32")
    assert single[[1, 2]].dtype == np.float32


def test_kernels_by_name():
    assert kernel_of("sound", "rbf") is None
    assert kernel_of("sound", {"sound": "cosine", "text": "rbf"}) == Cosine()
    assert kernel_of("sound", Polynomial(2)) == Polynomial(2)
    with pytest.raises(ConfigError, match="'sound'.*Did you mean 'sounds'"):
        kernel_of("sound", {"sounds": "rbf"})
    with pytest.raises(ConfigError, match="'rbff' for 'sound'.*Did you mean 'rbf'"):
        kernel_of("sound", "rbff")
    with pytest.raises(ConfigError, match=r"'precomputed' for 'sound'.*pairwise\(a, b\)"):
        kernel_of("sound", "precomputed")
    for wrong in (np.dot, RBF, 3):
        with pytest.raises(ConfigError, match="'sound'.*Wrap a function"):
            kernel_of("sound", wrong)


def test_kernels_that_are_not_positive_are_refused(rng):
    x = rng.standard_normal((10, 2))
    K = Euclidean().pairwise(x, x)
    check_positive("sound", Euclidean(), centred(K))  # conditionally positive: centring is enough
    with pytest.raises(ConfigError, match="Euclidean.*'sound'"):
        check_positive("sound", Euclidean(), K)


def test_which_kernels_have_gram_matrices_of_full_rank():
    assert all(map(has_unbounded_rank, (RBF(), ExponentialDistance(), ExponentialDot(), Euclidean())))
    assert not any(map(has_unbounded_rank, (Linear(), Polynomial(2), Cosine())))


def test_what_does_not_vary_is_named():
    check_varies("sound", 1.0, 1e6)
    with pytest.raises(ModalityError, match="'sound'"):
        check_varies("sound", 0.0, 0.0)

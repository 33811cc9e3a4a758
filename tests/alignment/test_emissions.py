"""Symbols and Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Categorical, Emission, Gaussian
from polymodal.alignment.emissions import dirichlet, first_labels, normalised
from polymodal.core.errors import ModalityError, NotFittedError


def test_categorical_looks_up_logarithms():
    p = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    found = Categorical(probabilities=p).log_likelihood(np.array([2, 0, -1]))
    np.testing.assert_allclose(np.exp(found), [[0, 0.7], [0.5, 0.1], [1, 1]])
    assert isinstance(Categorical(), Emission)
    assert isinstance(Gaussian(), Emission)


def test_categorical_refuses_what_it_does_not_know():
    emission = Categorical(probabilities=np.array([[0.5, 0.5]]))
    with pytest.raises(ModalityError, match="symbols 0 to 1, got 4"):
        emission.checked(np.array([0, 4]))
    with pytest.raises(ModalityError, match="whole numbers"):
        emission.checked(np.array([0.5]))
    with pytest.raises(ModalityError, match="sum to 1"):
        Categorical(probabilities=np.array([[0.5, 0.4]]))
    with pytest.raises(ModalityError, match="prior >= 0"):
        Categorical(prior=-1)


def test_categorical_maximum_is_the_share_of_counts():
    emission = Categorical(3, prior=1.0).started(np.array([0, 1, 2]), None, 2, np.random.default_rng(0))
    w = np.array([[1.0, 0.0], [1.0, 0.5], [0.0, 0.5]])
    fresh = emission.maximised(emission.statistics(np.array([0, 0, 1]), w))
    np.testing.assert_allclose(fresh.probabilities, [[3 / 5, 1 / 5, 1 / 5], [1.5 / 4, 1.5 / 4, 1 / 4]])


@pytest.mark.parametrize("covariance", ["diag", "full", "spherical", "tied"])
def test_gaussian_samples_have_its_moments(rng, covariance):
    shapes = {
        "diag": np.array([[1.0, 4.0]]),
        "full": np.array([[[2.0, 1.0], [1.0, 3.0]]]),
        "spherical": np.array([2.0]),
        "tied": np.array([[2.0, 1.0], [1.0, 3.0]]),
    }
    emission = Gaussian(covariance, means=np.array([[1.0, -1.0]]), covariances=shapes[covariance])
    x = emission.sample(np.zeros(40_000, dtype=np.int64), rng)
    truth = {"diag": np.diag([1.0, 4.0]), "spherical": 2 * np.eye(2)}.get(
        covariance, np.array([[2.0, 1.0], [1.0, 3.0]])
    )
    np.testing.assert_allclose(x.mean(0), [1, -1], atol=0.04)
    np.testing.assert_allclose(np.cov(x.T), truth, atol=0.1)


def test_gaussian_says_what_does_not_fit():
    with pytest.raises(ModalityError, match=r"floor in \(0, 1\]"):
        Gaussian(floor=0)
    with pytest.raises(ModalityError, match=r"shape \(2, 3\), got \(3, 2\)"):
        Gaussian(means=np.zeros((2, 3)), covariances=np.ones((3, 2)))
    with pytest.raises(ModalityError, match="infinite"):
        Gaussian().checked(np.array([np.inf]))
    with pytest.raises(ModalityError, match="give both"):
        Gaussian(means=np.zeros((2, 3)))
    with pytest.raises(NotFittedError, match="Gaussian has no parameters"):
        Gaussian().log_likelihood(np.zeros((2, 1)))


def test_starts_from_clusters(rng):
    x = np.vstack([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 9])
    labels = first_labels(Gaussian(), x, 2, rng)
    assert len(set(labels[:30])) == len(set(labels[30:])) == 1
    begun = Gaussian("full").started(x, labels, 2, rng)
    np.testing.assert_allclose(np.sort(begun.means[:, 0]), [0, 9], atol=0.5)
    assert first_labels(Categorical(), np.array([0, 1]), 2, rng) is None


def test_shares_of_counts():
    old = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        normalised(np.array([[1.0, 3.0, 5.0], [0.0, 0.0, 0.0]]), old), [[0.25, 0.75, 0], [1, 0, 0]]
    )
    assert dirichlet(np.array([0.5, 0.5, 0.0]), 2.0) == pytest.approx(4 * np.log(0.5))

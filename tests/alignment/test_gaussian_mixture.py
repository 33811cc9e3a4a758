"""Mixtures of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Gaussian, GaussianMixture, HiddenMarkovModel
from polymodal.core.errors import ModalityError


def test_components_all_alike_are_one_gaussian(rng):
    x = rng.normal(size=(10, 2))
    means, variances = rng.normal(size=(2, 2)), np.ones((2, 2))
    mixture = GaussianMixture(
        3,
        weights=rng.dirichlet(np.ones(3), size=2),
        components=Gaussian(means=np.repeat(means, 3, axis=0), covariances=np.ones((6, 2))),
    )
    one = Gaussian(means=means, covariances=variances)
    np.testing.assert_allclose(mixture.log_likelihood(x), one.log_likelihood(x))


def test_one_component_is_a_gaussian(rng):
    x = np.repeat(rng.normal(size=(6, 1)) * 4, 20, axis=0) + rng.normal(size=(120, 2))
    one = HiddenMarkovModel(3, emission=Gaussian(), random_state=0).fit(x)
    same = HiddenMarkovModel(3, emission=GaussianMixture(1), random_state=0).fit(x)
    assert same.score(x) == pytest.approx(one.score(x), rel=1e-3)


def test_density_sums_components():
    mixture = GaussianMixture(
        2,
        weights=np.array([[0.25, 0.75]]),
        components=Gaussian(means=np.array([[0.0], [2.0]]), covariances=np.ones((2, 1))),
    )
    truth = 0.25 * np.exp(-0.5) + 0.75 * np.exp(-0.5)
    assert mixture.log_likelihood(np.array([[1.0]]))[0, 0] == pytest.approx(
        np.log(truth / np.sqrt(2 * np.pi))
    )


@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_two_clumps_a_state_are_found_and_the_likelihood_never_falls(rng, covariance):
    states = np.repeat(rng.integers(0, 2, 40), 15)
    sign = rng.choice([-1.0, 1.0], size=600)
    x = np.stack([np.where(states == 0, 0.0, 8.0) + 1.5 * sign, np.zeros(600)], axis=1)
    x += rng.normal(size=x.shape) * 0.5
    model = HiddenMarkovModel(2, emission=GaussianMixture(2, covariance), random_state=1).fit(x)
    assert np.diff(model.history_).min() > -1e-7
    found = model.predict(x)[0]
    assert max((found == states).mean(), (found != states).mean()) > 0.98
    drawn = model.emission_.sample(np.zeros(2000, dtype=np.int64), rng)
    assert drawn[:, 0].std() == pytest.approx(np.sqrt(1.5**2 + 0.25), abs=0.1)


def test_wrong_parameters_are_refused():
    with pytest.raises(ModalityError, match="n_components >= 1"):
        GaussianMixture(0)
    with pytest.raises(ModalityError, match="4 Gaussians|needs 2"):
        GaussianMixture(
            2,
            weights=np.array([[0.5, 0.5]]),
            components=Gaussian(means=np.zeros((3, 1)), covariances=np.ones((3, 1))),
        )
    with pytest.raises(ModalityError, match="give both"):
        GaussianMixture(2, weights=np.array([[0.5, 0.5]]))

"""What all models share."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from polymodal import Ragged
from polymodal.alignment import Aligner, Categorical, Gaussian, HiddenMarkovModel, align
from polymodal.core.errors import ModalityError, NotFittedError


@pytest.fixture
def model():
    return HiddenMarkovModel.of(
        np.array([1.0, 0.0]),
        np.array([[0.9, 0.1], [0.1, 0.9]]),
        Gaussian(means=np.array([[0.0], [4.0]]), covariances=np.ones((2, 1))),
    )


def test_aligns_frames_with_states(model):
    x = np.repeat([0.0, 4.0, 0.0], 10)
    found = model.align(Ragged.of([x], rate=20.0))
    assert isinstance(model, Aligner)
    assert found.path[:, 1].tolist() == [0] * 10 + [1] * 10 + [0] * 10
    assert found.rate_a == 20.0
    assert (found.length_a, found.length_b) == (30, 2)
    np.testing.assert_allclose(found.coupling.toarray(), model.posteriors(x).values)
    assert -found.cost == pytest.approx(model.viterbi(x).log_probability[0])
    with pytest.raises(ModalityError, match="without b"):
        align(x, x, model)


def test_costs_from_elsewhere_take_the_place_of_densities(model):
    x = np.random.default_rng(0).normal(size=(20, 1)) * 3
    same = model.align_costs(-model.emission_.log_likelihood(x))
    np.testing.assert_array_equal(same.path, model.align(x).path)
    with pytest.raises(ModalityError, match=r"\(frames, 2\)"):
        model.align_costs(np.zeros((4, 3)))


def test_answers_keep_the_sequences(model):
    x = Ragged.of([np.zeros((3, 1)), np.ones((5, 1))], rate=10.0)
    assert model.posteriors(x).lengths.tolist() == [3, 5]
    assert model.predict(x).rate == 10.0
    assert model.score(x) == pytest.approx(model.log_likelihood(x).sum())
    np.testing.assert_allclose(model.log_likelihood([x[0], x[1]]), model.log_likelihood(x))


def test_not_fitted_and_wrong_frames_are_refused(model):
    with pytest.raises(NotFittedError, match="HiddenMarkovModel is not fitted"):
        HiddenMarkovModel(2).score(np.zeros(3))
    with pytest.raises(ModalityError, match="1 features a frame"):
        model.score(np.zeros((4, 2)))
    with pytest.raises(ModalityError, match="one sequence"):
        model.align([np.zeros(3), np.zeros(3)])


def test_clones_and_samples(model):
    assert clone(HiddenMarkovModel(3, emission=Categorical(4))).n_states == 3
    one, two = model.sample(50, 1), model.sample(50, 1)
    np.testing.assert_array_equal(one.frames, two.frames)
    assert one.states.shape == (50,)
    assert one.frames.shape == (50, 1)

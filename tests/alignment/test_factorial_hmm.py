"""Factorial models: exact against every path, the bound below, both fits monotone."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import FactorialHMM, Gaussian, HiddenMarkovModel
from polymodal.core.errors import ModalityError


def chain(rng, k):
    return rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k) * 2, size=k)


def made(rng, sizes=(2, 3), inference="auto"):
    root = rng.normal(size=(2, 2))
    return FactorialHMM.of(
        [chain(rng, k) for k in sizes], [2 * rng.normal(size=(k, 2)) for k in sizes], root @ root.T + np.eye(2), inference=inference
    )  # fmt: skip


def test_equal_to_every_path_of_all_chains(rng, every_state_path):
    model = made(rng)
    x = rng.normal(size=(4, 2))
    first, second = model.chains_
    pairs = [(i, j) for i in range(2) for j in range(3)]
    start = np.array([first.start[i] * second.start[j] for i, j in pairs])
    a = np.array([[first.transitions[i, u] * second.transitions[j, v] for u, v in pairs] for i, j in pairs])
    w = model.emission_.effects
    means = np.array([w[0][i] + w[1][j] for i, j in pairs])
    log_b = Gaussian("tied", means=means, covariances=model.emission_.covariance).log_likelihood(x)
    total, posteriors, _, best, score = every_state_path(start, a, log_b)
    assert model.log_likelihood(x)[0] == pytest.approx(total)
    np.testing.assert_allclose(
        model.chain_posteriors(x)[1].values, posteriors.reshape(4, 2, 3).sum(1), atol=1e-12
    )
    found = model.chain_paths(x)
    assert [pairs[s] for s in best] == list(zip(*(s.values for s in found.states), strict=True))
    assert found.log_probability[0] == pytest.approx(score)
    np.testing.assert_allclose(model.as_network().log_likelihood({"frames": x}), total)


def test_the_bound_is_below_and_tight_for_one_chain(rng):
    for sizes in ((2, 2), (3, 2, 2)):
        model = made(rng, sizes)
        x = [model.sample(40, rng).frames for _ in range(5)]
        gap = model.log_likelihood(x) - model.bound(x)
        assert (gap > 0).all()
        assert gap.max() < 40
    one = made(rng, (3,))
    x = [one.sample(40, rng).frames, one.sample(7, rng).frames]
    np.testing.assert_allclose(one.bound(x), one.log_likelihood(x), rtol=1e-10)


def test_chains_that_do_not_overlap_make_the_bound_tight(rng):
    """Each chain speaks in a feature of its own, so that the posterior factorises."""
    model = FactorialHMM.of(
        [chain(rng, 2), chain(rng, 2)], [np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 3.0]])], np.eye(2)
    )  # fmt: skip
    x = model.sample(60, rng).frames
    assert model.bound(x)[0] == pytest.approx(model.log_likelihood(x)[0], rel=1e-9)


@pytest.mark.parametrize("covariance", ["full", "diag"])
@pytest.mark.parametrize("inference", ["exact", "variational"])
def test_a_fit_never_loses(rng, inference, covariance):
    x = [made(rng).sample(60, rng).frames for _ in range(3)]
    model = FactorialHMM(
        (2, 2), inference=inference, covariance=covariance, max_iter=20, tol=0, random_state=0
    ).fit(x)
    assert np.diff(model.history_).min() > -1e-6
    assert model.history_[-1] > model.history_[0] + 1
    if covariance == "diag":
        assert model.emission_.covariance[0, 1] == 0


def test_one_chain_is_a_hidden_markov_model_with_a_tied_gaussian(rng):
    model = made(rng, (3,))
    plain = HiddenMarkovModel.of(
        model.chains_[0].start,
        model.chains_[0].transitions,
        Gaussian("tied", means=model.emission_.effects[0], covariances=model.emission_.covariance),
    )
    x = model.sample(50, rng).frames
    assert model.score(x) == pytest.approx(plain.score(x))
    np.testing.assert_array_equal(model.chain_paths(x).states[0].values, plain.predict(x).values)


@pytest.mark.parametrize("inference", ["exact", "variational"])
def test_two_switches_in_one_signal_are_recovered(rng, inference):
    """The sum of two square waves of unlike height: each chain finds one of them."""
    slow, fast = np.repeat(np.arange(20) % 2, 40), np.repeat(np.arange(80) % 2, 10)
    slow, fast = np.roll(slow, 3), np.roll(fast, 7)
    x = np.stack([3.0 * slow + 1.2 * fast, 1.0 * slow - 2.0 * fast], axis=1) + 0.3 * rng.normal(size=(800, 2))
    model = FactorialHMM((2, 2), inference=inference, n_init=6, max_iter=60, random_state=0).fit(x)
    paths = [s.values for s in model.chain_paths(x).states]
    shares = [max((p == t).mean(), (p != t).mean()) for p in paths for t in (slow, fast)]
    assert max(min(shares[0], shares[3]), min(shares[1], shares[2])) > 0.97


def test_variational_paths_are_as_probable_as_they_say_and_near_the_best(rng):
    exact = made(rng, (2, 2))
    same = made(np.random.default_rng(0), (2, 2), "variational")
    same.chains_, same.emission_ = exact.chains_, exact.emission_
    x = exact.sample(40, rng).frames
    best, found = exact.chain_paths(x), same.chain_paths(x)
    assert found.log_probability[0] <= best.log_probability[0] + 1e-9
    assert found.log_probability[0] > best.log_probability[0] - 6
    joint = np.ravel_multi_index([s.values for s in found.states], (2, 2))
    chain = exact._chain()
    truth = np.log(chain.start[joint[0]]) + np.log(chain.transitions[joint[:-1], joint[1:]]).sum()
    truth += exact.emission_.log_likelihood(x)[np.arange(40), joint].sum()
    assert found.log_probability[0] == pytest.approx(truth)


def test_many_chains_are_variational(rng):
    sizes = (2,) * 14  # 16,384 joint states
    x = rng.normal(size=(40, 3))
    model = FactorialHMM(sizes, max_iter=3, random_state=0).fit(x)
    assert np.isfinite(model.score(x))
    assert len(model.chain_posteriors(x)) == 14
    with pytest.raises(ModalityError, match="16384 joint states, too many"):
        model.posteriors(x)
    with pytest.raises(ModalityError, match="Use inference='variational'"):
        FactorialHMM(sizes, inference="exact").fit(x)


def test_wrong_parameters_are_refused(rng):
    with pytest.raises(ModalityError, match="n_states >= 1"):
        FactorialHMM(()).fit(np.zeros((3, 1)))
    with pytest.raises(ModalityError, match="effects of shapes"):
        FactorialHMM.of([chain(rng, 2)], [np.zeros((3, 1))], np.eye(1))
    with pytest.raises(ModalityError, match="2 features a frame"):
        made(rng).score(np.zeros((3, 5)))

"""Hidden Markov models: every path, monotone fits, known frozen numbers, recovery, topologies, missing frames."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.alignment import Categorical, Ergodic, Gaussian, HiddenMarkovModel, LeftToRight, Topology
from polymodal.core.errors import ModalityError


def coins():
    return HiddenMarkovModel.of(
        np.array([0.6, 0.4]),
        np.array([[0.7, 0.3], [0.4, 0.6]]),
        Categorical(probabilities=np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])),
    )


def test_published_numbers():
    """The weather example of the standard texts (walk, shop, clean): .033612, and the path sunny, rainy, rainy."""
    model, x = coins(), np.array([0, 1, 2])
    assert np.exp(model.log_likelihood(x)[0]) == pytest.approx(0.033612, abs=1e-9)
    best = model.viterbi(x)
    assert best.states[0].tolist() == [1, 0, 0]
    assert np.exp(best.log_probability[0]) == pytest.approx(0.01344, abs=1e-9)


def test_likelihood_posteriors_and_best_path_equal_every_path(rng, every_state_path):
    for k in (1, 2, 3):
        emission = Gaussian("full", means=rng.normal(size=(k, 2)), covariances=np.tile(np.eye(2), (k, 1, 1)))
        start, a = rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k), size=k)
        model, x = HiddenMarkovModel.of(start, a, emission), rng.normal(size=(5, 2))
        x[2] = np.nan
        total, posteriors, _, best, score = every_state_path(start, a, emission.log_likelihood(x))
        assert model.log_likelihood(x)[0] == pytest.approx(total, rel=1e-12)
        np.testing.assert_allclose(model.posteriors(x).values, posteriors, atol=1e-12)
        assert tuple(model.predict(x)[0]) == best
        assert model.viterbi(x).log_probability[0] == pytest.approx(score)


def test_one_step_of_baum_welch_is_the_expectation_over_every_path(rng, every_state_path):
    model, x = coins(), np.array([0, 2, 1, 1, 0])
    _, posteriors, pairs, _, _ = every_state_path(
        model.chain_.start, model.chain_.transitions, model.emission_.log_likelihood(x)
    )
    step = HiddenMarkovModel(2, emission=model.emission_, topology=model.topology, max_iter=1).fit(x)
    np.testing.assert_allclose(step.chain_.start, posteriors[0])
    np.testing.assert_allclose(step.chain_.transitions, pairs / pairs.sum(1, keepdims=True))
    symbols = np.array([[posteriors[x == s, k].sum() for s in range(3)] for k in range(2)])
    np.testing.assert_allclose(step.emission_.probabilities, symbols / symbols.sum(1, keepdims=True))


EMISSIONS = [*(Gaussian(c, prior=p) for c in ("diag", "full", "spherical", "tied") for p in (0.0, 5.0))]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("emission", EMISSIONS, ids=lambda e: f"{e.covariance}-{e.prior}")
def test_a_fit_never_loses(rng, emission, missing):
    x = [np.repeat(rng.normal(size=(6, 1)) * 2, 8, axis=0) + rng.normal(size=(48, 3)) for _ in range(4)]
    if missing:
        for s in x:
            s[rng.random(s.shape) < 0.2] = np.nan
            s[5] = np.nan
    model = HiddenMarkovModel(3, emission=emission, prior=0.5, max_iter=40, tol=0, random_state=0).fit(x)
    assert np.diff(model.history_).min() > -1e-7
    assert model.history_[-1] > model.history_[0]


def test_a_discrete_fit_never_loses_and_learns(rng):
    x = [coins().sample(200, rng).frames for _ in range(10)]
    model = HiddenMarkovModel(2, emission=Categorical(prior=0.1), n_init=3, max_iter=60, random_state=0).fit(
        x
    )
    assert np.diff(model.history_).min() > -1e-8
    assert model.score(x) > coins().score(x) - 1


def test_labels_are_recovered_from_samples(rng):
    means = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    a = np.full((3, 3), 0.05) + 0.85 * np.eye(3)
    truth = HiddenMarkovModel.of(
        np.full(3, 1 / 3), a, Gaussian(means=means, covariances=np.full((3, 2), 0.8))
    )
    drawn = [truth.sample(300, rng) for _ in range(5)]
    model = HiddenMarkovModel(3, random_state=0).fit([d.frames for d in drawn])
    order = [int(np.linalg.norm(model.emission_.means - m, axis=1).argmin()) for m in means]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(model.chain_.transitions[np.ix_(order, order)], a, atol=0.06)
    states = np.concatenate([d.states for d in drawn])
    found = model.predict([d.frames for d in drawn]).values
    assert (np.array(order)[states] == found).mean() > 0.97


def test_frozen_numbers_of_hmmlearn():
    """hmmlearn 0.3.3, GaussianHMM (diag, no priors), the same start: ten steps, log-likelihoods frozen."""
    rng = np.random.default_rng(7)
    x = np.repeat(rng.normal(size=(20, 2)) * 2, 10, axis=0) + rng.normal(size=(200, 2))
    start = HiddenMarkovModel.of(
        np.full(3, 1 / 3),
        np.full((3, 3), 0.1) + 0.7 * np.eye(3),
        Gaussian(
            means=np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), covariances=np.ones((3, 2)), floor=1e-9
        ),
    )
    model = HiddenMarkovModel(3, emission=start.emission_, topology=start.topology, max_iter=10, tol=0).fit(x)
    np.testing.assert_allclose([model.history_[0], model.history_[-1], model.score(x)], FROZEN, rtol=1e-9)


FROZEN = [-1029.4718823337976, -700.923953870198, -700.9094637623098]


def test_parity_with_hmmlearn():
    hmm = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(7)
    x = np.repeat(rng.normal(size=(20, 2)) * 2, 10, axis=0) + rng.normal(size=(200, 2))
    peer = hmm.GaussianHMM(3, "diag", covars_prior=0, covars_weight=1, init_params="", params="", tol=0)
    peer.startprob_, peer.transmat_ = np.full(3, 1 / 3), np.full((3, 3), 0.1) + 0.7 * np.eye(3)
    peer.means_, peer.covars_ = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.ones((3, 2))
    ours = HiddenMarkovModel.of(
        peer.startprob_, peer.transmat_, Gaussian(means=peer.means_, covariances=np.ones((3, 2)))
    )
    assert ours.score(x) == pytest.approx(peer.score(x), rel=1e-12)
    np.testing.assert_array_equal(ours.predict(x)[0], peer.predict(x))
    np.testing.assert_allclose(ours.posteriors(x)[0], peer.predict_proba(x), atol=1e-9)


def test_left_to_right_never_goes_back(rng):
    x = [np.repeat([0.0, 4.0, 8.0, 12.0], rng.integers(3, 9, 4)) + rng.normal(size=1) * 0.1 for _ in range(8)]
    x = [s + rng.normal(size=len(s)) * 0.5 for s in x]
    model = HiddenMarkovModel(4, topology=LeftToRight(), random_state=0).fit(x)
    a = model.chain_.transitions
    assert (a[np.tril_indices(4, -1)] == 0).all()
    assert (a[np.triu_indices(4, 2)] == 0).all()
    np.testing.assert_allclose(model.emission_.means[:, 0], [0, 4, 8, 12], atol=0.4)
    for s in x:
        states = model.predict(s)[0]
        assert states[0] == 0
        assert states[-1] == 3
        assert (np.diff(states) >= 0).all()
        assert (np.diff(states) <= 1).all()
    with pytest.raises(ModalityError, match="Sequence 0 has probability zero"):
        model.fit([np.zeros(3)])
    assert np.isneginf(model.log_likelihood(np.zeros(3))[0])
    with pytest.raises(ModalityError, match="probability zero"):
        model.align(np.zeros(3))


def test_skips_and_circles():
    a = LeftToRight(skip=1).chain(4).transitions
    np.testing.assert_allclose(a[0], [1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(LeftToRight(circular=True).chain(3).transitions[2], [0.5, 0, 0.5])
    assert LeftToRight(ends_anywhere=True).chain(3).end.tolist() == [1, 1, 1]
    assert isinstance(LeftToRight(), Topology)
    assert isinstance(Ergodic(), Topology)
    with pytest.raises(ModalityError, match="skip >= 0"):
        LeftToRight(skip=-1)
    with pytest.raises(ModalityError, match="stay in"):
        Ergodic(1.0)


def test_one_state_is_independent_frames(rng):
    x = rng.normal(size=(50, 2)) * [1, 3]
    model = HiddenMarkovModel(1).fit(x)
    truth = -0.5 * (np.log(2 * np.pi * x.var(0)) + 1).sum() * 50
    assert model.score(x) == pytest.approx(truth, rel=1e-9)


def test_a_missing_frame_is_summed_out():
    model = coins()
    each = [model.log_likelihood(np.array([0, s, 2]))[0] for s in range(3)]
    assert model.log_likelihood(np.array([0, -1, 2]))[0] == pytest.approx(np.logaddexp.reduce(each))


def test_known_states_are_the_maximum_after_one_step(rng):
    drawn = coins().sample(400, rng)
    model = HiddenMarkovModel(2, emission=Categorical(3), max_iter=2).fit(drawn.frames, drawn.states)
    counts = np.zeros((2, 2))
    np.add.at(counts, (drawn.states[:-1], drawn.states[1:]), 1)
    np.testing.assert_allclose(model.chain_.transitions, counts / counts.sum(1, keepdims=True))
    some = np.where(np.arange(400) % 10 == 0, drawn.states, -1)
    model = HiddenMarkovModel(2, emission=Categorical(3), random_state=0).fit(drawn.frames, some)
    assert np.diff(model.history_).min() > -1e-8
    with pytest.raises(ModalityError, match="states from 0 to 1"):
        model.fit(drawn.frames, drawn.states + 1)
    with pytest.raises(ModalityError, match="one whole number per frame"):
        model.fit(drawn.frames, drawn.states[:-1])


def test_collapse_is_kept_at_the_floor(rng):
    x = np.concatenate([rng.normal(size=60), np.full(40, 3.0)])  # forty frames alike
    model = HiddenMarkovModel(2, emission=Gaussian(floor=1e-2), random_state=0).fit(x)
    assert model.emission_.covariances.min() == pytest.approx(1e-2 * x.var())
    assert np.isfinite(model.score(x))


def test_restarts_keep_the_best(rng):
    x = [coins().sample(60, rng).frames for _ in range(4)]
    seeds = [HiddenMarkovModel(2, emission=Categorical(), random_state=s).fit(x).score(x) for s in range(3)]
    many = HiddenMarkovModel(2, emission=Categorical(), n_init=12, random_state=0).fit(x)
    assert many.score(x) >= max(seeds) - 0.5
    again = HiddenMarkovModel(2, emission=Categorical(), n_init=12, random_state=0).fit(x)
    assert again.score(x) == many.score(x)


def test_as_network_has_the_same_likelihood(rng):
    a = LeftToRight().chain(3)
    symbols = Categorical(probabilities=rng.dirichlet(np.ones(3), size=3))
    for model in (coins(), HiddenMarkovModel.of(a.start, a.transitions, symbols, end=a.end)):
        x = [np.array([0, 1, 2, 0]), np.array([2, 2, 1])]
        network = model.as_network()
        np.testing.assert_allclose(network.log_likelihood({"frames": x}), model.log_likelihood(x))


def test_probabilities_of_all_sequences_sum_to_one():
    model = coins()
    every = [np.array(s) for s in itertools.product(range(3), repeat=4)]
    assert np.exp(model.log_likelihood(every)).sum() == pytest.approx(1)


def test_bad_parameters_are_refused():
    with pytest.raises(ModalityError, match="n_states >= 1"):
        HiddenMarkovModel(0).fit(np.zeros(3))
    with pytest.raises(ModalityError, match="2 states, the emission parameters for 1|chain has 2"):
        HiddenMarkovModel.of(np.array([0.5, 0.5]), np.eye(2), Categorical(probabilities=np.array([[1.0]])))
    with pytest.raises(ModalityError, match="made for 3"):
        HiddenMarkovModel(3, topology=coins().topology).fit(np.zeros(3))

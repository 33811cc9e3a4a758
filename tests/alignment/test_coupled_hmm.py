"""Coupled chains against every path of both, and against what they reduce to."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Categorical, CoupledHMM, Gaussian, HiddenMarkovModel
from polymodal.core.errors import ModalityError


def emission(rng, k):
    return Gaussian(means=3 * rng.normal(size=(k, 1)), covariances=np.ones((k, 1)))


@pytest.fixture
def model(rng):
    return CoupledHMM.of(
        {"sound": rng.dirichlet(np.ones(3)), "lips": rng.dirichlet(np.ones(2))},
        {"sound": rng.dirichlet(np.ones(3), size=(2, 3)), "lips": rng.dirichlet(np.ones(2), size=(2, 3))},
        {"sound": emission(rng, 3), "lips": Categorical(probabilities=rng.dirichlet(np.ones(3), size=2))},
    )


def test_equal_to_every_path_of_both_chains(rng, model, every_state_path):
    x = {"sound": rng.normal(size=(4, 1)), "lips": rng.integers(0, 3, 4)}
    pairs = [(i, j) for i in range(2) for j in range(3)]  # lips, sound: in order of names
    a = np.array(
        [[model.tables_["lips"][p][q[0]] * model.tables_["sound"][p][q[1]] for q in pairs] for p in pairs]
    )
    start = np.array([model.starts_["lips"][i] * model.starts_["sound"][j] for i, j in pairs])
    lips = model.emissions_["lips"].log_likelihood(x["lips"])
    sound = model.emissions_["sound"].log_likelihood(x["sound"])
    log_b = np.array([[lips[t, i] + sound[t, j] for i, j in pairs] for t in range(4)])
    total, posteriors, _, best, score = every_state_path(start, a, log_b)
    assert model.log_likelihood(x)[0] == pytest.approx(total)
    np.testing.assert_allclose(model.posteriors(x).values, posteriors, atol=1e-12)
    found = model.viterbi(x)
    assert found.log_probability[0] == pytest.approx(score)
    chains = model.by_chain(found.states)
    assert [pairs[s] for s in best] == list(zip(chains["lips"].values, chains["sound"].values, strict=True))
    np.testing.assert_allclose(
        model.chain_posteriors(x)["sound"].values, posteriors.reshape(4, 2, 3).sum(1), atol=1e-12
    )
    np.testing.assert_allclose(model.as_network().log_likelihood(x), model.log_likelihood(x))


def test_chains_that_look_at_themselves_alone_are_separate_models(rng):
    own = {n: rng.dirichlet(np.ones(2), size=2) for n in "ab"}
    tables = {
        "a": np.broadcast_to(own["a"][:, None, :], (2, 2, 2)),
        "b": np.broadcast_to(own["b"][None, :, :], (2, 2, 2)),
    }
    starts = {n: rng.dirichlet(np.ones(2)) for n in "ab"}
    emissions = {n: emission(rng, 2) for n in "ab"}
    x = {n: rng.normal(size=(30, 1)) for n in "ab"}
    coupled = CoupledHMM.of(starts, tables, emissions)
    alone = sum(HiddenMarkovModel.of(starts[n], own[n], emissions[n]).score(x[n]) for n in "ab")
    assert coupled.score(x) == pytest.approx(alone)
    first = HiddenMarkovModel.of(starts["a"], own["a"], emissions["a"]).score(x["a"])
    assert coupled.score({"a": x["a"]}) == pytest.approx(first)  # the other stream not given


def test_one_stream_is_a_hidden_markov_model(rng):
    x = np.repeat(rng.normal(size=(8, 1)) * 4, 10, axis=0) + rng.normal(size=(80, 1))
    begun = emission(rng, 2)
    coupled = CoupledHMM({"a": begun}, max_iter=8, tol=0).fit({"a": x})
    plain = HiddenMarkovModel(2, emission=begun, max_iter=8, tol=0).fit(x)
    np.testing.assert_allclose(coupled.history_, plain.history_)


def test_a_fit_never_loses_and_finds_who_leads(rng):
    """b does at each frame what a did at the one before; a moves by itself."""
    lead = (
        HiddenMarkovModel.of(
            np.array([0.5, 0.5]), np.array([[0.7, 0.3], [0.3, 0.7]]), Categorical(probabilities=np.eye(2))
        )
        .sample(1500, rng)
        .states
    )
    follow = np.concatenate([[0], np.where(rng.random(1499) < 0.95, lead[:-1], 1 - lead[:-1])])
    data = {
        "a": 4.0 * lead[:, None] + rng.normal(size=(1500, 1)),
        "b": 4.0 * follow[:, None] + rng.normal(size=(1500, 1)),
    }
    model = CoupledHMM({"a": Gaussian(), "b": Gaussian()}, prior=0.1, random_state=0, tol=0, max_iter=30).fit(
        data
    )
    assert np.diff(model.history_).min() > -1e-7
    tables = model.tables_
    of_a = abs(tables["b"][0] - tables["b"][1]).mean()  # what a said before decides b ...
    of_b = abs(tables["b"][:, 0] - tables["b"][:, 1]).mean()
    assert of_a > 0.85
    assert of_b < 0.1
    assert abs(tables["a"][:, 0] - tables["a"][:, 1]).mean() < 0.1  # ... and b says nothing of a


def test_wrong_parameters_are_refused(rng, model):
    with pytest.raises(ModalityError, match="table of stream 'a' must have shape"):
        CoupledHMM.of({"a": np.ones(1)}, {"a": np.ones((1, 2))}, {"a": emission(rng, 1)})
    with pytest.raises(ModalityError, match="same streams"):
        CoupledHMM.of({"a": np.ones(1)}, {"b": np.ones((1, 1))}, {"a": emission(rng, 1)})
    with pytest.raises(ModalityError, match="up to 2048"):
        CoupledHMM({n: Gaussian() for n in "abcd"}, n_states=10).fit({n: np.zeros(3) for n in "abcd"})
    with pytest.raises(ModalityError, match=r"every stream \['a', 'b'\]"):
        CoupledHMM({"a": Gaussian(), "b": Gaussian()}).fit({"a": np.zeros(3)})
    with pytest.raises(ModalityError, match=r"Unknown streams \['sonud'\]"):
        model.score({"sonud": np.zeros(3)})

"""Several modalities of one state, each with its own noise."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Categorical, Gaussian, HiddenMarkovModel, Streams, learn_exponents
from polymodal.core.errors import ModalityError

A = np.full((3, 3), 0.05) + 0.85 * np.eye(3)


def gaussian(rng, spread=1.0, d=2):
    return Gaussian(means=rng.normal(size=(3, d)) * spread, covariances=np.ones((3, d)))


def test_exponents_of_one_are_features_side_by_side(rng):
    a, b = gaussian(rng), gaussian(rng)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    streams = HiddenMarkovModel.of(np.full(3, 1 / 3), A, Streams({"a": a, "b": b}))
    joined = Gaussian(means=np.hstack([a.means, b.means]), covariances=np.ones((3, 4)))
    plain = HiddenMarkovModel.of(np.full(3, 1 / 3), A, joined)
    assert streams.score({"a": x, "b": y}) == pytest.approx(plain.score(np.hstack([x, y])))
    fitted = HiddenMarkovModel(3, emission=Streams({"a": a, "b": b}), max_iter=5, tol=0).fit({"a": x, "b": y})
    same = HiddenMarkovModel(3, emission=joined, max_iter=5, tol=0).fit(np.hstack([x, y]))
    np.testing.assert_allclose(fitted.history_, same.history_)


def test_a_missing_stream_adds_nothing(rng):
    streams = Streams({"a": gaussian(rng), "b": Categorical(probabilities=rng.dirichlet(np.ones(4), size=3))})
    model = HiddenMarkovModel.of(np.full(3, 1 / 3), A, streams)
    x, y = rng.normal(size=(20, 2)), rng.integers(0, 4, 20)
    alone = HiddenMarkovModel.of(np.full(3, 1 / 3), A, streams.emissions["a"]).score(x)
    assert model.score({"a": x}) == pytest.approx(alone)
    assert model.score({"a": x, "b": np.full(20, -1)}) == pytest.approx(alone)
    off = HiddenMarkovModel.of(np.full(3, 1 / 3), A, Streams(streams.emissions, {"b": 0.0}))
    assert off.score({"a": x, "b": y}) == pytest.approx(alone)
    assert model.score({"b": y, "a": x * np.nan}) == pytest.approx(model.score({"b": y}))


def test_a_fit_of_streams_never_loses(rng):
    states = np.repeat(rng.integers(0, 3, 30), 10)
    x = rng.normal(size=(300, 2)) + 2 * states[:, None]
    y = np.where(rng.random(300) < 0.8, states, rng.integers(0, 3, 300))
    x[rng.random(300) < 0.2] = np.nan
    y[rng.random(300) < 0.2] = -1
    for exponents in (None, {"video": 0.5, "word": 1.5}):
        emission = Streams({"video": Gaussian(prior=1.0), "word": Categorical(prior=0.5)}, exponents)
        model = HiddenMarkovModel(3, emission=emission, random_state=0, tol=0, max_iter=25).fit(
            {"video": x, "word": y}
        )
        assert np.diff(model.history_).min() > -1e-7
    drawn = model.sample(5, 0).frames
    assert sorted(drawn) == ["video", "word"]


def test_learned_exponents_beat_the_better_stream_and_plain_concatenation(rng):
    """Two streams of unlike noise; that of the second has a memory, so that its frames are counted more than they say.

    Share of frames whose state is found, on 4,000 held-out frames: sound .747, lips .686, side by side .710, weighted .819.
    """
    truth = HiddenMarkovModel.of(
        np.full(3, 1 / 3), A, Gaussian(means=np.array([[0.0], [1.0], [2.0]]), covariances=np.ones((3, 1)))
    )

    def recorded(n):
        drawn = truth.sample(n, rng)
        noise = np.zeros((n, 8))  # eight features that share one slow disturbance
        slow = np.zeros(n)
        for t in range(1, n):
            slow[t] = 0.95 * slow[t - 1] + 0.2 * rng.normal()
        noise += slow[:, None] + 0.3 * rng.normal(size=(n, 8))
        return {"sound": drawn.frames, "lips": drawn.states[:, None] * 1.0 + noise}, drawn.states

    train, states = recorded(3000)
    held_out, known = recorded(4000)
    both = Streams({"sound": Gaussian(), "lips": Gaussian()})
    plain = HiddenMarkovModel(3, emission=both, max_iter=2, prior=1.0).fit(train, states)
    learned = learn_exponents(plain, *recorded(600))
    alone = {
        name: HiddenMarkovModel(3, emission=Gaussian(), max_iter=2, prior=1.0).fit(train[name], states)
        for name in train
    }
    share = {name: (m.predict(held_out[name])[0] == known).mean() for name, m in alone.items()}
    share["plain"] = (plain.predict(held_out)[0] == known).mean()
    share["learned"] = (learned.predict(held_out)[0] == known).mean()
    assert share["learned"] > 0.80
    assert share["learned"] > max(share["sound"], share["lips"], share["plain"]) + 0.05
    assert learned.emission_.exponents["lips"] < 0.2 < 0.8 < learned.emission_.exponents["sound"]


def test_the_gradient_that_learns_exponents_leads_to_the_maximum(rng):
    emission = Streams({"a": gaussian(rng), "b": gaussian(rng)})
    model = HiddenMarkovModel.of(np.full(3, 1 / 3), A, emission)
    drawn = model.sample(300, rng)
    learned = learn_exponents(model, drawn.frames, drawn.states)

    def conditional(a, b):
        other = HiddenMarkovModel.of(np.full(3, 1 / 3), A, Streams(emission.emissions, {"a": a, "b": b}))
        path = np.log(1 / 3) + np.log(A[drawn.states[:-1], drawn.states[1:]]).sum()
        path += other.emission_.log_likelihood(drawn.frames)[np.arange(300), drawn.states].sum()
        return path - other.score(drawn.frames)

    w = learned.emission_.exponents
    best = conditional(w["a"], w["b"])
    for da, db in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
        assert conditional(w["a"] + da, w["b"] + db) < best


def test_wrong_streams_are_named(rng):
    emission = Streams({"video": Gaussian(), "word": Categorical()})
    with pytest.raises(ModalityError, match=r"Unknown streams \['vidio'\].*Did you mean 'video'"):
        HiddenMarkovModel(2, emission=emission).fit({"vidio": np.zeros(3)})
    with pytest.raises(ModalityError, match=r"Every stream is needed.*\['video', 'word'\]"):
        HiddenMarkovModel(2, emission=emission).fit({"video": np.zeros(3)})
    with pytest.raises(ModalityError, match="Unknown stream 'words' among exponents"):
        Streams({"word": Categorical()}, {"words": 1.0})
    with pytest.raises(ModalityError, match="exponents >= 0"):
        Streams({"word": Categorical()}, {"word": -1.0})
    with pytest.raises(ModalityError, match="needs a model of Streams"):
        learn_exponents(HiddenMarkovModel(1).fit(np.zeros(4)), np.zeros(4), np.zeros(4, dtype=int))

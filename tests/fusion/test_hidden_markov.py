from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities, Ragged, load, save
from polymodal.alignment import Categorical, CoupledHMM, Gaussian, HiddenMarkovModel
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import GaussianMixtureFusion, HiddenMarkovFusion


def followers(n: int, seed: int, steps: int = 15) -> tuple[Modalities, np.ndarray]:
    """Two streams of coin flips; in class 1 the second repeats what the first did a step ago. Each alone tells nothing."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], n // 2)
    coins = rng.choice([-1.0, 1.0], size=(2, n, steps))
    coins[1, y == 1, 1:] = coins[0, y == 1, :-1]
    coins[1] *= np.where(rng.random((n, steps)) < 0.1, -1, 1)
    noisy = coins + 0.3 * rng.normal(size=coins.shape)
    return Modalities({name: Ragged.of(list(x[:, :, None])) for name, x in zip("ab", noisy, strict=True)}), y


def test_coupling_tells_what_no_stream_tells() -> None:
    data, y = followers(60, 0)
    held, truth = followers(200, 1)
    scores = {
        coupling: HiddenMarkovFusion(2, coupling=coupling).fit(data, y).score(held, truth)
        for coupling in ("coupled", "independent")
    }
    assert scores["coupled"] > 0.88
    assert scores["independent"] < 0.6
    joint = HiddenMarkovFusion(4, coupling="synchronous").fit(
        data, y
    )  # one chain of all pairs of states can say it too
    assert joint.score(held, truth) > 0.88


def test_a_missing_stream_is_integrated_out() -> None:
    data, y = followers(40, 2)
    model = HiddenMarkovFusion(2).fit(data, y)
    gone = data.without("b", slice(0, 5))
    alone = model.transform(data.select("a"))
    np.testing.assert_allclose(model.transform(gone)[:5], alone[:5], atol=1e-9)
    np.testing.assert_allclose(model.transform(gone)[5:], model.transform(data)[5:], atol=1e-9)
    mean, scale = model.scales_["a"]
    frames = (data["a"].store[0] - mean) / scale
    both = {"a": frames, "b": np.full_like(frames, np.nan)}
    said = [models["all"].log_likelihood(both)[0] for models in model.models_]
    expected = np.log(0.5) + np.array(said) - 15 * np.log(scale).sum()
    np.testing.assert_allclose(alone[0], expected, atol=1e-9)


def test_independent_is_the_sum_of_one_model_per_modality() -> None:
    data, y = followers(20, 3)
    model = HiddenMarkovFusion(2, coupling="independent").fit(data, y)
    by_hand = np.zeros((20, 2))
    for k, models in enumerate(model.models_):
        for name, own in models.items():
            mean, scale = model.scales_[name]
            frames = Ragged((data[name].store.values - mean) / scale, data[name].store.offsets)
            by_hand[:, k] += own.log_likelihood({name: frames}) - 15 * np.log(scale).sum()
    np.testing.assert_allclose(model.transform(data), np.log(0.5) + by_hand, atol=1e-10)


def test_units_do_not_matter() -> None:
    data, y = followers(20, 8)
    still = Ragged.of(
        [np.hstack([x, np.full_like(x, 3.0) if c else x**2]) for c, x in zip(y, data["a"].store, strict=True)]
    )  # a feature that is constant in one class
    data = data.assign({"a": still})
    small = data.assign({"a": Ragged(still.values * 1e-4 + 7, still.offsets)})
    plain, scaled = HiddenMarkovFusion().fit(data, y), HiddenMarkovFusion().fit(small, y)
    np.testing.assert_allclose(scaled.predict_proba(small), plain.predict_proba(data), atol=1e-5)
    np.testing.assert_allclose(
        scaled.transform(small), plain.transform(data) + 15 * 2 * np.log(1e4), rtol=1e-5
    )


def test_posterior_of_known_models_is_bayes_rule() -> None:
    data, y = followers(30, 4, steps=6)
    model = HiddenMarkovFusion(2).fit(data, y)
    known = []
    for k in (0, 1):
        follow = np.array([[0.9, 0.1], [0.1, 0.9]])
        b = np.broadcast_to(follow[:, None] if k else np.full((1, 1, 2), 0.5), (2, 2, 2))
        emission = Gaussian(means=np.array([[-1.0], [1.0]]), covariances=np.full((2, 1), 0.09))
        half = np.full(2, 0.5)
        tables = {"a": np.full((2, 2, 2), 0.5), "b": b}
        known.append(CoupledHMM.of({"a": half, "b": half}, tables, {"a": emission, "b": emission}))
    model.models_, model.scales_ = [{"all": m} for m in known], {}
    streams = {name: column.store for name, column in data.items()}
    density = np.exp(np.stack([m.log_likelihood(streams) for m in known], axis=1))
    expected = density / density.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(data), expected, atol=1e-10)


@pytest.mark.parametrize("coupling", ["coupled", "synchronous", "independent"])
def test_one_modality_is_one_hidden_markov_model(coupling: str) -> None:
    data, y = followers(20, 5)
    one = data.select("a")
    model = HiddenMarkovFusion(2, coupling=coupling, random_state=3).fit(one, y)
    rng = np.random.default_rng(3)
    for k in (0, 1):
        rows = Ragged.of([one["a"].store[i] for i in np.flatnonzero(y == k)])
        own = HiddenMarkovModel(
            2, emission=Gaussian(prior=1.0), prior=1.0, max_iter=50, random_state=rng
        ).fit(rows)
        expected = np.log(0.5) + own.log_likelihood(one["a"].store)
        np.testing.assert_allclose(model.transform(one)[:, k], expected, atol=1e-6)


@pytest.mark.parametrize("coupling", ["coupled", "synchronous", "independent"])
def test_one_state_and_one_step_is_the_gaussian_mixture(coupling: str, rng: np.random.Generator) -> None:
    y = np.tile([0, 1, 2], 20)
    data = {"a": rng.normal(size=(60, 2)) + y[:, None], "b": rng.normal(size=(60, 1)) * (1 + y[:, None])}
    # Gaussian spreads are relative to the frames of the class here, to all rows there: without prior they agree
    plain = {"a": Gaussian(), "b": Gaussian()}
    chains = HiddenMarkovFusion(1, coupling=coupling, emissions=plain).fit(data, y)
    np.testing.assert_allclose(
        chains.transform(data), GaussianMixtureFusion(prior=0.0).fit(data, y).transform(data), atol=1e-6
    )


def test_symbols_beside_numbers_and_sequences_of_all_lengths(tmp_path, rng: np.random.Generator) -> None:
    y = np.tile(["slow", "fast"], 15)
    lengths = rng.integers(1, 9, size=30)
    symbols = [rng.integers(3 if label == "fast" else 2, size=n) for n, label in zip(lengths, y, strict=True)]
    numbers = [rng.normal(size=(n, 2)) for n in lengths]
    data = Modalities({"symbols": Ragged.of(symbols), "numbers": Ragged.of(numbers)})
    emissions = {"symbols": Categorical(3, prior=0.5)}
    model = HiddenMarkovFusion({"symbols": 1, "numbers": 2}, emissions=emissions).fit(data, y)
    assert model.score(data, y) > 0.7
    rows = data.without("symbols", [0, 1])
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    np.testing.assert_allclose(model.transform(rows)[[0]], model.transform(rows[[0]]), atol=1e-12)


def test_what_every_class_forbids_is_left_to_the_prior() -> None:
    y = np.array([0, 0, 0, 1])
    data = {"s": Ragged.of([np.zeros(2, dtype=int)] * 4)}
    model = HiddenMarkovFusion(1, emissions={"s": Categorical(2)}).fit(data, y)
    np.testing.assert_allclose(
        model.predict_proba({"s": Ragged.of([np.ones(2, dtype=int)])}), [[0.75, 0.25]], atol=1e-6
    )


@pytest.mark.parametrize("coupling", ["coupled", "synchronous", "independent"])
def test_one_step_and_constant_modalities(coupling: str) -> None:
    y = np.array([0, 1])
    data = {"a": np.ones((2, 2)), "b": np.array([[0.0], [5.0]])}
    model = HiddenMarkovFusion(2, coupling=coupling).fit(data, y)
    assert np.isfinite(model.transform(data)).all()
    assert model.predict(data).tolist() == [0, 1]
    for histories in model.history_:
        assert all(np.all(np.diff(h) >= -1e-8) for h in histories.values())


def test_what_cannot_be_is_refused() -> None:
    data, y = followers(6, 7)
    with pytest.raises(ModalityError, match=r"no row of \[1\] has 'b'"):
        HiddenMarkovFusion().fit(data.without("b", y == 1), y)
    with pytest.raises(ConfigError, match="n_states must name every modality"):
        HiddenMarkovFusion({"a": 2}).fit(data, y)
    with pytest.raises(ConfigError, match="one whole number"):
        HiddenMarkovFusion({"a": 2, "b": 2}, coupling="synchronous").fit(data, y)
    with pytest.raises(ConfigError, match="at least 1"):
        HiddenMarkovFusion(0).fit(data, y)
    with pytest.raises(ModalityError, match="Unknown modalities"):
        HiddenMarkovFusion(emissions={"c": Gaussian()}).fit(data, y)
    with pytest.raises(ModalityError, match=r"Ragged\.of"):
        HiddenMarkovFusion().fit({"a": np.zeros((6, 3, 2))}, y)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError
from polymodal.encoders import MLPEncoder
from polymodal.fusion import JMVAE, MMVAE, MVAE, MoPoE
from polymodal.fusion._variational import log_prior
from polymodal.objectives import GaussianLikelihood
from polymodal.training import Training

SHORT = Training(max_epochs=1, batch_size=32, device="cpu", progress=False)
NOISE = 0.6


def linear(kind: Any, rng: np.random.Generator, *, names: str = "ab", prior_inside: bool = False) -> Any:
    """A model whose decoders are linear and whose experts are what each modality exactly says; data; exact log densities.

    Columns of each decoder are orthogonal, so that exact posteriors have diagonal covariances. `prior_inside`: each expert is the
    posterior of its modality, rather than its likelihood.
    """
    k, sizes = 2, {"a": 4, "b": 3, "c": 5}
    data = Modalities({name: rng.normal(3, 2, size=(12, sizes[name])) for name in names})
    model = kind(
        k,
        encoders={name: MLPEncoder(depth=0) for name in names},
        likelihoods={name: GaussianLikelihood(scale=NOISE) for name in names},
        training=SHORT,
        random_state=0,
    ).fit(data)
    module, maps, offsets = model.module_, [], []
    for name in names:
        W = np.linalg.qr(rng.normal(size=(sizes[name], k)))[0] * rng.uniform(0.5, 2, size=k)
        b = rng.normal(size=sizes[name])
        precision = (W**2).sum(axis=0) / NOISE**2
        read = W.T / NOISE**2 / (precision + prior_inside)[:, None]
        decoder = module.decoders[name].network.layers[0]
        encoder = module.towers[name].layers.layers[0]
        put(decoder, W, b)
        put(
            encoder,
            np.vstack([read, np.zeros_like(read)]),
            np.concatenate([-read @ b, -np.log(precision + prior_inside)]),
        )
        maps.append(W)
        offsets.append(b)

    def exact(part: str) -> np.ndarray:
        chosen = [names.index(name) for name in part]
        W, b = np.vstack([maps[i] for i in chosen]), np.concatenate([offsets[i] for i in chosen])
        decoders = [module.decoders[name] for name in part]
        standard = np.hstack(
            [(data[d].values() - m.mean) / m.scale for d, m in zip(part, decoders, strict=True)]
        )
        density = multivariate_normal(b, W @ W.T + NOISE**2 * np.eye(len(b))).logpdf(standard)
        return density - sum(np.log(m.scale).sum() for m in decoders)

    return model, data, exact


def put(layer: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


@pytest.mark.parametrize("part", ["a", "b", "ac", "abc"])
def test_the_bound_of_the_exact_posterior_is_the_log_density(part: str, rng: np.random.Generator) -> None:
    model, data, exact = linear(MVAE, rng, names="abc")
    for n_samples in (1, 5):
        found = model.bound(data.select(*part), n_samples=n_samples)
        np.testing.assert_allclose(found, exact(part), rtol=1e-5, atol=1e-5)


def test_the_product_of_exact_posteriors_is_the_exact_joint_posterior(rng: np.random.Generator) -> None:
    model, data, exact = linear(JMVAE, rng, names="abc", prior_inside=True)
    for part in ("a", "ac", "bc"):  # the joint encoder does not read these
        np.testing.assert_allclose(model.bound(data.select(*part)), exact(part), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [MVAE, MMVAE, MoPoE, JMVAE])
def test_more_draws_come_nearer_from_below(kind: Any, rng: np.random.Generator) -> None:
    model, data, exact = linear(kind, rng)
    with torch.no_grad():  # posteriors that are off
        for name in "ab":
            model.module_.towers[name].layers.layers[0].bias += 0.3
    rows = data[np.repeat(np.arange(12), 60)]
    truth = exact("ab").mean()
    gaps = [truth - model.bound(rows, n_samples=k).mean() for k in (1, 5, 50, 300)]
    assert gaps[0] > gaps[1] > gaps[2] > -0.02
    assert gaps[3] < 0.05 or gaps[3] < gaps[2] < gaps[1] / 2


@pytest.mark.parametrize("kind", [MMVAE, MoPoE])
def test_a_mixture_of_exact_posteriors_is_exact_for_one_modality(kind: Any, rng: np.random.Generator) -> None:
    model, data, exact = linear(kind, rng, prior_inside=True)
    np.testing.assert_allclose(model.bound(data.select("a")), exact("a"), rtol=1e-5, atol=1e-5)


def test_training_reaches_the_density_of_the_truth() -> None:
    draws = np.random.default_rng(0)
    W = {"a": draws.normal(size=(5, 2)), "b": draws.normal(size=(4, 2))}
    z = draws.normal(size=(600, 2))
    data = Modalities({name: z @ w.T + 0.5 * draws.normal(size=(600, len(w))) for name, w in W.items()})
    training = Training(max_epochs=30, batch_size=40, learning_rate=1e-2, device="cpu", progress=False)
    model = MVAE(
        2,
        encoders={name: MLPEncoder(depth=0) for name in W},
        likelihoods={name: GaussianLikelihood(each=True) for name in W},
        training=training,
        random_state=0,
    ).fit(data[:400])
    both = np.vstack([W["a"], W["b"]])
    held = np.hstack([data[400:]["a"].values(), data[400:]["b"].values()])
    truth = multivariate_normal(np.zeros(9), both @ both.T + 0.25 * np.eye(9)).logpdf(held).mean()
    apart = multivariate_normal(np.zeros(9), np.diag((both**2).sum(axis=1) + 0.25)).logpdf(held).mean()
    found = model.bound(data[400:], n_samples=50).mean()
    assert truth - 0.2 * (truth - apart) < found < truth + 0.05


def test_draws(rng: np.random.Generator) -> None:
    model, data, _ = linear(MVAE, rng)
    drawn = model.generate(data.select("a"), target="b", n_samples=400, random_state=0)
    assert drawn.shape == (400, 12, 3)
    np.testing.assert_allclose(  # a linear decoder: the mean over draws is what the mean gives
        drawn.mean(axis=0), model.generate(data.select("a"), target="b"), atol=0.6
    )
    assert drawn.std(axis=0).min() > 0.05
    again = model.generate(data.select("a"), target="b", n_samples=400, random_state=0)
    np.testing.assert_array_equal(drawn, again)
    with pytest.raises(ConfigError, match="n_samples"):
        model.generate(data, target="b", n_samples=0)


def test_samples_follow_the_prior_through_the_decoder(rng: np.random.Generator) -> None:
    model, _, _ = linear(MVAE, rng)
    rows = model.sample(4000, random_state=0)
    assert rows["a"].values().shape == (4000, 4)
    decoder = model.module_.decoders["a"]
    W = decoder.network.layers[0].weight.detach().numpy() * decoder.scale[:, None]
    np.testing.assert_allclose(np.cov(rows["a"].values().T), W @ W.T, atol=0.1 * (W @ W.T).max())
    np.testing.assert_array_equal(
        model.sample(5, random_state=1)["b"].values(), model.sample(5, random_state=1)["b"].values()
    )


def test_rescaling_weighs_small_modalities_up(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(12, 20)), "b": rng.normal(size=(12, 2))})
    model = MVAE(2, rescale=True, training=SHORT, random_state=0).fit(data)
    assert model.module_.weights == {"a": 1.0, "b": 10.0}
    assert MVAE(2, training=SHORT, random_state=0).fit(data).module_.weights == {"a": 1.0, "b": 1.0}


def test_log_prior() -> None:
    assert log_prior(torch.zeros(3, 2)).tolist() == pytest.approx([-np.log(2 * np.pi)] * 3)

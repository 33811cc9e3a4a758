from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.datasets import make_shared_private
from polymodal.encoders import MLPEncoder
from polymodal.fission import PrivateVAE, measure_disentanglement, part_scores
from polymodal.fission.private_vae import private_vae_loss, row_bounds
from polymodal.objectives import divergence_terms
from polymodal.training import Training, make_batch

LINEAR = {name: MLPEncoder(depth=0) for name in "ab"}


def fast(epochs, rate=1e-2, batch=64):
    return Training(
        max_epochs=epochs,
        batch_size=batch,
        learning_rate=rate,
        weight_decay=0.0,
        device="cpu",
        progress=False,
    )


@pytest.fixture(scope="module")
def linear():
    data, truth = make_shared_private(300, n_shared=2, n_private=2, noise=0.3, random_state=0)
    model = PrivateVAE(2, n_private=2, encoders=LINEAR, training=fast(40, 2e-2, 100), random_state=0)
    return data.data, truth, model.fit(data.data)


def test_planted_parts_are_found(linear):
    data, truth, model = linear
    found = part_scores(model.transform(data), {"shared": truth.shared, **truth.private})
    for part in found.parts:
        for factor in found.factors:
            if part == factor:
                assert found[part, factor] > 0.8
            else:
                assert found[part, factor] < 0.1


def test_bent_data():
    data, truth = make_shared_private(250, n_shared=1, n_private=1, nonlinearity="tanh", random_state=0)
    encoders = {name: MLPEncoder(width=32) for name in "ab"}
    model = PrivateVAE(1, n_private=1, encoders=encoders, training=fast(25, batch=100), random_state=0).fit(
        data.data
    )
    found = part_scores(
        model.transform(data.data), {"shared": truth.shared, **truth.private}, method="neighbours"
    )
    assert np.diag(found.r2).min() > 0.7
    assert (found.r2 - np.diag(np.diag(found.r2))).max() < 0.25


def exact_density(model, data):
    """Log density of the learned linear model, in the units of the data: x = b + W (s, p) + noise."""
    decoders, module = model.module_.decoders, model.module_
    k, q = model.n_shared, model.n_private
    rows, noise, means, scales = [], [], [], []
    for i, name in enumerate("ab"):
        layer = decoders[name].network.layers[0]
        W = np.zeros((len(layer.weight), k + 2 * q))
        W[:, :k] = layer.weight.detach()[:, :k]
        W[:, k + i * q : k + (i + 1) * q] = layer.weight.detach()[:, k:]
        rows.append(W)
        noise.append(np.full(len(W), float(module.noise(name).detach().exp())))
        scales.append(decoders.scales[name])
        means.append(layer.bias.detach().numpy() * scales[-1] + decoders.means[name])
    W, d, s = np.vstack(rows), np.hstack(noise), np.hstack(scales)
    covariance = torch.as_tensor((W @ W.T + np.diag(d)) * np.outer(s, s))
    x = torch.as_tensor(np.hstack([data["a"].values(), data["b"].values()]))
    return MultivariateNormal(torch.as_tensor(np.hstack(means)), covariance).log_prob(x).numpy()


def test_the_bound_is_below_the_exact_density_and_near(linear):
    data, _, model = linear
    exact, bound = exact_density(model, data), model.bounds(data, n_draws=64)
    assert bound.mean() < exact.mean()
    assert bound.mean() == pytest.approx(exact.mean(), abs=1.5)  # of 22 features
    assert model.score(data) == pytest.approx(bound.mean(), abs=0.1)


def test_a_plain_vae_is_entangled_where_nothing_sets_the_axes(rng):
    """Factors of equal variance, mixed by a rotation in the features: the coordinates of the shared part are not the factors."""
    z = rng.standard_normal((500, 2))
    W = np.linalg.qr(rng.standard_normal((8, 8)))[0][:2] * 4
    data = {name: z @ W + 0.5 * rng.standard_normal((500, 8)) for name in "ab"}
    model = PrivateVAE(2, n_private=1, encoders=LINEAR, training=fast(20, 2e-2, 100), random_state=0).fit(
        data
    )
    codes = model.transform(data)["shared"].values()
    assert part_scores({"shared": codes}, {"z": z})["shared", "z"] > 0.9
    found = measure_disentanglement(codes, z, importance="lasso")
    whole = measure_disentanglement(z, z, importance="lasso")
    assert whole.mig.gap > 0.8
    assert found.mig.gap < 0.5 * whole.mig.gap
    # the turn that undoes it, known here from the truth, brings the gap back
    Q = np.linalg.lstsq(codes - codes.mean(0), z, rcond=None)[0]
    U, _, Vt = np.linalg.svd(Q)
    assert measure_disentanglement(codes @ U @ Vt, z, importance="lasso").mig.gap > found.mig.gap + 0.2


def batch_of(model, data):
    frame = data.select(*sorted(data.names))
    return make_batch(frame, np.arange(len(frame)), model.module_.towers.collates)


def test_total_correlation_adds_its_term(linear):
    data, _, model = linear
    batch, module = batch_of(model, data), model.module_
    torch.manual_seed(0)
    plain = private_vae_loss(module, batch, beta=1.0, cross=0.0, total_correlation=0.0)
    torch.manual_seed(0)
    more = private_vae_loss(module, batch, beta=1.0, cross=0.0, total_correlation=3.0)
    torch.manual_seed(0)
    found = module.posterior(batch.columns)
    _, draws = row_bounds(module, batch.columns, found, [("a", "b")], 1.0)
    parts = [found.joint("a", "b"), found.private["a"], found.private["b"]]
    means, spreads = (torch.cat([p[i] for p in parts], dim=1) for i in (0, 1))
    codes = torch.cat([draws["shared"][0], draws["a"][0], draws["b"][0]], dim=1)
    wanted = 3 * divergence_terms(codes, means, spreads, n_rows=1).total_correlation / 22
    torch.testing.assert_close(more - plain, wanted, atol=1e-5, rtol=1e-4)


def test_less_evidence_is_less_sure(linear):
    """Each modality more raises the precision of the shared part; without any it is the prior."""
    data, _, model = linear
    with torch.no_grad():
        found = model.module_.posterior(batch_of(model, data).columns)
        both, one = found.joint("a", "b")[1], found.joint("a")[1]
    assert bool((both < one).all())
    assert bool((one < 0).all())


def test_a_large_beta_silences_the_codes():
    data, _ = make_shared_private(100, random_state=0)
    model = PrivateVAE(2, n_private=2, encoders=LINEAR, beta=100.0, training=fast(30), random_state=0)
    z = model.fit_transform(data.data)
    assert np.abs(z["shared"].values()).max() < 0.2


def test_bounds_of_rows_with_gaps(linear):
    data, _, model = linear
    patchy = Modalities(dict(data.items())).without("a", [0, 1]).without("b", [1])
    found = model.bounds(patchy)
    assert found[1] == 0
    assert np.isfinite(found).all()


def test_refusals():
    x = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(ConfigError, match="beta"):
        PrivateVAE(beta=-1.0).fit({"a": x, "b": x})

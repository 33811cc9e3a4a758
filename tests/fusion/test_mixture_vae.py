from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError
from polymodal.fusion import MMVAE
from polymodal.fusion._variational import log_prior
from polymodal.objectives import normal_log_density
from polymodal.training import Training
from polymodal.training.batches import make_batch

SHORT = Training(max_epochs=1, batch_size=32, device="cpu", progress=False)


def test_one_modality_is_a_variational_autoencoder(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(9, 3))})
    module = MMVAE(2, training=SHORT, random_state=0).fit(data).module_
    columns = make_batch(data, np.arange(9), module.towers.collates).columns
    torch.manual_seed(3)
    found = module.objective(columns)
    torch.manual_seed(3)
    means, spreads, _ = module.experts(columns)
    z = means["a"] + (spreads["a"] / 2).exp() * torch.randn(1, 1, 9, 2)[0, 0]
    decoder = module.decoders["a"]
    likelihood = decoder.log_prob(decoder(z), decoder.targets(columns["a"]))
    expected = likelihood + log_prior(z) - normal_log_density(z, means["a"], spreads["a"])
    torch.testing.assert_close(found, expected)


def test_the_code_is_the_mean_of_the_experts(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(9, 3)), "b": rng.normal(size=(9, 2))})
    model = MMVAE(2, training=SHORT, random_state=0).fit(data)
    a, b = (model.transform(data.select(name)) for name in "ab")
    np.testing.assert_allclose(model.transform(data), (a + b) / 2, atol=1e-6)
    np.testing.assert_allclose(model.transform(data.without("a", [1]))[1], b[1], atol=1e-6)


def test_more_draws_raise_the_objective(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(200, 3)), "b": rng.normal(size=(200, 2))}).without(
        "b", slice(0, 50)
    )
    module = MMVAE(2, training=SHORT, random_state=0).fit(data).module_
    columns = make_batch(data, np.arange(200), module.towers.collates).columns
    found = []
    for k in (1, 5, 25):
        module.n_samples = k
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(float(torch.stack([module.objective(columns).mean() for _ in range(10)]).mean()))
    assert found[0] < found[1] < found[2]


def test_bad_numbers(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="n_samples"):
        MMVAE(2, n_samples=0).fit({"a": rng.normal(size=(9, 3))})

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core.errors import ConfigError
from polymodal.datasets import make_shared_private
from polymodal.encoders import MLPEncoder
from polymodal.fission import AdversarialAutoencoder, part_scores
from polymodal.fission.adversarial_autoencoder import adversarial_autoencoder_loss
from polymodal.training import Training, make_batch

ENCODERS = {name: MLPEncoder(width=32) for name in "ab"}


def fast(epochs):
    return Training(max_epochs=epochs, batch_size=64, learning_rate=5e-3, device="cpu", progress=False)


def codes_of(model, data):
    z = model.fit_transform(data)
    return np.hstack([np.asarray(column.values()) for _, column in z.items()])


def test_codes_follow_the_prior_and_parts_are_found():
    data, truth = make_shared_private(300, n_shared=1, n_private=1, random_state=0)
    model = AdversarialAutoencoder(
        1, n_private=1, encoders=ENCODERS, adversary=0.3, training=fast(40), random_state=0
    )
    codes = codes_of(model, data.data)
    assert np.abs(codes.mean(axis=0)).max() < 0.4
    assert codes.std(axis=0) == pytest.approx(np.ones(3), abs=0.5)  # 0.4 without the game
    found = part_scores(
        model.transform(data.data), {"shared": truth.shared, **truth.private}, method="neighbours"
    )
    assert np.diag(found.r2).min() > 0.7
    assert model.score(data.data) > 0.7


def test_each_side_of_the_game_trains_its_own_parameters():
    data, _ = make_shared_private(50, random_state=0)
    model = AdversarialAutoencoder(2, n_private=1, encoders=ENCODERS, training=fast(1), random_state=0).fit(
        data.data
    )
    module = model.module_
    batch = make_batch(data.data, np.arange(50), module.towers.collates)

    def gradients(adversary):
        torch.manual_seed(0)
        module.zero_grad()
        adversarial_autoencoder_loss(module, batch, adversary=adversary, cross=0.0).backward()
        return {name: p.grad.clone() for name, p in module.named_parameters()}

    low, high = gradients(0.0), gradients(5.0)
    for name in low:
        changed = not torch.equal(low[name], high[name])
        assert changed == name.startswith("towers"), name


def test_refusals():
    x = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(ConfigError, match="adversary"):
        AdversarialAutoencoder(adversary=-1.0).fit({"a": x, "b": x})

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError
from polymodal.fusion import JMVAE
from polymodal.fusion.joint_vae import product_of_posteriors
from polymodal.objectives import normal_divergence
from polymodal.training import Training
from polymodal.training.batches import make_batch

SHORT = Training(max_epochs=1, batch_size=32, device="cpu", progress=False)


def test_one_posterior_is_itself_and_none_is_the_prior() -> None:
    mean, spread = torch.tensor([[0.5, 2.0]]), torch.tensor([[-1.0, -0.2]])
    here = torch.tensor([True])
    found = product_of_posteriors({"a": mean}, {"a": spread}, {"a": here})
    torch.testing.assert_close(found, (mean, spread))
    found = product_of_posteriors({"a": mean}, {"a": spread}, {"a": ~here})
    torch.testing.assert_close(found, (torch.zeros(1, 2), torch.zeros(1, 2)))


def test_precisions_add_less_the_prior() -> None:
    # x_m = z + noise of variance 1/2 and 1/4: posteriors N(2x/3, 1/3) and N(4x/5, 1/5); of both, precision 1 + 2 + 4
    x = {"a": torch.tensor([[0.3]]), "b": torch.tensor([[-1.0]])}
    means = {"a": 2 * x["a"] / 3, "b": 4 * x["b"] / 5}
    spreads = {"a": torch.tensor([[1 / 3]]).log(), "b": torch.tensor([[1 / 5]]).log()}
    present = {name: torch.tensor([True]) for name in "ab"}
    mean, spread = product_of_posteriors(means, spreads, present)
    assert mean.item() == pytest.approx((2 * 0.3 - 4 * 1.0) / 7)
    assert spread.exp().item() == pytest.approx(1 / 7)


def test_objective_by_hand(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(9, 3)), "b": rng.normal(size=(9, 2))}).without("b", [2])
    module = JMVAE(2, beta=2.0, alpha=0.7, training=SHORT, random_state=0).fit(data).module_
    columns = make_batch(data, np.arange(9), module.towers.collates).columns
    torch.manual_seed(3)
    found = module.objective(columns)
    torch.manual_seed(3)
    noise = torch.randn(9, 2)
    means, spreads, _ = module.experts(columns)
    mean, spread, complete = module.together(columns)
    assert complete.tolist() == [i != 2 for i in range(9)]
    a_mean, a_spread = product_of_posteriors(
        {"a": means["a"]}, {"a": spreads["a"]}, {"a": torch.ones(9, dtype=torch.bool)}
    )
    mean = torch.where(complete[:, None], mean, a_mean)
    spread = torch.where(complete[:, None], spread, a_spread)
    z = mean + (spread / 2).exp() * noise
    expected = -2.0 * normal_divergence(mean, spread)
    for name in "ab":
        decoder = module.decoders[name]
        has = torch.from_numpy(data[name].present)
        own = decoder.log_prob(decoder(z), decoder.targets(columns[name]))
        pulled = 0.7 * normal_divergence(mean, spread, means[name], spreads[name])
        expected = expected + torch.where(has, own, 0.0) - torch.where(complete, pulled, 0.0)
    torch.testing.assert_close(found, expected)


def test_complete_rows_are_read_together_and_others_by_their_own(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(9, 3)), "b": rng.normal(size=(9, 2))})
    model = JMVAE(2, training=SHORT, random_state=0).fit(data)
    holes = model.transform(data.without("b", [4]))
    np.testing.assert_allclose(holes[4], model.transform(data.select("a"))[4], atol=1e-6)
    whole = model.transform(data)
    np.testing.assert_allclose(np.delete(holes, 4, 0), np.delete(whole, 4, 0), atol=1e-6)
    columns = make_batch(data, np.arange(9), model.module_.towers.collates).columns
    np.testing.assert_allclose(whole, model.module_.together(columns)[0].detach(), atol=1e-6)


def test_single_encoders_are_drawn_to_the_joint_one(rng: np.random.Generator) -> None:
    z = rng.normal(size=(150, 2))
    data = Modalities({"a": z @ rng.normal(size=(2, 4)), "b": z @ rng.normal(size=(2, 3))})
    training = Training(max_epochs=15, batch_size=30, learning_rate=1e-2, device="cpu", progress=False)

    def apart(alpha: float) -> float:
        model = JMVAE(2, alpha=alpha, training=training, random_state=0).fit(data)
        return float(((model.transform(data.select("a")) - model.transform(data)) ** 2).mean())

    assert apart(1.0) < 0.1 < apart(0.0)


def test_bad_numbers(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="JMVAE needs alpha >= 0"):
        JMVAE(2, alpha=-1.0).fit({"a": rng.normal(size=(9, 3)), "b": rng.normal(size=(9, 2))})

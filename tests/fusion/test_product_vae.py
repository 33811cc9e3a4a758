from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError
from polymodal.fusion import MVAE
from polymodal.fusion.product_vae import sub_samples
from polymodal.nn import product_of_experts
from polymodal.objectives import normal_divergence
from polymodal.training import Training
from polymodal.training.batches import make_batch

SHORT = Training(max_epochs=1, batch_size=32, device="cpu", progress=False)


def test_what_the_terms_see() -> None:
    present = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True, False, True])}
    whole, a, b = sub_samples(present, 3)  # two modalities: no other parts
    assert whole == present
    assert a["a"].tolist() == [True, False, False]  # alone only where there are several
    assert not a["b"].any()
    assert b["b"].tolist() == [True, False, False]
    three = {name: torch.ones(50, dtype=torch.bool) for name in "abc"}
    parts = sub_samples(three, 2)
    assert len(parts) == 1 + 3 + 2
    drawn = torch.stack([parts[-1][name] for name in "abc"])
    assert drawn.any(dim=0).all()
    assert 0.3 < drawn.float().mean() < 0.9
    assert len(sub_samples({"a": three["a"]}, 2)) == 1


def test_the_posterior_is_the_product_and_one_alone_is_an_expert_with_the_prior(
    rng: np.random.Generator,
) -> None:
    data = Modalities({"a": rng.normal(size=(9, 3)), "b": rng.normal(size=(9, 2))})
    model = MVAE(2, training=SHORT, random_state=0).fit(data)
    batch = make_batch(data, np.arange(9), model.module_.towers.collates)
    means, spreads, present = model.module_.experts(batch.columns)
    expected = product_of_experts(means, spreads, present)[0]
    np.testing.assert_allclose(model.transform(data), expected.detach(), atol=1e-6)
    precision = (-spreads["a"]).exp()
    np.testing.assert_allclose(
        model.transform(data.select("a")), (means["a"] * precision / (1 + precision)).detach(), atol=1e-6
    )


def test_objective_by_hand(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(9, 3)), "b": rng.normal(size=(9, 2))}).without("b", [2])
    module = MVAE(2, beta=2.0, training=SHORT, random_state=0).fit(data).module_
    columns = make_batch(data, np.arange(9), module.towers.collates).columns
    torch.manual_seed(3)
    found = module.objective(columns)
    torch.manual_seed(3)
    noise = torch.randn(3, 9, 2)
    means, spreads, present = module.experts(columns)
    total = torch.zeros(9)
    for i, part in enumerate(("ab", "a", "b")):
        kept = {n: present[n] & (n in part) & (present["b"] | (part == "ab")) for n in "ab"}
        mean, spread = product_of_experts(means, spreads, kept)
        z = mean + (spread / 2).exp() * noise[i]
        total = total - 2.0 * normal_divergence(mean, spread)
        for name in part:
            decoder = module.decoders[name]
            own = decoder.log_prob(decoder(z), decoder.targets(columns[name]))
            total = total + torch.where(kept[name], own, 0.0)
    torch.testing.assert_close(found, total)


def test_bad_numbers(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="MVAE needs n_subsets"):
        MVAE(2, n_subsets=-1).fit({"a": rng.normal(size=(9, 3))})

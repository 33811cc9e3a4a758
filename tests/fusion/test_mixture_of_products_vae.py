from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.fusion import MVAE, MoPoE
from polymodal.fusion.mixture_of_products_vae import mixture_of_products
from polymodal.nn import product_of_experts
from polymodal.objectives import NormalMixture, normal_divergence
from polymodal.training import Training
from polymodal.training.batches import make_batch

SHORT = Training(max_epochs=1, batch_size=32, device="cpu", progress=False)


def experts(names: str = "abc") -> tuple[dict, dict, dict]:
    torch.manual_seed(0)
    means = {name: torch.randn(6, 2) for name in names}
    spreads = {name: torch.randn(6, 2) for name in names}
    return means, spreads, {name: torch.ones(6, dtype=torch.bool) for name in names}


def test_only_the_part_of_all_is_the_posterior_of_the_product() -> None:
    given = experts()
    found = mixture_of_products(*given, full=3, parts=["abc"])
    mean, spread = product_of_experts(*given)
    torch.testing.assert_close(found.means[0], mean)
    torch.testing.assert_close(found.log_variances[0], spread)
    assert found.means.shape == (1, 6, 2)


def test_only_single_modalities_are_the_mixture_of_experts() -> None:
    means, spreads, present = experts()
    found = mixture_of_products(means, spreads, present, full=3, parts=["a", "b", "c"])
    torch.testing.assert_close(found.means, torch.stack([means[n] for n in "abc"]))
    torch.testing.assert_close(found.log_variances, torch.stack([spreads[n] for n in "abc"]))


def test_parts_that_a_row_has_share_the_weight() -> None:
    means, spreads, present = experts()
    present["c"][2] = False
    found = mixture_of_products(means, spreads, present, full=3)
    assert len(found.means) == 7
    weights = found.log_weights.exp()
    torch.testing.assert_close(weights[:, 0], torch.full((7,), 1 / 7))
    # parts in order: a b c ab ac bc abc
    torch.testing.assert_close(weights[:, 2], torch.tensor([1, 1, 0, 1, 0, 0, 0]) / 3)
    a, b = (-spreads["a"]).exp(), (-spreads["b"]).exp()
    torch.testing.assert_close(found.means[3], (means["a"] * a + means["b"] * b) / (a + b))


def test_one_modality_equals_the_product(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(30, 3))})
    mine, other = (kind(2, training=SHORT, random_state=0).fit(data) for kind in (MoPoE, MVAE))
    assert mine.history_.loss == other.history_.loss
    np.testing.assert_array_equal(mine.transform(data), other.transform(data))


def test_the_mean_of_divergences_is_not_below_that_of_the_mixture() -> None:
    found = mixture_of_products(*experts(), full=3)
    draws = found.draw(4000)
    zeros = torch.zeros(1, 6, 2)
    prior = NormalMixture(zeros, zeros, torch.zeros(1, 6)).log_density(draws)
    mixture = (found.log_density(draws) - prior).mean(dim=0)
    components = (found.log_weights.exp() * normal_divergence(found.means, found.log_variances)).sum(dim=0)
    assert (components > mixture - 0.05).all()


def test_objective_by_hand(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(400, 3)), "b": rng.normal(size=(400, 2))})
    module = MoPoE(2, beta=0.5, training=SHORT, random_state=0).fit(data).module_
    columns = make_batch(data, np.arange(400), module.towers.collates).columns
    means, spreads, present = module.experts(columns)
    normals = [
        (means["a"], spreads["a"]),
        (means["b"], spreads["b"]),
        product_of_experts(means, spreads, present),
    ]
    torch.manual_seed(0)
    with torch.no_grad():
        expected = torch.zeros(())
        for mean, spread in normals:
            z = mean + (spread / 2).exp() * torch.randn(50, 400, 2)
            part = module.log_likelihood(z, columns).mean() - 0.5 * normal_divergence(mean, spread).mean()
            expected = expected + part / 3
        found = torch.stack([module.objective(columns).mean() for _ in range(50)]).mean()
    assert found.item() == pytest.approx(expected.item(), abs=0.05)


def test_too_many_modalities_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ModalityError, match="needs 1 to 10 modalities"):
        MoPoE(2).fit({f"m{i}": rng.normal(size=(9, 2)) for i in range(11)})

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import distributions, nn

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.encoders import ConvEncoder, Decoder, MLPEncoder, ModuleEncoder
from polymodal.encoders.decoders import build_decoder, prepare_decoders
from polymodal.nn.towers import Towers
from polymodal.objectives import GaussianLikelihood
from polymodal.training.batches import make_batch


def made(values: np.ndarray, recipe: Any, likelihood: Any, dim: int = 2) -> tuple[Decoder, Any]:
    """A decoder, and the column of a batch of all rows, of which the second lacks the modality."""
    data = Modalities({"a": values}).without("a", [1])
    settings = prepare_decoders({"a": recipe}, data, {"a": likelihood}, method="This")["a"]
    towers = Towers({"a": recipe.build(recipe.prepare(data["a"]), 4)})
    torch.manual_seed(0)
    return build_decoder(recipe, settings, dim), make_batch(
        data, np.arange(len(data)), towers.collates
    ).columns["a"]


def test_log_density_is_in_the_units_of_the_data(rng: np.random.Generator) -> None:
    values = rng.normal(5, [1.0, 100.0, 0.01], size=(9, 3))
    decoder, column = made(values, MLPEncoder(), GaussianLikelihood(scale=0.5))
    codes = torch.randn(4, 9, 2)
    found = decoder.log_prob(decoder(codes), decoder.targets(column))
    where = torch.from_numpy(decoder.restore(decoder(codes).detach().numpy()))
    expected = distributions.Normal(where, 0.5 * torch.from_numpy(decoder.scale)).log_prob(
        torch.from_numpy(values)
    )
    here = np.arange(9) != 1
    torch.testing.assert_close(found[:, here].double(), expected.sum(-1)[:, here], atol=1e-3, rtol=1e-5)
    assert torch.isfinite(found).all()


def test_a_network_of_ones_own_is_read_as_it_is(rng: np.random.Generator) -> None:
    values = rng.normal(5, 3, size=(9, 4))
    own, column = made(values, ModuleEncoder(nn.Linear(4, 4), n_out=4), "gaussian")
    usual, other = made(values, MLPEncoder(), "gaussian")
    torch.testing.assert_close(own.targets(column)[0], usual.targets(other)[0])
    assert own.raw
    assert not usual.raw


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("bytes_", [True, False])
def test_pictures(rng: np.random.Generator, likelihood: str, bytes_: bool) -> None:
    pictures = rng.integers(0, 256, size=(6, 10, 9), dtype=np.uint8)
    values = pictures if bytes_ else pictures / 255
    decoder, column = made(values, ConvEncoder(width=4), likelihood)
    assert decoder(torch.zeros(3, 6, 2)).shape == (3, 6, 10, 9, 1)
    targets = decoder.targets(column)
    peak = 255 if bytes_ else 1
    plain = (
        targets * float(decoder.scale[0]) + float(decoder.mean[0])
        if likelihood == "gaussian"
        else targets * peak
    )
    np.testing.assert_allclose(plain[3, :, :, 0], values[3], atol=1e-4 * peak)
    pixels = decoder.restore(decoder(torch.zeros(2, 2)).detach().numpy())
    assert pixels.shape == (2, 10, 9)
    if likelihood == "bernoulli":
        assert pixels.min() > 0
        assert pixels.max() < peak
        p = decoder(torch.zeros(6, 2)).sigmoid()[3, :, :, 0].double().detach().numpy()
        x = pictures[3] / 255
        expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
        found = decoder.log_prob(decoder(torch.zeros(6, 2)), targets)[3].item()
        assert found == pytest.approx(expected, rel=1e-5)


def test_colours_and_yes_or_no_pictures(rng: np.random.Generator) -> None:
    decoder, column = made(rng.normal(size=(4, 5, 6, 3)), ConvEncoder(width=4), "laplace")
    assert decoder.restore(decoder(torch.zeros(1, 2)).detach().numpy()).shape == (1, 5, 6, 3)
    masks = rng.normal(size=(4, 5, 6)) > 0
    decoder, column = made(masks, ConvEncoder(width=4), "bernoulli")
    np.testing.assert_array_equal(decoder.targets(column)[2, :, :, 0], masks[2])


def test_errors_are_in_standard_deviations(rng: np.random.Generator) -> None:
    values = rng.normal(5, 3, size=(2000, 4))
    decoder, column = made(values, MLPEncoder(), "gaussian")
    zeros = torch.zeros(2000, 4)
    assert decoder.errors(zeros, decoder.targets(column))[2:].mean().item() == pytest.approx(4, rel=1e-2)
    chances, column = made((values > 5).astype(float), MLPEncoder(), "bernoulli")
    np.testing.assert_allclose(chances.errors(zeros, chances.targets(column)), 1.0)


def test_only_a_learned_scale_is_a_parameter(rng: np.random.Generator) -> None:
    values = rng.normal(size=(9, 3))
    for likelihood, shape in (
        (GaussianLikelihood(), (1,)),
        (GaussianLikelihood(each=True), (3,)),
        (GaussianLikelihood(scale=2.0), None),
        ("bernoulli", None),
    ):
        decoder = made(values > 0 if likelihood == "bernoulli" else values, MLPEncoder(), likelihood)[0]
        named = dict(decoder.named_parameters())
        assert ("learned_scale" in named) == (shape is not None)
        if shape is not None:
            assert named["learned_scale"].shape == shape
    assert "fixed_scale" not in decoder.state_dict()


def test_another_size_is_refused(rng: np.random.Generator) -> None:
    decoder, _ = made(rng.normal(size=(4, 5, 6)), ConvEncoder(width=4), "gaussian")
    with pytest.raises(ModalityError, match=r"shape \(5, 6\) in training, got \(6, 5, 3\)"):
        decoder.read(torch.zeros(2, 6, 5, 3))

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities, Ragged
from polymodal.core.errors import ModalityError
from polymodal.encoders import ConvEncoder, MLPEncoder, choose_encoders
from polymodal.encoders.decoders import Decoders, check_decodable, decodable, decode, prepare_decoders
from polymodal.objectives import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)
from polymodal.training.batches import Column


@pytest.fixture
def decoders(rng: np.random.Generator) -> Decoders:
    recipe = MLPEncoder(depth=0)
    settings = recipe.prepare(Modalities({"a": rng.normal(3, 2, size=(30, 4))})["a"])
    torch.manual_seed(0)
    return Decoders({"a": recipe}, {"a": settings}, 2)


def test_error_is_the_mean_over_present_rows_of_the_squared_distance(decoders: Decoders) -> None:
    codes = torch.randn(3, 2)
    values = torch.randn(2, 4)
    column = Column(values, torch.tensor([1, -1, 0]), torch.tensor([True, False, True]))
    found = decoders("a", codes)
    expected = ((found[0] - values[1]).square().sum() + (found[2] - values[0]).square().sum()) / 2
    assert decoders.errors("a", codes, column).item() == pytest.approx(expected.item())
    only = decoders.errors("a", codes, column, torch.tensor([True, False, False]))
    assert only.item() == pytest.approx((found[0] - values[1]).square().sum().item())


def test_no_row_costs_nothing(decoders: Decoders) -> None:
    column = Column(torch.zeros(0), torch.tensor([-1, -1]), torch.tensor([False, False]))
    assert decoders.errors("a", torch.randn(2, 2), column).item() == 0


def test_features_come_back_in_the_units_of_the_data(decoders: Decoders) -> None:
    found = decode(decoders, decoders, "a", np.zeros((5, 2)))
    bias = decoders.decoders[0].network.layers[-1].bias.detach().numpy()
    np.testing.assert_allclose(found[0], bias * decoders.scales["a"] + decoders.means["a"], rtol=1e-6)
    assert found.shape == (5, 4)
    assert decode(decoders, decoders, "a", np.zeros((0, 2))).shape == (0, 4)


def test_only_vectors_can_be_decoded() -> None:
    recipes = {"a": MLPEncoder(), "picture": ConvEncoder()}
    assert list(decodable(recipes)) == ["a"]
    with pytest.raises(ModalityError, match="picture"):
        check_decodable(recipes, method="This")


def settled(values: object, **likelihoods: object) -> dict:
    data = Modalities({"a": values})
    return prepare_decoders(choose_encoders(None, data), data, likelihoods, method="This")["a"]  # type: ignore[arg-type]


def test_likelihoods_follow_the_values(rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(20, 3))
    assert settled(numbers)["likelihood"] == GaussianLikelihood()
    assert settled((numbers > 0).astype(float))["likelihood"] == BernoulliLikelihood()
    assert settled(np.eye(3)[rng.integers(3, size=20)])["likelihood"] == CategoricalLikelihood()
    assert settled(numbers, a="laplace")["likelihood"] == LaplaceLikelihood()
    pictures = rng.integers(0, 256, size=(20, 6, 7), dtype=np.uint8)
    assert settled(pictures)["likelihood"] == GaussianLikelihood()
    assert settled(pictures > 99)["likelihood"] == BernoulliLikelihood()
    assert settled(pictures, a="bernoulli")["peak"] == 255


def test_what_cannot_be_made_again_is_named(rng: np.random.Generator) -> None:
    sounds = Ragged.of([rng.normal(size=900) for _ in range(2)], rate=8000.0)
    with pytest.raises(ModalityError, match="This makes values again .*'a': 'SoundEncoder'"):
        settled(sounds)
    with pytest.raises(ModalityError, match="'a' is made again as words"):
        settled(["one", "two"], a="bernoulli")
    with pytest.raises(ModalityError, match="'a' has no word"):
        settled(["", ""])
    with pytest.raises(ModalityError, match="BernoulliLikelihood of modality 'a' needs values from 0 to 1"):
        settled(rng.normal(size=(20, 3)), a="bernoulli")
    with pytest.raises(ModalityError, match="Likelihoods for unknown modalities \\['b'\\]"):
        settled(rng.normal(size=(20, 3)), b="bernoulli")

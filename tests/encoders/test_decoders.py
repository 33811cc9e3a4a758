from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.encoders import ConvEncoder, MLPEncoder
from polymodal.encoders.decoders import Decoders, check_decodable, decodable, decode
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
    bias = decoders.decoders[0].layers[-1].bias.detach().numpy()
    np.testing.assert_allclose(found[0], bias * decoders.scales["a"] + decoders.means["a"], rtol=1e-6)
    assert found.shape == (5, 4)
    assert decode(decoders, decoders, "a", np.zeros((0, 2))).shape == (0, 4)


def test_only_vectors_can_be_decoded() -> None:
    recipes = {"a": MLPEncoder(), "picture": ConvEncoder()}
    assert list(decodable(recipes)) == ["a"]
    with pytest.raises(ModalityError, match="picture"):
        check_decodable(recipes, method="This")

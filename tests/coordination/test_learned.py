"""The base of learned coordinations, by the smallest method that can stand on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polymodal.coordination._learned import CoordinationModule, LearnedCoordination, Loss, UnitModule
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.nn.towers import Towers
from polymodal.training import Training, make_batch
from polymodal.training.batches import Batch


class Nearest(LearnedCoordination):
    """Brings partners near, and nothing else."""

    def __init__(self, n_components: int = 3, *, encoders=None, random_state=None) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        self.random_state = random_state

    def _make_module(self, towers: Towers) -> CoordinationModule:
        return CoordinationModule(towers)

    def _make_loss(self, data: Modalities) -> Loss:
        def loss(module: nn.Module, batch: Batch) -> Tensor:
            vectors, _ = module(batch.columns)
            a, b = vectors.values()
            return (a - b).square().mean()

        return loss


@pytest.fixture
def data(rng: np.random.Generator) -> Modalities:
    x = rng.normal(size=(20, 4))
    return Modalities({"right": x @ rng.normal(size=(4, 3)), "left": x})


def test_transform_keeps_names_rows_and_what_is_missing(data: Modalities) -> None:
    model = Nearest(random_state=0).fit(data)
    holes = data.without("left", [2, 3])
    embedded = model.transform(holes)
    assert embedded.names == data.names
    assert embedded["left"].present.tolist() == holes["left"].present.tolist()
    assert embedded["left"].observed().shape == (18, 3)
    none = model.transform(data.without("left", slice(0, 20)))
    assert not none["left"].present.any()


def test_only_rows_that_form_a_pair_are_learned_from(data: Modalities) -> None:
    holes = data.without("left", slice(0, 5))
    np.testing.assert_array_equal(
        Nearest(random_state=0).fit(holes).transform(data)["right"].values(),
        Nearest(random_state=0).fit(data[5:]).transform(data)["right"].values(),
    )


def test_score_and_refusals(data: Modalities) -> None:
    model = Nearest(random_state=0).fit(data)
    assert 0 < model.score(data) <= 1
    with pytest.raises(ModalityError, match="Nearest.score needs rows that have two of"):
        model.score(data.select("left"))
    with pytest.raises(ConfigError, match="Nearest needs n_components of at least 1, got 0"):
        Nearest(0).fit(data)
    with pytest.raises(ModalityError, match="Nearest needs at least two rows on which"):
        Nearest().fit(data.without("left", slice(0, 10)).without("right", slice(10, 20)))


def test_state_gives_the_same_module(data: Modalities) -> None:
    model = Nearest(random_state=0).fit(data)
    again = Nearest(random_state=1)
    again._set_state(model._get_state())
    for a, b in zip(model.module_.parameters(), again.module_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_unit_modules_give_vectors_of_length_one_and_zeros_where_absent() -> None:
    encoder = nn.Linear(2, 3)
    encoder.dim, encoder.collate = 3, torch.as_tensor
    data = Modalities({"a": [np.array([3.0, 4.0], np.float32), None]})
    columns = make_batch(data, np.arange(2), collates={"a": torch.as_tensor}).columns
    plain, present = CoordinationModule(Towers({"a": encoder}))(columns)
    unit, _ = UnitModule(Towers({"a": encoder}))(columns)
    assert present["a"].tolist() == [True, False]
    torch.testing.assert_close(unit["a"][0], plain["a"][0] / plain["a"][0].norm())
    assert unit["a"][1].tolist() == [0, 0, 0]

"""The base of learned fissions, by the smallest method that can stand on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fission._learned import (
    FissionModule,
    LearnedFission,
    Loss,
    mean_of_present,
)
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.training import Training
from polymodal.training.batches import Batch


class HalvesModule(FissionModule):
    def __init__(self, towers: Towers, n_shared: int) -> None:
        super().__init__()
        self.towers, self.n_shared = towers, n_shared

    def forward(self, columns: Mapping[str, EncodedColumn]) -> tuple[Tensor, dict[str, Tensor]]:
        vectors, present = self.towers(columns)
        shared = {name: v[:, : self.n_shared] for name, v in vectors.items()}
        return mean_of_present(shared, present), {name: v[:, self.n_shared :] for name, v in vectors.items()}


class Halves(LearnedFission):
    """Keeps everything small, and nothing else."""

    def __init__(self, n_shared: int = 2, *, n_private: int = 3, encoders=None, random_state=0) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        self.random_state = random_state

    def _make_module(self, build: Callable[[int], Towers]) -> FissionModule:
        return HalvesModule(build(self.n_shared + self.n_private), self.n_shared)

    def _make_loss(self, data: Modalities) -> Loss:
        def loss(module: nn.Module, batch: Batch) -> Tensor:
            shared, private = module(batch.columns)
            return shared.square().mean() + sum(p.square().mean() for p in private.values())

        return loss

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        return -float(np.square(self._transform(data)["shared"].observed()).mean())


@pytest.fixture
def data(rng: np.random.Generator) -> Modalities:
    x = rng.normal(size=(20, 4))
    return Modalities({"right": x @ rng.normal(size=(4, 3)), "left": x})


def test_parts_names_and_what_is_missing(data: Modalities) -> None:
    model = Halves().fit(data)
    holes = data.without("left", [2, 3]).without("right", [3])
    parts = model.transform(holes)
    assert parts.names == ("shared", "right", "left")
    assert np.flatnonzero(~parts["shared"].present).tolist() == [3]
    assert np.flatnonzero(~parts["left"].present).tolist() == [2, 3]
    assert parts["shared"].observed().shape == (19, 2)
    assert parts["left"].observed().shape == (18, 3)
    only = model.transform(data.select("right"))
    np.testing.assert_allclose(parts["shared"].observed()[2], only["shared"].values()[2], atol=1e-6)
    assert model.transform(data[:0])["left"].shape == (3,)
    assert isinstance(model.score(holes), float)


def test_rows_without_anything_are_not_learned_from(data: Modalities) -> None:
    holes = data.without("left", slice(0, 5)).without("right", slice(0, 5))
    np.testing.assert_array_equal(
        Halves().fit(holes).transform(data)["shared"].values(),
        Halves().fit(data[5:]).transform(data)["shared"].values(),
    )


def test_refusals(data: Modalities) -> None:
    with pytest.raises(
        ModalityError, match='gives its shared part the name "shared", got a modality of that name'
    ):
        Halves().fit({"shared": np.eye(4), "left": np.eye(4)})
    with pytest.raises(ConfigError, match="Halves needs n_private to be a whole number of at least 1, got 0"):
        Halves(n_private=0).fit(data)


def test_state_gives_the_same_module(data: Modalities) -> None:
    model = Halves().fit(data)
    again = Halves(random_state=1)
    again._set_state(model._get_state())
    for a, b in zip(model.module_.parameters(), again.module_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_mean_of_present() -> None:
    a, b = torch.tensor([[2.0], [4.0], [9e9]]), torch.tensor([[6.0], [9e9], [9e9]])
    present = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True, False, False])}
    assert mean_of_present({"a": a, "b": b}, present).tolist() == [[4.0], [4.0], [0.0]]
    assert torch.equal(mean_of_present({"a": a}, {"a": torch.ones(3, dtype=torch.bool)}), a)

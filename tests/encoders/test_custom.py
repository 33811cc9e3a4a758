from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polymodal.core import Modality, Ragged, Texts
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import EncoderModule, ModuleEncoder


class Lengths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 4)

    def collate(self, texts: list[str]) -> Tensor:
        return torch.tensor([[float(len(t))] for t in texts])

    def forward(self, batch: Tensor) -> Tensor:
        return self.layer(batch)


class Sum(nn.Module):
    def forward(self, batch: Any) -> Tensor:
        return (batch["steps"] * batch["mask"][..., None]).sum(1)


def test_contract(check_encoder: Callable[..., EncoderModule], rng: np.random.Generator) -> None:
    vectors = Modality(rng.normal(size=(6, 3)), np.arange(6))
    check_encoder(ModuleEncoder(nn.Linear(3, 5)), vectors)
    check_encoder(ModuleEncoder(nn.Linear(3, 7), n_out=7), vectors)
    check_encoder(ModuleEncoder(Lengths(), n_out=4), Modality(Texts(["a", "bb", "cccc"]), np.arange(3)))
    check_encoder(
        ModuleEncoder(Sum(), n_out=2), Modality(Ragged.of([np.ones((n, 2)) for n in (1, 0, 3)]), np.arange(3))
    )


def test_the_users_module_is_left_alone() -> None:
    layer = nn.Linear(2, 5)
    before = layer.weight.clone()
    module = ModuleEncoder(layer).build({}, 5)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(1.0)
    assert torch.equal(layer.weight, before)


def test_frozen_learns_the_linear_map_alone() -> None:
    module = ModuleEncoder(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), n_out=3, frozen=True).build({}, 4)
    module.train()
    assert [n for n, p in module.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
    assert not module.inner.training
    x = torch.ones(2, 2)
    assert torch.equal(module(x), module(x))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModalityError, match=r"Linear to give \(values, 5\), got \(2, 3\)"):
        ModuleEncoder(nn.Linear(2, 3)).build({}, 5)(torch.ones(2, 2))
    with pytest.raises(ModalityError, match="collate"):
        ModuleEncoder(nn.Linear(2, 3)).prepare(Modality(Texts(["a"]), np.arange(1)))
    with pytest.raises(ConfigError, match="n_out"):
        ModuleEncoder(nn.Linear(2, 3), frozen=True)
    with pytest.raises(ConfigError, match="n_out"):
        ModuleEncoder(nn.Linear(2, 3), n_out=0)

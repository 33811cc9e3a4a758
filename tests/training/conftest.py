"""A small problem that every part of the loop can be tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polymodal import Modalities
from polymodal.training import Batch, seeded


class Line(nn.Module):
    """Predicts one number from vectors `x`, with a dropout that shows whether random numbers are repeated."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.layer = nn.Linear(features, 1)

    def forward(self, batch: Batch) -> Tensor:
        column = batch.columns["x"]
        return self.layer(self.drop(column.values))[column.index, 0]


def squared_error(module: nn.Module, batch: Batch) -> Tensor:
    return (module(batch) - batch.target).square().mean()


def as_tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@dataclass
class Problem:
    data: Modalities
    target: np.ndarray
    truth: np.ndarray
    module: Callable[..., nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]

    def arguments(self) -> dict[str, object]:
        return {"collates": {"x": as_tensor}, "target": torch.from_numpy(self.target)}


@pytest.fixture
def problem(rng: np.random.Generator) -> Problem:
    x, truth = rng.normal(size=(60, 3)), np.array([1.0, -2.0, 0.5])

    def module(dropout: float = 0.0) -> nn.Module:
        with seeded(7):
            return Line(3, dropout)

    return Problem(Modalities({"x": x}), (x @ truth).astype(np.float32), truth, module, squared_error)

"""What learned estimators save."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.requirements import Requirements
from polymodal.training.saved_module import SavedModule


class Doubler(SavedModule, Fusion):
    """One linear map whose width is a parameter; what it learned is three numbers."""

    requires: ClassVar[Requirements] = Requirements(min_modalities=1)

    def __init__(self, width: int = 3) -> None:
        self.width = width

    def _build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(self.width, 1), nn.Dropout(0.5))

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self.module_ = self._build()
        self.scale_ = 2.0

    def _transform(self, data: Modalities) -> np.ndarray:
        with torch.inference_mode():
            return self.module_(torch.as_tensor(data["x"].values())).numpy() * self.scale_

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        return 0.0


@pytest.fixture
def fitted() -> Doubler:
    return Doubler().fit({"x": np.zeros((4, 3), np.float32)})


def test_state_holds_the_weights_and_no_module(fitted: Doubler) -> None:
    state = fitted._get_state()
    assert set(state) == {"modalities_", "scale_", "weights"}
    assert set(state["weights"]) == {"0.weight", "0.bias"}


def test_weights_come_back_ready_for_use(fitted: Doubler, rng: np.random.Generator) -> None:
    values = {"x": rng.normal(size=(5, 3)).astype(np.float32)}
    fitted.module_.eval()
    again = Doubler()
    again._set_state(fitted._get_state())
    assert not again.module_.training
    np.testing.assert_array_equal(again.transform(values), fitted.transform(values))


def test_loading_leaves_the_random_state_alone(fitted: Doubler) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Doubler()._set_state(fitted._get_state())
    torch.testing.assert_close(torch.rand(2), expected)


def test_weights_of_another_shape_are_refused(fitted: Doubler) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        Doubler(width=4)._set_state(fitted._get_state())

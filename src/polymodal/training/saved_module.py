"""`SavedModule`: what learned estimators of every family save, and how they come back."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import nn

from polymodal.core.estimator import Estimator
from polymodal.training.seeding import seeded


class SavedModule(Estimator):
    """An estimator that learned a network: its weights are saved, and put into one that `_build` makes anew.

    Attributes:
        module_: The trained network, in evaluation mode.
    """

    module_: nn.Module

    @abstractmethod
    def _build(self) -> nn.Module:
        """The network with fresh weights, under torch's current random state, from the parameters and other learned attributes."""

    def _get_state(self) -> dict[str, Any]:
        kept = {name: value for name, value in super()._get_state().items() if name != "module_"}
        return {**kept, "weights": dict(self.module_.state_dict())}

    def _set_state(self, state: dict[str, Any]) -> None:
        super()._set_state({name: value for name, value in state.items() if name != "weights"})
        with seeded(0):  # whatever the weights start from, they are replaced
            self.module_ = self._build()
        self.module_.load_state_dict(
            {name: torch.as_tensor(value) for name, value in state["weights"].items()}
        )
        self.module_.eval()

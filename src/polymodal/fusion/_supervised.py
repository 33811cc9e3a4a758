"""What learned fusions with a head share: encoders, training, prediction, saving. Abstract; a method gives its layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, cast

import numpy as np
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import ScoringPredictor
from polymodal.core.random import RandomState
from polymodal.core.random import seed as seed_of
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder, EncoderModule
from polymodal.encoders.defaults import build_encoders, choose_encoders, prepare_encoders
from polymodal.fusion._inputs import hide_at_random
from polymodal.fusion._layer import check_count
from polymodal.nn.towers import Towers
from polymodal.objectives.prediction import prediction_loss, target_tensor
from polymodal.training.batches import Batch
from polymodal.training.history import History
from polymodal.training.inference import infer
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.saved_module import SavedModule
from polymodal.training.seeding import seeded

DEFAULT_TRAINING = Training(max_epochs=40, batch_size=64)
"""Labelled data are mostly small: short batches give them enough steps."""


class FusionNetwork(nn.Module):
    """Encoders, a fusion layer, and a linear head."""

    towers_type: ClassVar[type[Towers]] = Towers

    def __init__(self, encoders: Mapping[str, EncoderModule], layer: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.towers = self.towers_type(encoders)
        self.layer = layer
        self.head = head

    def fuse(self, batch: Batch, *, hide: float = 0.0) -> Float[Tensor, "n k"]:
        """The representation of each row; while training, `hide` is the share of rows under modality dropout."""
        vectors, present = self.towers(batch.columns)
        if self.training:
            present = hide_at_random(present, hide)
        fused: Tensor = self.layer(vectors, present)
        return fused

    def forward(self, batch: Batch, *, hide: float = 0.0) -> Float[Tensor, "n q"]:
        """One number per class, label or quantity."""
        outputs: Tensor = self.head(self.fuse(batch, hide=hide))
        return outputs


class SupervisedFusion(ScoringPredictor, SavedModule, Fusion):
    """Base of learned fusions with a head. A method stores the parameters named here and writes `_make_layer`."""

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, unpaired=True, target="required")
    _network: ClassVar[type[FusionNetwork]] = FusionNetwork

    n_components: int
    encoders: Mapping[str, Encoder] | None
    task: Task
    modality_dropout: float
    training: Training | None
    random_state: RandomState

    module_: FusionNetwork

    @abstractmethod
    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        """The fusion layer, with fresh weights: forward(inputs, present) -> (n, n_components)."""

    @abstractmethod
    def _embedding_dim(self, n_modalities: int) -> int:
        """Size of each encoder's vectors."""

    def _recipes(self, data: Modalities) -> Mapping[str, Encoder] | None:
        """Encoders by name, where they are not those of the kind."""
        return self.encoders

    def _settle(self, data: Modalities) -> None:
        """What is left to set after training, if anything."""

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_some_present(data)
        y = self._required(y, "fit")
        seed = seed_of(self.random_state)
        module, target = self._prepare(data, y, seed)
        options = DEFAULT_TRAINING if self.training is None else self.training
        self.history_: History = train(
            module,
            self._loss(target),
            data,
            collates=module.towers.collates,
            options=options,
            random_state=seed,
            target=target_tensor(target, y),
        )
        self.module_ = module
        self._settle(data)

    def _prepare(self, data: Modalities, y: np.ndarray, seed: int) -> tuple[FusionNetwork, Target]:
        check_count("n_components", self.n_components)
        if not 0 <= self.modality_dropout <= 1:
            raise ConfigError(f"modality_dropout must be a share in [0, 1], got {self.modality_dropout!r}.")
        target = Target.of(y, self.task)
        self._take_target(target)
        self.encoders_ = choose_encoders(self._recipes(data), data)
        self.settings_ = prepare_encoders(self.encoders_, data)
        with seeded(seed):
            return self._build(), target

    def _build(self) -> FusionNetwork:
        names = sorted(self.encoders_)
        dim = self._embedding_dim(len(names))
        encoders = build_encoders(self.encoders_, self.settings_, dim)
        layer = self._make_layer(dict.fromkeys(names, dim))
        return self._network(encoders, layer, nn.Linear(self.n_components, self._target.n_outputs))

    def _initial_module(self, data: Modalities, y: np.ndarray | None) -> nn.Module:
        """The module before training."""
        return self._prepare(data, self._required(y, "fit"), seed_of(self.random_state))[0]

    def _loss(self, target: Target) -> Callable[[nn.Module, Batch], Tensor]:
        def loss(module: nn.Module, batch: Batch) -> Tensor:
            return prediction_loss(module(batch, hide=self.modality_dropout), _given(batch), target.task)

        return loss

    # --- using ------------------------------------------------------------------------------------------------------

    def _infer(
        self, data: Modalities, function: Callable[[FusionNetwork, Batch], Mapping[str, Tensor]]
    ) -> dict[str, np.ndarray]:
        def named(module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
            return function(cast(FusionNetwork, module), batch)

        device = None if self.training is None else self.training.device
        return infer(self.module_, named, data, collates=self.module_.towers.collates, device=device)

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._infer(data, lambda module, batch: {"z": module.fuse(batch)})["z"]

    def _outputs(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        return self._infer(data, lambda module, batch: {"y": module(batch)})["y"].astype(np.float64)


def _given(batch: Batch) -> Tensor:
    if batch.target is None:
        raise ValueError("A supervised loss needs batch.target.")
    return batch.target

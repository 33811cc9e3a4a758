"""What learned fissions share: encoders, training, taking apart, saving. Abstract; a method gives its module and loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Fission
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.defaults import build_encoders, choose_encoders, prepare_encoders
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.training.batches import Batch
from polymodal.training.history import History
from polymodal.training.inference import infer
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.saved_module import SavedModule
from polymodal.training.seeding import seeded

Loss = Callable[[nn.Module, Batch], Tensor]

DEFAULT_TRAINING = Training(max_epochs=40, batch_size=64)
"""Taking apart needs many small steps more than large batches."""


class FissionModule(nn.Module):
    """Encoders, and whatever else trains. Rows that lack a modality have zeros there; its values never enter.

    Attributes:
        towers: One encoder per modality; batches are made with their `collates`.
    """

    towers: Towers

    @abstractmethod
    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[Float[Tensor, "n k"], dict[str, Float[Tensor, "n q"]]]:
        """The shared part, from the modalities that a row has, and name -> private part, for the columns given."""


def mean_of_present(
    vectors: Mapping[str, Float[Tensor, "n k"]], present: Mapping[str, Bool[Tensor, " n"]]
) -> Float[Tensor, "n k"]:
    """Mean of what the modalities of each row say; zeros for a row that has none. Absent values never enter.

    Relations:
        * one modality: its vectors.
    """
    names = sorted(vectors)
    total = torch.stack([vectors[name].masked_fill(~present[name][:, None], 0.0) for name in names]).sum(0)
    count = torch.stack([present[name] for name in names]).sum(0)
    return total / count.clamp(min=1)[:, None]


class LearnedFission(SavedModule, Fission):
    """Base of learned fissions. A method stores the parameters named here and writes `_make_module`, `_make_loss` and `_score`.

    `transform` gives `"shared"` (n, n_shared), from whichever modalities a row has, and one private part (n, n_private) under
    the name of each modality given; a row that lacks a modality lacks its private part, one that has none lacks both. Float32.
    """

    requires: ClassVar[Requirements] = Requirements(min_modalities=2, missing=True)

    n_shared: int
    n_private: int
    encoders: Mapping[str, Encoder] | None
    training: Training
    random_state: RandomState

    module_: FissionModule
    encoders_: dict[str, Encoder]
    settings_: dict[str, dict[str, Any]]
    history_: History

    @abstractmethod
    def _make_module(self, build: Callable[[int], Towers]) -> FissionModule:
        """The module, with fresh weights, under torch's current random state. May read `self.settings_`.

        Args:
            build: Makes one encoder per modality whose vectors have so many dimensions; every call gives new weights.
        """

    @abstractmethod
    def _make_loss(self, data: Modalities) -> Loss:
        """The mean loss of a batch of rows of `data`; `batch.target` holds what `_encode_target` gave."""

    def _encode_target(self, y: np.ndarray) -> Tensor:
        """The target as the loss reads it, (n, ...). Called before the module is made."""
        return torch.from_numpy(y)

    def _recipes(self, data: Modalities) -> dict[str, Encoder]:
        """The encoder of each modality: the user's, or the usual one of its kind."""
        return choose_encoders(self.encoders, data)

    def _prepare(self, data: Modalities) -> None:
        """Learn from the training rows what modules are built with."""
        self.settings_ = prepare_encoders(self.encoders_, data)

    def _select(self, data: Modalities) -> Bool[np.ndarray, " n"]:
        """The rows that training sees: those that have some modality."""
        some: np.ndarray = np.logical_or.reduce(list(data.present.values()))
        return some

    def _check_parameters(self) -> None:
        """Refuse parameters out of range, by name."""
        for name in ("n_shared", "n_private"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(
                    f"{type(self).__name__} needs {name} to be a whole number of at least 1, got {value!r}. Try 8."
                )

    def _settle(self, data: Modalities) -> None:
        """What is left to learn after training, from the rows trained on."""

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_parameters()
        if "shared" in data:
            raise ModalityError(
                f'{type(self).__name__} gives its shared part the name "shared", got a modality of that name. Rename it.'
            )
        kept = np.flatnonzero(self._select(data))
        rows = data.select(*sorted(data.names))[kept]
        target = None if y is None else self._encode_target(y[kept])
        self.encoders_ = self._recipes(rows)
        self._prepare(rows)
        with seeded(self.random_state) as seed:
            module = self._build()
        self.history_ = train(
            module,
            self._make_loss(rows),
            rows,
            collates=module.towers.collates,
            options=self.training,
            random_state=None if self.random_state is None else seed,
            target=target,
        )
        self.module_ = module
        self._settle(rows)

    def _build(self) -> FissionModule:
        return self._make_module(lambda width: Towers(build_encoders(self.encoders_, self.settings_, width)))

    # --- using ------------------------------------------------------------------------------------------------------

    def _infer(
        self, data: Modalities, function: Callable[[nn.Module, Batch], Mapping[str, Tensor]]
    ) -> dict[str, np.ndarray]:
        """`function(module, batch)` over all rows, name -> (n, ...); an empty dict for no rows."""
        return infer(
            self.module_, function, data, collates=self.module_.towers.collates, device=self.training.device
        )

    def _transform(self, data: Modalities) -> Modalities:
        def parts(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            shared, private = module(batch.columns)
            return {"shared": shared, **private}

        found = self._infer(data, parts)
        some: np.ndarray = np.logical_or.reduce(list(data.present.values()))
        empty = {"shared": self.n_shared, **dict.fromkeys(data.names, self.n_private)}
        columns = {}
        for name, width in empty.items():
            values = found.get(name, np.empty((0, width), dtype=np.float32))
            columns[name] = _column(values, some if name == "shared" else data[name].present)
        return Modalities(columns, ids=data.ids)


def _column(values: np.ndarray, present: np.ndarray) -> Modality:
    """One value per row that has one."""
    index = np.full(len(present), -1, dtype=np.int64)
    index[present] = np.arange(int(present.sum()))
    return Modality(np.ascontiguousarray(values[present] if len(values) else values), index)

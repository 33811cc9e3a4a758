"""What learned coordinations share: encoders, training, embedding, scoring, saving. Abstract; a method gives its module and loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from polymodal.coordination._pairs import (
    Pair,
    check_variety,
    chosen_pairs,
    paired_rows,
    retrieval_score,
    row_groups,
)
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Coordination
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


class CoordinationModule(nn.Module):
    """One encoder per modality, and whatever else trains."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n _"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> vectors in float32 (zeros where absent), and name -> presence, of the columns given."""
        vectors, present = self.towers(columns)
        return {name: v.float() for name, v in vectors.items()}, present


class UnitModule(CoordinationModule):
    """Towers whose vectors have length 1."""

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n _"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> unit vectors (zeros where absent), and name -> presence."""
        vectors, present = super().forward(columns)
        return {name: functional.normalize(v, dim=1) for name, v in vectors.items()}, present


def embed_rows(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Name -> the module's vectors: what an `EmbeddingLoss` compares."""
    vectors: dict[str, Tensor] = module(batch.columns)[0]
    return vectors


def embed_stored(
    column: Modality, function: Callable[[Modality], Float[np.ndarray, "u k"]], width: int
) -> Modality:
    """Each distinct stored value goes through `function` once; rows keep pointing at what they share.

    Args:
        column: The rows.
        function: Some values, all present -> (u, width).
        width: For a column without values.
    """
    used, index = column.used()
    if not len(used):
        return Modality(np.empty((0, width), dtype=np.float32), index)
    return Modality(function(Modality(column.store, used)), index)


class LearnedCoordination(SavedModule, Coordination):
    """Base of learned coordinations. A method stores the parameters named here and writes `_make_module` and `_make_loss`.

    `transform` encodes each distinct stored value once; rows that share one keep sharing its vector. `score` is the mean reciprocal
    rank of retrieval over the pairs of modalities and both directions, in (0, 1]; a method may measure something else.
    """

    requires: ClassVar[Requirements] = Requirements(min_modalities=2, missing=True, unpaired=True)
    exempt: ClassVar[Mapping[str, str]] = {}

    n_components: int
    encoders: Mapping[str, Encoder] | None
    training: Training
    random_state: RandomState
    pairs: str = "all"

    module_: CoordinationModule
    encoders_: dict[str, Encoder]
    settings_: dict[str, dict[str, Any]]
    history_: History

    @abstractmethod
    def _make_module(self, towers: Towers) -> CoordinationModule:
        """The module, with fresh weights, under torch's current random state. May read `self.settings_`."""

    @abstractmethod
    def _make_loss(self, data: Modalities) -> Loss:
        """The mean loss of a batch of rows of `data`; an `EmbeddingLoss` where it compares vectors (`Training(chunk_size=...)`)."""

    def _select(self, data: Modalities) -> Modalities:
        """The rows that training sees: those that take part in some pair."""
        paired = paired_rows(
            data.select(*sorted(data.names)), chosen_pairs(data.names, self.pairs), method=type(self).__name__
        )
        check_variety({name: column.identity for name, column in paired.items()}, method=type(self).__name__)
        return paired

    def _check_parameters(self) -> None:
        """Refuse parameters out of range, by name."""
        if not isinstance(self.n_components, int | np.integer) or self.n_components < 1:
            raise ConfigError(
                f"{type(self).__name__} needs n_components of at least 1, got {self.n_components!r}. Try 64."
            )

    def _settle(self, data: Modalities) -> None:
        """What is left to learn after training, from the rows trained on."""

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        del y
        self._check_parameters()
        rows = self._select(data)
        self.encoders_ = choose_encoders(self.encoders, rows)
        self.settings_ = prepare_encoders(self.encoders_, rows)
        with seeded(self.random_state) as seed:
            module = self._build()
        codes = {name: column.identity for name, column in rows.items()}
        self.history_ = train(
            module,
            self._make_loss(rows),
            rows,
            collates=module.towers.collates,
            options=self.training,
            random_state=None if self.random_state is None else seed,
            groups=row_groups(rows, codes, self.training.validation),
        )
        self.module_ = module
        self._settle(rows)

    def _build(self) -> CoordinationModule:
        return self._make_module(Towers(build_encoders(self.encoders_, self.settings_, self._width())))

    def _width(self) -> int:
        """Dimensions of the encoders' vectors."""
        return self.n_components

    # --- using ------------------------------------------------------------------------------------------------------

    def _transform(self, data: Modalities) -> Modalities:
        return self._alone(data)

    def _alone(self, data: Modalities) -> Modalities:
        """Each modality in the shared space, from its own values and nothing else: what `score` compares."""
        return Modalities({name: self._embed(name, column) for name, column in data.items()}, ids=data.ids)

    def _embed(self, name: str, column: Modality) -> Modality:
        return embed_stored(column, lambda values: self._vectors(name, values), self.n_components)

    def _vectors(self, name: str, values: Modality) -> Float[np.ndarray, "u k"]:
        """The representation of each of some values of one modality, all present."""
        found = infer(
            self.module_,
            lambda module, batch: module(batch.columns)[0],
            Modalities({name: values}),
            collates={name: self.module_.towers.collates[name]},
            device=self.training.device,
        )
        return found[name]

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        embedded = self._alone(data)
        found = []
        for a, b in self._meeting(data):
            rows = np.flatnonzero(data[a].present & data[b].present)
            vectors = embedded[a][rows].values(), embedded[b][rows].values()
            found.append(retrieval_score(*vectors, data[a].identity[rows], data[b].identity[rows]))
        return float(np.mean(found))

    def _meeting(self, data: Modalities) -> list[Pair]:
        """The pairs of modalities that some row of `data` has."""
        chosen = chosen_pairs(list(self.modalities_), self.pairs)
        met = [
            (a, b) for a, b in chosen if a in data and b in data and (data[a].present & data[b].present).any()
        ]
        if not met:
            raise ModalityError(
                f"{type(self).__name__}.score needs rows that have two of {list(self.modalities_)}, got none in {data!r}."
            )
        return met

"""One encoder per modality, over columns of which any row may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class EncodedColumn(Protocol):
    """What a tower reads: u distinct values, and which of them each of the n rows uses."""

    @property
    def values(self) -> Any:
        """Tensor, or dict of tensors, with u items on the first axis."""

    @property
    def index(self) -> Tensor:
        """(n,) positions in `values`; -1 where the row lacks the modality."""

    @property
    def present(self) -> Tensor:
        """(n,) True where the row has the modality."""


class Towers(nn.Module):
    """Encoders side by side: each distinct value is encoded once, then spread to the rows that use it.

    Args:
        encoders: Name -> module with an attribute `dim` that maps u values to (u, dim). Names may be any strings.

    Relations:
        * a row that lacks a modality gets zeros and passes it no gradient.
        * the order of `encoders` does not matter: parameters are held in the sorted order of the names.
    """

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names: tuple[str, ...] = tuple(sorted(encoders))
        self.encoders = nn.ModuleList(
            [encoders[name] for name in self.names]
        )  # names may hold dots: keys are numbers

    def __getitem__(self, name: str) -> nn.Module:
        """The encoder of one modality."""
        return self.encoders[self.names.index(name)]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def collates(self) -> dict[str, Any]:
        """Name -> the function that turns stored values into tensors: what batches are made with."""
        return {name: encoder.collate for name, encoder in zip(self.names, self.encoders, strict=True)}

    def forward(self, columns: Mapping[str, EncodedColumn]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Name -> (n, dim) vectors, and name -> (n,) presence, for the columns given (in the sorted order of names)."""
        vectors, present = {}, {}
        for name in self.names:
            if name in columns:
                column = columns[name]
                vectors[name] = self._encode(self[name], column)
                present[name] = column.present
        return vectors, present

    @staticmethod
    def _encode(encoder: nn.Module, column: EncodedColumn) -> Tensor:
        distinct = len(
            next(iter(column.values.values())) if isinstance(column.values, Mapping) else column.values
        )
        if not distinct:
            dim: Any = encoder.dim
            return torch.zeros(len(column.index), dim, device=column.index.device)
        encoded: Tensor = encoder(column.values)
        rows = encoded.index_select(0, column.index.clamp(min=0))
        return rows.masked_fill(~column.present[:, None], 0.0)

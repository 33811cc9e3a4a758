"""A network of the user's own as an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.core.ragged import Ragged
from polymodal.core.requirements import ALL_KINDS
from polymodal.core.typing import Kind
from polymodal.encoders.base import EncoderModule, check_kind


class CustomModule(EncoderModule):
    """A copy of the user's module, and a linear map to the width asked for."""

    def __init__(self, dim: int, recipe: ModuleEncoder) -> None:
        super().__init__()
        self.dim = dim
        self.inner = deepcopy(recipe.module)
        self.frozen = recipe.frozen
        self.cache_collated = bool(getattr(self.inner, "cache_collated", True))
        if self.frozen:
            self.inner.requires_grad_(False)
        self.head: nn.Module = nn.Identity() if recipe.n_out is None else nn.Linear(recipe.n_out, dim)

    def collate(self, values: Any) -> Any:
        """The module's own `collate` where it has one; else numbers as float32, and sequences padded with a mask."""
        own = getattr(self.inner, "collate", None)
        if own is not None:
            return own(values)
        if isinstance(values, Ragged):
            padded, mask = values.pad(max(1, int(values.lengths.max(initial=0))))
            return {"steps": torch.from_numpy(padded.astype(np.float32)), "mask": torch.from_numpy(mask)}
        return torch.from_numpy(np.asarray(values, dtype=np.float32))

    def train(self, mode: bool = True) -> CustomModule:
        """A frozen module stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.inner.eval()
        return self

    def forward(self, batch: Any) -> Tensor:
        """One vector per value.

        Raises:
            ModalityError: the module gives vectors of another width.
        """
        inner = self.inner(batch)
        wanted = self.head.in_features if isinstance(self.head, nn.Linear) else self.dim
        if inner.ndim != 2 or inner.shape[1] != wanted:
            raise ModalityError(
                f"ModuleEncoder needs {type(self.inner).__name__} to give (values, {wanted}), got {tuple(inner.shape)}. "
                f"Say ModuleEncoder(module, n_out=...) with the width it gives."
            )
        out: Tensor = self.head(inner)
        return out


@dataclass(frozen=True, eq=False)
class ModuleEncoder:
    """Any `nn.Module` as the encoder of a modality. It is copied, weights and all, whenever a model is fitted.

    If the module has a method `collate(values)`, it turns stored values into tensors (texts and files need one); else
    numbers come as float32 (u, ...), and sequences as `{"steps": (u, t, ...), "mask": (u, t)}`.

    A model with such an encoder is saved with its weights, but not with the module's code:
    `polymodal.load(folder, given={...})` takes the module back.

    Args:
        module: Gives one vector per value.
        n_out: Width of those vectors, mapped linearly to the width the method asks for; None: they have that width.
        frozen: Whether the module keeps its weights, so that only the linear map learns; needs `n_out`.
    """

    kinds: ClassVar[frozenset[Kind]] = ALL_KINDS

    module: nn.Module
    n_out: int | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise ConfigError(f"ModuleEncoder needs a torch.nn.Module, got {type(self.module).__name__}.")
        if self.n_out is not None and (not isinstance(self.n_out, int) or self.n_out < 1):
            raise ConfigError(
                f"ModuleEncoder needs n_out to be a whole number of at least 1 or None, got {self.n_out!r}."
            )
        if self.frozen and self.n_out is None:
            raise ConfigError(
                "ModuleEncoder(frozen=True) needs n_out, the width the module gives: something has to learn."
            )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Nothing is learned here; refuses texts if the module has no `collate`."""
        check_kind(self, modality)
        if modality.kind == "text" and not hasattr(self.module, "collate"):
            raise ModalityError(
                f"ModuleEncoder needs {type(self.module).__name__} to have a method collate(texts) that gives tensors. "
                "Add one, or use TextTransformerEncoder."
            )
        return {}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """A copy of the module."""
        return CustomModule(dim, self)

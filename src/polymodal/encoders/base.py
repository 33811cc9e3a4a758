"""The two halves of an encoder: the recipe a user writes, and the module that holds weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.core.typing import Bool, Float, Kind


class EncoderModule(nn.Module):
    """Weights of an encoder. Subclasses set `dim` and write `collate` and `forward`.

    Attributes:
        dim: Features of one vector.
        cache_collated: Whether `collate` gives the same tensors each time, so that they may be kept between epochs.
            A module whose `collate` draws random numbers (augmentation, while `training`) sets it to False.
    """

    dim: int
    cache_collated: bool = True

    def collate(self, values: Any) -> Tensor | dict[str, Tensor]:
        """Turn `store[rows]` into tensors on the CPU with one item per value on the first axis."""
        raise NotImplementedError

    @abstractmethod
    def forward(self, batch: Any) -> Float[Tensor, "u dim"]:
        """One vector per collated value."""

    def tokens(self, batch: Any) -> tuple[Float[Tensor, "u t dim"], Bool[Tensor, "u t"]]:
        """Several vectors per collated value (of its words, steps or patches), and which of them are there.

        Where nothing else is written it is one: the vector of the whole value.
        """
        vectors: Tensor = self(batch)
        return vectors[:, None], torch.ones(len(vectors), 1, dtype=torch.bool, device=vectors.device)

    def token_seconds(self, batch: Any) -> Float[Tensor, " u"] | None:
        """Seconds from one token to the next, of each collated value; None where tokens lie on no clock."""
        return None

    def keep_tokens(self) -> None:
        """Drop the layers that `tokens` does not use, so that all that is left trains; `forward` works no longer."""


class PooledModule(EncoderModule):
    """An encoder of states: its vector is `head` of the pooled states, its tokens are `head` of each state.

    Subclasses set `pool` and `head`, and write `states`.
    """

    pool: nn.Module
    head: nn.Module

    @abstractmethod
    def states(self, batch: Any) -> tuple[Float[Tensor, "u t width"], Bool[Tensor, "u t"]]:
        """Normalised states of the steps, and which of them are there."""

    def forward(self, batch: Any) -> Tensor:
        """One vector per value; one without steps gives the same as every other."""
        out: Tensor = self.head(self.pool(*self.states(batch)))
        return out

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector per step."""
        states, mask = self.states(batch)
        return self.head(states), mask

    def keep_tokens(self) -> None:
        """Drop the pooling."""
        del self.pool


@runtime_checkable
class Encoder(Protocol):
    """A recipe: a frozen dataclass without weights. `kinds` are the kinds of value it takes."""

    kinds: ClassVar[frozenset[Kind]]

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Settings learned from training values (vocabulary, mean and scale, channels), fit for JSON."""

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights, drawn from torch's current random state."""


def check_kind(encoder: Any, modality: Modality) -> None:
    """Refuse a modality of a kind that `encoder` does not take, or without any value."""
    if modality.kind not in encoder.kinds:
        raise ModalityError(
            f"{type(encoder).__name__} encodes {' or '.join(sorted(encoder.kinds))}, got {modality.kind} of shape {modality.shape}. "
            "Take the encoder for that kind (polymodal.encoders.default_encoder chooses one)."
        )
    if not modality.present.any():
        raise ModalityError(
            f"{type(encoder).__name__} learns its settings from values, got a modality that every row lacks. Drop it."
        )


def check_numbers(
    recipe: Any, *, positive: tuple[str, ...] = (), not_negative: tuple[str, ...] = (), dropout: float = 0.0
) -> None:
    """Refuse settings of a recipe that cannot be built, in one sentence each."""
    for least, fields in ((1, positive), (0, not_negative)):
        for field in fields:
            value = getattr(recipe, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"{type(recipe).__name__} needs {field} to be a whole number of at least {least}, got {value!r}."
                )
    if isinstance(dropout, bool) or not 0.0 <= dropout < 1.0:
        raise ConfigError(f"{type(recipe).__name__} needs dropout in [0, 1), got {dropout!r}.")


def check_heads(recipe: Any) -> None:
    """Refuse a width that cannot be shared out among the attention heads."""
    if recipe.width % recipe.heads:
        raise ConfigError(
            f"{type(recipe).__name__} needs heads that divide its width, got {recipe.heads} heads and width {recipe.width}."
        )


def used_rows(modality: Modality, most: int | None = None) -> np.ndarray:
    """Positions of the stored values that some row uses, each once; at most `most`, spread evenly."""
    used, _ = modality.used()
    if most is None or len(used) <= most:
        return used
    return used[np.linspace(0, len(used) - 1, most).round().astype(np.int64)]


def value_blocks(modality: Modality, *, most: int | None = None, size: int = 2048) -> Iterator[Any]:
    """The values that some row uses, in blocks: a store on disk is never read whole."""
    rows = used_rows(modality, most)
    for start in range(0, len(rows), size):
        yield modality.store[rows[start : start + size]]


def mean_and_scale(blocks: Iterator[np.ndarray]) -> tuple[list[float], list[float]]:
    r"""Mean and standard deviation of each column over blocks (k, d), in one pass; a constant column has scale 1.

    Blocks are merged as in Chan et al. 1979, so a large mean does not eat a small spread.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    largest = np.zeros(1)
    for raw in blocks:
        block = np.asarray(raw, dtype=np.float64)
        if not len(block):
            continue
        centre = block.mean(axis=0)
        shift, total = centre - mean, count + len(block)
        squares = squares + ((block - centre) ** 2).sum(axis=0) + shift**2 * (count * len(block) / total)
        mean, count = mean + shift * (len(block) / total), total
        largest = np.maximum(largest, np.abs(block).max(axis=0))
    scale = np.sqrt(squares / max(count, 1))
    constant = scale <= 1e-10 * np.maximum(largest, 1e-300)
    return np.atleast_1d(mean).tolist(), np.atleast_1d(np.where(constant, 1.0, scale)).tolist()

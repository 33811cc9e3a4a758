"""What fusion layers share: sorted names, the uniform forward, and a bound on what is multiplied."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float
from polymodal.fusion._inputs import fill_absent


class FusionLayer(nn.Module):
    """Base of fusion layers: a method writes `_fuse`, which gets a value (zeros where absent) and a mask for every modality.

    Args:
        dims: Name -> d_m of each modality. They are kept in the order of their names.
        n_components: Size of z.
    """

    def __init__(self, dims: Mapping[str, int], n_components: int) -> None:
        super().__init__()
        check_count("n_components", n_components)
        self.dims = {name: dims[name] for name in sorted(dims)}
        self.n_components = n_components

    def forward(
        self,
        inputs: Mapping[str, Float[Tensor, "n _"]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    ) -> Float[Tensor, "n k"]:
        """Fuse. A name that is not in `inputs`, or a row where `present` is False, counts as absent.

        Raises:
            ModalityError: an unknown name, no modality, a wrong width, rows or mask.
        """
        return self._fuse(*fill_absent(inputs, present, self.dims))

    @abstractmethod
    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        """The representation (n, k) of rows whose absent values are zeros already."""


class Bounded(nn.Module):
    """Features go through tanh before a layer: products of many unbounded ones explode."""

    def __init__(self, layer: FusionLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self,
        inputs: Mapping[str, Float[Tensor, "n _"]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    ) -> Float[Tensor, "n k"]:
        """The layer's result for tanh of the inputs."""
        values, has = fill_absent(inputs, present, self.layer.dims)
        fused: Tensor = self.layer({name: value.tanh() for name, value in values.items()}, has)
        return fused


def check_count(name: str, value: object) -> None:
    """Raises ConfigError unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}.")

"""Two encoders per modality, one for what it shares and one for what it has alone, and what keeps the two apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.fission._learned import FissionModule, mean_of_present
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.decorrelation import decorrelation_loss
from polymodal.objectives.orthogonality import difference_loss
from polymodal.objectives.redundancy import AdversarialPenalty, ClubPenalty, Redundancy

Penalty = Literal["difference", "decorrelation", "club", "adversarial"]


@dataclass(frozen=True, eq=False)
class Parts:
    """Name -> what a modality says of the shared part, name -> its private part, name -> presence."""

    shared: dict[str, Tensor]
    private: dict[str, Tensor]
    present: dict[str, Tensor]


class SharedPrivateModule(FissionModule):
    """A shared and a private encoder of every modality; the shared parts of a row are averaged over the modalities it has."""

    def __init__(self, shared: Towers, private: Towers) -> None:
        super().__init__()
        self.towers, self.private = shared, private

    def parts(self, columns: Mapping[str, EncodedColumn]) -> Parts:
        """Both parts of the modalities given, in float32; zeros where a row lacks one."""
        shared, present = self.towers(columns)
        private, _ = self.private(columns)
        return Parts(
            {name: v.float() for name, v in shared.items()},
            {name: v.float() for name, v in private.items()},
            present,
        )

    def forward(self, columns: Mapping[str, EncodedColumn]) -> tuple[Tensor, dict[str, Tensor]]:
        """The shared part, and name -> private part."""
        parts = self.parts(columns)
        return mean_of_present(parts.shared, parts.present), parts.private


class Overlap(nn.Module):
    """How much the private part of each modality repeats its shared part, averaged over modalities; on the rows that have it.

    Args:
        names: Modalities.
        n_shared: Dimensions of the shared part.
        n_private: Dimensions of a private part.
        kind: "difference" and "decorrelation" (mean squared correlation) see what is linear, in [0, 1]; "club" (nats) and
            "adversarial" (share of the shared part's variance) hold a network each that sees more.
    """

    def __init__(self, names: Sequence[str], n_shared: int, n_private: int, kind: Penalty) -> None:
        super().__init__()
        self.names, self.kind = tuple(sorted(names)), kind
        makers: dict[str, Callable[[int, int], nn.Module]] = {
            "club": ClubPenalty,
            "adversarial": AdversarialPenalty,
        }
        self.networks = nn.ModuleList(
            [makers[kind](n_private, n_shared) for _ in self.names] if kind in makers else []
        )

    def forward(self, parts: Parts) -> Redundancy:
        """What trains the parts, and what trains the networks."""
        penalties, fits = [], []
        for name, private in parts.private.items():
            rows = parts.present[name]
            found = self._one(name, private[rows], parts.shared[name][rows])
            penalties.append(found.penalty)
            fits.append(found.fit)
        return Redundancy(torch.stack(penalties).mean(), torch.stack(fits).mean())

    def _one(self, name: str, private: Tensor, shared: Tensor) -> Redundancy:
        if len(self.networks):
            found: Redundancy = self.networks[self.names.index(name)](private, shared)
            return found
        if self.kind == "difference":
            return Redundancy(difference_loss(private, shared), private.new_zeros(()))
        mean = decorrelation_loss(private, shared) / (private.shape[1] * shared.shape[1])
        return Redundancy(mean, private.new_zeros(()))


def check_penalty(kind: Any, *, method: str) -> None:
    """Refuse a penalty that there is not, by name."""
    if kind not in get_args(Penalty):
        raise ConfigError(f"{method} needs penalty to be one of {list(get_args(Penalty))}, got {kind!r}.")


def check_weights(method: str, **weights: Any) -> None:
    """Refuse weights that are no finite numbers of at least 0, by name."""
    for name, value in weights.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ConfigError(f"{method} needs {name} to be a weight of at least 0, got {value!r}. Try 1.")

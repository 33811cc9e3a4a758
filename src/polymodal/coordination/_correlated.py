"""What deep CCA of two and of more modalities share: running covariances, reconstruction, and a linear CCA of the outputs. Abstract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.coordination._learned import CoordinationModule, LearnedCoordination, Loss, embed_stored
from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import Moments, moments
from polymodal.core.typing import Bool, Float
from polymodal.encoders.decoders import Decoders, check_decodable
from polymodal.evaluation.correlation import pairwise_correlations
from polymodal.nn.towers import Towers
from polymodal.objectives.correlation import joint_covariance
from polymodal.training.batches import Batch
from polymodal.training.distributed import all_gather_rows

BLOCK = 4096
"""Rows encoded at a time for the final covariances."""

ROWS_PER_COMPONENT = 50
"""Rows remembered for each component by default: unrelated outputs then seem to correlate by 2 / sqrt(50) = .28 at most."""


class CorrelationModule(CoordinationModule):
    r"""Towers, decoders, and covariances of the towers' outputs that remember earlier batches.

    A batch's own covariances make a bad loss when it has few rows: its correlations are too high, and its directions are its own.
    But the gradient of a correlation is, given the canonical directions, a mean over rows; so the directions are taken from
    covariances of about `memory` rows, and only the batch's part of them gets a gradient:

    $$ S_t = \frac{\beta W_{t-1} S_{t-1} + w_t S_{batch}}{\beta W_{t-1} + w_t}, \qquad \beta = \max(0, 1 - n_{batch} / memory) $$

    Args:
        towers: One encoder per modality.
        decoders: Of the modalities to reconstruct.
        memory: Rows remembered; a batch of as many rows forgets everything before it.

    Attributes:
        sums: Covariances times their weights, all outputs side by side.
        weights: For each pair of modalities the weight W.

    Relations:
        * memory <= rows of a batch: the batch's own covariances.
        * outputs that stay the same: covariances approach those of all rows.
    """

    sums: Tensor
    weights: Tensor

    def __init__(self, towers: Towers, decoders: Decoders, memory: int) -> None:
        super().__init__(towers)
        self.decoders, self.memory = decoders, memory
        self.sizes = [int(encoder.dim) for encoder in towers.encoders]  # type: ignore[arg-type]
        width = sum(self.sizes)
        self.register_buffer("sums", torch.zeros(width, width))
        self.register_buffer("weights", torch.zeros(len(self.sizes), len(self.sizes)))

    def covariance(
        self, vectors: Mapping[str, Float[Tensor, "n _"]], present: Mapping[str, Bool[Tensor, " n"]]
    ) -> Float[Tensor, "D D"]:
        """Covariance of all outputs: while training, with what is remembered; in evaluation, of these rows alone."""
        S, degrees = joint_covariance(vectors, present)
        if not self.training or not bool(torch.isfinite(S.detach().sum())):
            return S
        rows = len(next(iter(vectors.values())))
        with torch.no_grad():
            keep = max(0.0, 1 - rows / self.memory)
            self.weights.mul_(keep).add_(degrees)
            self.sums.mul_(keep).add_(S * self._spread(degrees))
            remembered = self.sums / self._spread(self.weights).clamp_min(torch.finfo(S.dtype).tiny)
        return remembered + (S - S.detach())

    def _spread(self, pairs: Tensor) -> Tensor:
        """One number per pair of modalities, for each pair of their outputs."""
        sizes = torch.tensor(self.sizes, device=pairs.device)
        return pairs.repeat_interleave(sizes, dim=0).repeat_interleave(sizes, dim=1)


class CorrelatedCoordination(LearnedCoordination):
    """Base of deep CCA and its generalisation. A method writes `_correlation` (the loss of a covariance) and `_directions`."""

    reg: float
    reconstruction: float
    memory: int | None

    module_: CorrelationModule
    weights_: dict[str, np.ndarray]
    means_: dict[str, np.ndarray]
    correlations_: np.ndarray

    @abstractmethod
    def _correlation(self, S: Tensor, sizes: list[int]) -> Tensor:
        """The loss of a covariance of all outputs, names in sorted order."""

    @abstractmethod
    def _directions(self, seen: Moments) -> list[np.ndarray]:
        """For each modality, in sorted order, the linear projection of the outputs: (outputs, at most n_components)."""

    # --- learning ---------------------------------------------------------------------------------------------------

    def _make_module(self, towers: Towers) -> CorrelationModule:
        memory = ROWS_PER_COMPONENT * self.n_components if self.memory is None else self.memory
        recipes = check_decodable(self.encoders_, method=type(self).__name__) if self.reconstruction else {}
        return CorrelationModule(towers, Decoders(recipes, self.settings_, self._width()), memory)

    def _make_loss(self, data: Modalities) -> Loss:
        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, CorrelationModule)
            vectors, present = module(batch.columns)
            everywhere = {name: all_gather_rows(v) for name, v in vectors.items()}
            S = module.covariance(everywhere, {name: all_gather_rows(p) for name, p in present.items()})
            total = self._correlation(S, module.sizes)
            for name in module.decoders.names:
                error = module.decoders.errors(name, vectors[name], batch.columns[name])
                total = total + self.reconstruction * error
            return total

        return loss

    def _settle(self, data: Modalities) -> None:
        """A linear CCA of the outputs, from moments streamed over the rows: the last step of the paper."""
        names = sorted(self.modalities_)
        seen: Moments | None = None
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK]
            outputs = moments(Modalities({name: self._outputs(name, block[name]) for name in names}))
            seen = outputs if seen is None else seen.merge(outputs)
        assert seen is not None
        directions = [_padded(W, self.n_components) for W in self._directions(seen)]
        self.weights_ = dict(zip(names, directions, strict=True))
        self.means_ = {name: seen.mean(name) for name in names}
        self.correlations_ = _correlations(seen, self.weights_)

    def _outputs(self, name: str, column: Modality) -> Modality:
        """What the encoder gives, before the final projection."""
        return embed_stored(
            column, lambda values: LearnedCoordination._vectors(self, name, values), self._width()
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        problems = []
        if not self.reg >= 0:
            problems.append(f"reg >= 0 (added to each variance of the outputs), got {self.reg!r}")
        if not self.reconstruction >= 0:
            problems.append(f"reconstruction >= 0, got {self.reconstruction!r}")
        if self.memory is not None and self.memory < 1:
            problems.append(f"memory of at least 1 row, or None, got {self.memory!r}")
        if problems:
            raise ConfigError(f"{type(self).__name__} needs " + "; and ".join(problems) + ".")

    # --- using ------------------------------------------------------------------------------------------------------

    def _vectors(self, name: str, values: Modality) -> Float[np.ndarray, "u k"]:
        outputs = super()._vectors(name, values).astype(np.float64)
        projected: np.ndarray = ((outputs - self.means_[name]) @ self.weights_[name]).astype(np.float32)
        return projected

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        return float(pairwise_correlations(self._transform(data)).mean())


def blocks_of(seen: Moments) -> dict[tuple[str, str], np.ndarray]:
    """Covariance of each pair of modalities; 0 where fewer than two rows have both."""
    dims = dict(zip(seen.names, seen.dims, strict=True))
    return {
        (a, b): seen.covariance(a, b) if seen.count(a, b) >= 2 else np.zeros((dims[a], dims[b]))
        for a in seen.names
        for b in seen.names
    }


def _padded(weights: np.ndarray, k: int) -> np.ndarray:
    """Components that the outputs do not have are 0."""
    kept = weights[:, :k]
    return np.hstack([kept, np.zeros((len(kept), k - kept.shape[1]))])


def _correlations(seen: Moments, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Correlation of each component, the mean over the pairs of modalities that meet."""
    found = []
    for a, b in combinations(seen.names, 2):
        if seen.count(a, b) < 2:
            continue
        cross = (weights[a] * (seen.covariance(a, b) @ weights[b])).sum(axis=0)
        scale = np.ones_like(cross)
        for name in (a, b):
            scale = scale * np.maximum(
                (weights[name] * (seen.covariance(name) @ weights[name])).sum(axis=0), 0.0
            )
        correlations = np.divide(cross, np.sqrt(scale), out=np.zeros_like(cross), where=scale > 0)
        found.append(np.clip(correlations, -1.0, 1.0))
    mean: Any = np.mean(found, axis=0)
    return np.asarray(mean)

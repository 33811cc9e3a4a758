"""A mixture of Gaussians as emission."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polymodal.alignment import _gaussians as gaussians
from polymodal.alignment.emissions import Gaussian, _fitted, first_labels, normalised
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float

Frames = Any


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    r"""$p(x_t \mid s_t = k) = \sum_c w_{kc} N(x_t; \mu_{kc}, \Sigma_{kc})$.

    Args:
        n_components: Gaussians of each state.
        covariance: See `Gaussian`; "tied" is one covariance for all components of all states.
        floor: See `Gaussian`.
        prior: See `Gaussian`.
        weights: (states, components); learned unless given.
        components: Their Gaussians, state by state; learned unless given.

    Relations:
        * one component: the same as `Gaussian`.
        * components all alike: the same as `Gaussian`, whatever the weights.
    """

    n_components: int = 2
    covariance: gaussians.Shape = "diag"
    floor: float = 1e-3
    prior: float = 0.0
    weights: Float[np.ndarray, "k c"] | None = None
    components: Gaussian | None = None

    def __post_init__(self) -> None:
        self._recipe()
        if self.n_components < 1:
            raise ModalityError(f"GaussianMixture needs n_components >= 1, got {self.n_components}.")
        if (self.weights is None) != (self.components is None):
            raise ModalityError(
                "GaussianMixture takes weights and components together: give both, or neither."
            )
        if self.weights is not None and self.components is not None:
            k, c = self.weights.shape
            if c != self.n_components or self.components.n_states != k * c:
                raise ModalityError(
                    f"GaussianMixture of {self.n_components} components and weights {self.weights.shape} needs {k * self.n_components} "
                    f"Gaussians, got {self.components.n_states}."
                )

    def _recipe(self) -> Gaussian:
        return Gaussian(self.covariance, self.floor, self.prior)

    @property
    def n_statistics(self) -> int:
        """See `Emission`."""
        return 1 + self._recipe().n_statistics

    @property
    def n_states(self) -> int | None:
        """See `Emission`."""
        return None if self.weights is None else len(self.weights)

    def _gaussians(self) -> Gaussian:
        return self._recipe() if self.components is None else self.components

    def checked(self, frames: Frames) -> Float[np.ndarray, "n d"]:
        """See `Emission`."""
        return self._gaussians().checked(frames)

    def features(self, frames: Frames) -> Float[np.ndarray, "n f"]:
        """See `Emission`."""
        return self._recipe().features(frames)

    def started(
        self, frames: Frames, labels: np.ndarray | None, n_states: int, rng: np.random.Generator
    ) -> GaussianMixture:
        """See `Emission`: the frames of each state are clustered."""
        if labels is None:
            labels = first_labels(self, frames, n_states, rng)
            assert labels is not None
        inner = np.full(len(frames), -1, dtype=np.int64)
        for k in range(n_states):
            mine = np.flatnonzero(labels == k)
            if len(mine):
                own = first_labels(self, frames[mine], self.n_components, rng)
                assert own is not None
                inner[mine] = k * self.n_components + own
        components = self._recipe().started(frames, inner, n_states * self.n_components, rng)
        counts = np.bincount(inner[inner >= 0], minlength=n_states * self.n_components) + 1.0
        shares = counts.reshape(n_states, self.n_components)
        return replace(self, weights=shares / shares.sum(1, keepdims=True), components=components)

    def _joint(self, frames: Frames) -> Float[np.ndarray, "n k c"]:
        weights = _fitted(self.weights, self)
        densities = self._gaussians().log_likelihood(frames).reshape(len(frames), *weights.shape)
        with np.errstate(divide="ignore"):
            return np.asarray(densities + np.log(weights))

    def log_likelihood(self, frames: Frames) -> Float[np.ndarray, "n k"]:
        """See `Emission`."""
        return np.asarray(np.logaddexp.reduce(self._joint(frames), axis=2))

    def statistics(self, frames: Frames, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `Emission`."""
        joint = self._joint(frames)
        shares = np.exp(joint - np.logaddexp.reduce(joint, axis=2)[:, :, None]) * weights[:, :, None]
        return shares.sum(0), *self._gaussians().statistics(frames, shares.reshape(len(frames), -1))

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> GaussianMixture:
        """See `Emission`."""
        return replace(
            self,
            weights=normalised(statistics[0], _fitted(self.weights, self)),
            components=self._gaussians().maximised(statistics[1:]),
        )

    def log_prior(self) -> float:
        """See `Emission`."""
        return self._gaussians().log_prior()

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """See `Emission`."""
        weights = _fitted(self.weights, self)
        cumulative = weights.cumsum(1)[states]
        chosen = (rng.random((len(states), 1)) * cumulative[:, -1:] >= cumulative).sum(1)
        return self._gaussians().sample(states * weights.shape[1] + chosen, rng)

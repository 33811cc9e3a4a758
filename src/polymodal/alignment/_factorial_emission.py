"""Gaussian frames whose mean is a sum of one effect per chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from polymodal.alignment import _gaussians as gaussians
from polymodal.alignment.emissions import Gaussian, _overall
from polymodal.core.typing import Float

Effects = tuple[np.ndarray, ...]
"""One (states, features) or (frames, states) array per chain."""


@dataclass(frozen=True, eq=False)
class SummedMeans:
    """N(sum of effects, covariance) for every joint state, the last chain running fastest.

    Args:
        effects: Of every chain, (states, features).
        covariance: (features, features).
        diagonal: Whether updates keep the covariance diagonal.
        floor: Least variance as a share of `spread`.
        spread: Each feature's overall variance.
    """

    effects: Effects
    covariance: Float[np.ndarray, "d d"]
    diagonal: bool = False
    floor: float = 1e-3
    spread: Float[np.ndarray, " d"] | None = None

    @classmethod
    def blank(cls, sizes: Sequence[int], covariance: str, floor: float) -> SummedMeans:
        """Before any frames were seen."""
        nothing = tuple(np.zeros((k, 0)) for k in sizes)
        return cls(nothing, np.zeros((0, 0)), covariance == "diag", floor)

    @property
    def n_statistics(self) -> int:
        """See `Emission`."""
        return 3

    @property
    def n_states(self) -> int:
        """Joint states."""
        return int(np.prod([len(w) for w in self.effects]))

    @cached_property
    def _membership(self) -> Float[np.ndarray, "j total"]:
        """Which state of each chain every joint state has, as ones."""
        sizes = [len(w) for w in self.effects]
        states = np.unravel_index(np.arange(self.n_states), sizes)
        return np.hstack([np.eye(k)[s] for k, s in zip(sizes, states, strict=True)])

    @cached_property
    def joint(self) -> Gaussian:
        """The same as a tied Gaussian of the joint states."""
        means = self._membership @ np.vstack(self.effects)
        return Gaussian("tied", means=means, covariances=self.covariance)

    @cached_property
    def precision(self) -> Float[np.ndarray, "d d"]:
        """Inverse covariance."""
        return np.linalg.inv(self.covariance)

    def checked(self, frames: Any) -> Float[np.ndarray, "n d"]:
        """See `Emission`."""
        return (Gaussian("tied") if not self.covariance.size else self.joint).checked(frames)

    def features(self, frames: Any) -> None:
        """Not asked: `started` draws effects."""

    def started(
        self, frames: np.ndarray, labels: np.ndarray | None, n_states: int, rng: np.random.Generator
    ) -> SummedMeans:
        """Effects drawn at the size of the data's spread, shared among the chains."""
        mean, spread = _overall(frames)
        m = len(self.effects)
        effects = tuple(
            mean / m + rng.normal(size=(len(w), len(mean))) * np.sqrt(spread / m) for w in self.effects
        )
        return replace(self, effects=effects, covariance=np.diag(spread), spread=spread)

    def log_likelihood(self, frames: np.ndarray) -> Float[np.ndarray, "n j"]:
        """See `Emission`."""
        return self.joint.log_likelihood(frames)

    @property
    def _centre(self) -> Float[np.ndarray, " d"]:
        return np.asarray(sum(w.mean(0) for w in self.effects))

    def statistics(self, frames: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """Membership products, sums of frames by chain and state, and second moments, about a centre."""
        x = frames - self._centre
        if np.isnan(x).any():
            n, first, second = gaussians.moments(
                x, weights, self.joint.means - self._centre, self.covariance, "tied"
            )
            total = n[:, 0] if n.size else weights.sum(0)
            squares = second.sum(0)
        else:
            total, first, squares = weights.sum(0), weights.T @ x, (x * weights.sum(1)[:, None]).T @ x
        s = self._membership
        return (s * total[:, None]).T @ s, s.T @ first, squares

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> SummedMeans:
        """Regression of frames on the states of all chains; what chains share (a constant) falls to all alike."""
        together, first, squares = statistics
        m = len(self.effects)
        total = np.trace(together) / m
        w = np.linalg.pinv(together, rcond=1e-12, hermitian=True) @ first
        residual = squares - w.T @ first - first.T @ w + w.T @ together @ w
        spread = np.diag(self.covariance) if self.spread is None else self.spread
        c = residual / max(total, 1e-300)
        if self.diagonal:
            c = np.diag(np.maximum(np.diag(c), self.floor * spread))
        else:
            c = gaussians.floored(c, spread, self.floor)
        bounds = np.cumsum([len(e) for e in self.effects])[:-1]
        effects = tuple(e + self._centre / m for e in np.split(w, bounds))
        return replace(self, effects=effects, covariance=c)

    def maximised_alone(self, frames: np.ndarray, posteriors: Effects) -> SummedMeans:
        """The same where chains are independent given the frames: products across chains are those of their posteriors."""
        seen = ~np.isnan(frames).any(1)
        x, q = frames[seen] - self._centre, [p[seen] for p in posteriors]
        stacked = np.hstack(q)
        together = stacked.T @ stacked
        at = 0
        for p in q:
            k = p.shape[1]
            together[at : at + k, at : at + k] = np.diag(p.sum(0))
            at += k
        return self.maximised((together, stacked.T @ x, x.T @ x))

    def log_prior(self) -> float:
        """There is none."""
        return 0.0

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """See `Emission`."""
        return self.joint.sample(states, rng)

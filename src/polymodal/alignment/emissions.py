"""What a hidden state emits: symbols, Gaussian vectors, or mixtures of Gaussians. Frames that are missing are integrated out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.alignment import _gaussians as gaussians
from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.core.random import seed
from polymodal.core.typing import Float, Int

Frames = Any
MOST_CLUSTERED = 20_000  # frames that k-means looks at for a start


@runtime_checkable
class Emission(Protocol):
    """Densities of a frame given the state. Emissions are never changed: `started` and `maximised` give new ones.

    `statistics` of several blocks of frames add up, item by item.
    """

    @property
    def n_states(self) -> int | None:
        """States with parameters; None before there are any."""

    @property
    def n_statistics(self) -> int:
        """How many arrays `statistics` gives."""

    def checked(self, frames: Frames) -> Frames:
        """Frames as the other methods want them; refused with a sentence if they cannot be."""

    def features(self, frames: Frames) -> Float[np.ndarray, "n f"] | None:
        """Numbers by which frames may be clustered for a start; None where there are none."""

    def started(
        self,
        frames: Frames,
        labels: Int[np.ndarray, " n"] | None,
        n_states: int,
        rng: np.random.Generator,
    ) -> Emission:
        """First parameters, from a first guess of every frame's state (-1: none), or from chance."""

    def log_likelihood(self, frames: Frames) -> Float[np.ndarray, "n k"]:
        """Log-density of each frame given each state; 0 for a missing frame."""

    def statistics(self, frames: Frames, weights: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, ...]:
        """What `maximised` needs to know of frames, given the posterior of their states."""

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> Emission:
        """The parameters that maximise the expected log-posterior."""

    def log_prior(self) -> float:
        """What the priors add to the log-likelihood."""

    def sample(self, states: Int[np.ndarray, " n"], rng: np.random.Generator) -> Frames:
        """One frame for each state."""


def first_labels(
    emission: Emission, frames: Frames, n_states: int, rng: np.random.Generator
) -> Int[np.ndarray, " n"] | None:
    """Each frame's cluster of k-means; None where frames cannot be clustered."""
    features = emission.features(frames)
    if features is None:
        return None
    from sklearn.cluster import KMeans

    few = features
    if len(few) > MOST_CLUSTERED:
        few = features[rng.choice(len(features), MOST_CLUSTERED, replace=False)]
    clusters = min(n_states, len(np.unique(few, axis=0)))
    means = KMeans(clusters, n_init=1, random_state=seed(rng)).fit(few)
    return np.asarray(means.predict(features), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Categorical:
    """One of some symbols, 0, 1, ...; -1 is a missing frame.

    Args:
        n_symbols: How many symbols there are; read off the training frames unless said.
        prior: Times that every state is taken to have emitted every symbol before, >= 0 (Dirichlet, its parameter less one).
        probabilities: Of each symbol in each state; learned unless given.
    """

    n_symbols: int | None = None
    prior: float = 0.0
    probabilities: Float[np.ndarray, "k m"] | None = None

    def __post_init__(self) -> None:
        p = self.probabilities
        if p is not None and ((p < 0).any() or not np.allclose(p.sum(1), 1, atol=1e-6)):
            raise ModalityError(
                f"Categorical needs probabilities whose rows sum to 1, got sums {p.sum(1)[:5].round(4).tolist()}."
            )
        _not_negative("Categorical", prior=self.prior)

    @property
    def n_statistics(self) -> int:
        """See `Emission`."""
        return 1

    @property
    def n_states(self) -> int | None:
        """See `Emission`."""
        return None if self.probabilities is None else len(self.probabilities)

    def checked(self, frames: Frames) -> Int[np.ndarray, " n"]:
        """See `Emission`."""
        x = np.asarray(frames)
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        known = self.n_symbols if self.probabilities is None else self.probabilities.shape[1]
        highest = int(x.max(initial=-1)) if x.dtype.kind in "iub" else -1
        if x.ndim != 1 or x.dtype.kind not in "iub" or x.min(initial=0) < -1:
            raise ModalityError(
                f"Categorical needs whole numbers from 0 (-1 where a frame is missing), (frames,); got {x.dtype} of shape {x.shape}. "
                "Number your symbols; several symbols a frame are Streams."
            )
        if known is not None and highest >= known:
            raise ModalityError(
                f"Categorical knows symbols 0 to {known - 1}, got {highest}. Set n_symbols to count symbols training lacks."
            )
        return x.astype(np.int64)

    def features(self, frames: Frames) -> None:
        """Symbols have no distances."""

    def started(
        self, frames: Frames, labels: np.ndarray | None, n_states: int, rng: np.random.Generator
    ) -> Categorical:
        """See `Emission`."""
        symbols = self.n_symbols or int(frames.max(initial=0)) + 1
        shares = np.bincount(frames[frames >= 0], minlength=symbols) + 1.0
        chance = shares * rng.gamma(1.0, size=(n_states, symbols)) + 1e-3 * shares
        if labels is not None:
            for k in range(n_states):
                mine = frames[(labels == k) & (frames >= 0)]
                if len(mine):
                    chance[k] = np.bincount(mine, minlength=symbols) + 0.1 * shares / shares.sum() * len(mine)
        return replace(self, probabilities=chance / chance.sum(1, keepdims=True))

    def log_likelihood(self, frames: Frames) -> Float[np.ndarray, "n k"]:
        """See `Emission`."""
        p = _fitted(self.probabilities, self)
        with np.errstate(divide="ignore"):
            table = np.vstack([np.log(p).T, np.zeros(len(p))])  # row -1: a missing frame
        return np.asarray(table[frames])

    def statistics(self, frames: Frames, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `Emission`."""
        p = _fitted(self.probabilities, self)
        places = np.where(frames < 0, p.shape[1], frames)
        counts = [np.bincount(places, weights=w, minlength=p.shape[1] + 1)[:-1] for w in weights.T]
        return (np.array(counts),)

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> Categorical:
        """See `Emission`."""
        return replace(
            self, probabilities=normalised(statistics[0] + self.prior, _fitted(self.probabilities, self))
        )

    def log_prior(self) -> float:
        """See `Emission`."""
        return dirichlet(_fitted(self.probabilities, self), self.prior)

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
        """See `Emission`."""
        cumulative = _fitted(self.probabilities, self).cumsum(1)[states]
        draws = rng.random((len(states), 1)) * cumulative[:, -1:]
        return np.asarray((draws >= cumulative).sum(1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Gaussian:
    r"""$x_t \mid s_t = k \sim N(\mu_k, \Sigma_k)$. NaN features are integrated out, so a frame may be missing in part or whole.

    Args:
        covariance: "diag", "full", "spherical" (one variance a state) or "tied" (one full covariance for all states).
        floor: Least variance, as a share of each feature's variance over all training frames, in (0, 1]: no state can collapse.
        prior: Frames of the overall variance that every covariance is taken to have seen before, >= 0.
        means: (states, features); learned unless given.
        covariances: (states, features), (states, features, features), (states,) or (features, features); learned unless given.
        spread: Each feature's overall variance; learned unless given.
    """

    covariance: gaussians.Shape = "diag"
    floor: float = 1e-3
    prior: float = 0.0
    means: Float[np.ndarray, "k d"] | None = None
    covariances: Float[np.ndarray, "..."] | None = None
    spread: Float[np.ndarray, " d"] | None = None

    def __post_init__(self) -> None:
        if self.covariance not in gaussians.SHAPES:
            raise ModalityError(
                f"Gaussian needs covariance to be one of {gaussians.SHAPES}, got {self.covariance!r}."
            )
        _not_negative("Gaussian", prior=self.prior)
        if not 0 < self.floor <= 1:
            raise ModalityError(f"Gaussian needs a floor in (0, 1], got {self.floor}.")
        if (self.means is None) != (self.covariances is None):
            raise ModalityError("Gaussian takes means and covariances together: give both, or neither.")
        if self.means is None or self.covariances is None:
            return
        k, d = self.means.shape
        wanted = {"diag": (k, d), "full": (k, d, d), "spherical": (k,), "tied": (d, d)}[self.covariance]
        if self.covariances.shape != wanted:
            raise ModalityError(
                f"Gaussian of {k} states and {d} features needs {self.covariance!r} covariances of shape {wanted}, "
                f"got {self.covariances.shape}."
            )

    @property
    def n_statistics(self) -> int:
        """See `Emission`."""
        return 3

    @property
    def n_states(self) -> int | None:
        """See `Emission`."""
        return None if self.means is None else len(self.means)

    def checked(self, frames: Frames) -> Float[np.ndarray, "n d"]:
        """See `Emission`."""
        x = np.asarray(frames)
        if x.dtype.kind not in "fiub" or x.ndim == 0:
            raise ModalityError(
                f"Gaussian needs numbers, (frames, features); got {x.dtype} of shape {x.shape}."
            )
        x = np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float64)
        if np.isinf(x).any():
            raise ModalityError(
                f"Gaussian needs finite numbers (NaN where a feature is missing), got {int(np.isinf(x).sum())} infinite ones."
            )
        if self.means is not None and x.shape[1] != self.means.shape[1]:
            raise ModalityError(
                f"Gaussian has {self.means.shape[1]} features a frame, got frames of shape {x.shape}."
            )
        return x

    def features(self, frames: Frames) -> Float[np.ndarray, "n f"]:
        """See `Emission`."""
        mean, spread = _overall(frames)
        return np.asarray(np.where(np.isnan(frames), 0.0, (frames - mean) / np.sqrt(spread)))

    def started(
        self, frames: Frames, labels: np.ndarray | None, n_states: int, rng: np.random.Generator
    ) -> Gaussian:
        """See `Emission`."""
        mean, spread = _overall(frames)
        if labels is None:
            labels = first_labels(self, frames, n_states, rng)
            assert labels is not None
        drawn = frames[rng.integers(len(frames), size=n_states)]
        d = frames.shape[1]
        covariances = {
            "diag": np.tile(spread, (n_states, 1)),
            "full": np.tile(np.diag(spread), (n_states, 1, 1)),
            "spherical": np.full(n_states, spread.mean()),
            "tied": np.diag(spread),
        }[self.covariance].reshape(self._covariance_shape(n_states, d))
        begun = replace(
            self, means=np.where(np.isnan(drawn), mean, drawn), covariances=covariances, spread=spread
        )
        weights = (labels[:, None] == np.arange(n_states)).astype(float)
        # one more pseudo-frame a state: a cluster of a few frames does not begin at the floor
        first = replace(begun, prior=self.prior + 1.0).maximised(begun.statistics(frames, weights))
        return replace(first, prior=self.prior)

    def _covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        return {"diag": (k, d), "full": (k, d, d), "spherical": (k,), "tied": (d, d)}[self.covariance]

    def log_likelihood(self, frames: Frames) -> Float[np.ndarray, "n k"]:
        """See `Emission`."""
        means = _fitted(self.means, self)
        return gaussians.log_density(frames, means, _fitted(self.covariances, self), self.covariance)

    def statistics(self, frames: Frames, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `Emission`."""
        means = _fitted(self.means, self)
        centre = means.mean(0)  # near the data: squares about it lose little
        return gaussians.moments(
            frames - centre, weights, means - centre, _fitted(self.covariances, self), self.covariance
        )

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> Gaussian:
        """See `Emission`."""
        means, covariances = _fitted(self.means, self), _fitted(self.covariances, self)
        centre = means.mean(0)
        new, covariances = gaussians.update(
            statistics, (means - centre, covariances), self.covariance, self._spread(), self.floor, self.prior
        )
        return replace(self, means=new + centre, covariances=covariances, spread=self._spread())

    def _spread(self) -> np.ndarray:
        """Of parameters that were given without it: the variance between and within states."""
        if self.spread is not None:
            return self.spread
        means, covariances = _fitted(self.means, self), _fitted(self.covariances, self)
        d = means.shape[1]
        if self.covariance in ("full", "tied"):
            within = np.diagonal(covariances.reshape(-1, d, d), axis1=1, axis2=2).mean(0)
        else:
            within = covariances.reshape(len(covariances), -1).mean(0)
        return np.asarray(means.var(0) + within)

    def log_prior(self) -> float:
        """See `Emission`."""
        return gaussians.log_prior(
            _fitted(self.covariances, self), self.covariance, self._spread(), self.prior
        )

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """See `Emission`."""
        means, covariances = _fitted(self.means, self), _fitted(self.covariances, self)
        noise = rng.normal(size=(len(states), means.shape[1]))
        if self.covariance == "diag":
            return np.asarray(means[states] + noise * np.sqrt(covariances[states]))
        if self.covariance == "spherical":
            return np.asarray(means[states] + noise * np.sqrt(covariances[states])[:, None])
        roots = np.linalg.cholesky(covariances)
        if self.covariance == "tied":
            return np.asarray(means[states] + noise @ roots.T)
        return np.asarray(means[states] + np.einsum("nij,nj->ni", roots[states], noise))


def _overall(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each feature over the frames that have it; variance 1 where it is constant."""
    seen = ~np.isnan(frames)
    n = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, frames, 0.0).sum(0) / n
    spread = (np.where(seen, frames - mean, 0.0) ** 2).sum(0) / n
    return mean, np.where(spread > 1e-24 * np.maximum(mean**2, 1e-300), spread, 1.0)


def _fitted(values: np.ndarray | None, emission: object) -> np.ndarray:
    if values is None:
        raise NotFittedError(
            f"This {type(emission).__name__} has no parameters yet. Fit a model with it, or give them."
        )
    return values


def _not_negative(who: str, **values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ModalityError(f"{who} needs {name} >= 0, got {value}.")


def normalised(
    counts: Float[np.ndarray, "... m"], old: Float[np.ndarray, "... m"]
) -> Float[np.ndarray, "... m"]:
    """Counts as shares; a row without counts stays as it was, and what was impossible stays so."""
    counts = np.where(old > 0, counts, 0.0)
    totals = counts.sum(-1, keepdims=True)
    return np.asarray(np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), old))


def dirichlet(probabilities: Float[np.ndarray, "..."], prior: float) -> float:
    """Log-density of a Dirichlet with parameter prior + 1 over what is possible (up to a constant)."""
    if not prior:
        return 0.0
    return float(prior * np.log(probabilities[probabilities > 0]).sum())

"""Several synchronous modalities emitted by one hidden state, each with its own emission and exponent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polymodal.alignment._markov_chain import clamp, refuse_impossible
from polymodal.alignment.emissions import Emission
from polymodal.alignment.hidden_markov import HiddenMarkovModel
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Float

Frames = Any


@dataclass(frozen=True, eq=False)
class Streams:
    r"""Streams that are independent given the state: $\log b_k(x_t) = \sum_m w_m \log b_k^m(x_t^m)$.

    A stream that a frame lacks (NaN, or -1 for symbols) adds nothing, and so does a stream that is not given at all.
    With exponents other than 1 the likelihood is a score, not a density: comparable between sequences and between iterations, not
    between exponents. `learn_exponents` finds exponents.

    Args:
        emissions: Name of a stream -> its emission.
        exponents: Name -> $w_m$ >= 0; 1 for a stream not named.

    Relations:
        * all exponents 1 and diagonal Gaussians: the same as one diagonal Gaussian of the features side by side.
        * exponent 0: the same as leaving the stream out.
    """

    emissions: Mapping[str, Emission]
    exponents: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        names = sorted(self.emissions)
        if not names:
            raise ModalityError("Streams needs at least one emission, {name: emission}, got none.")
        for name, value in (self.exponents or {}).items():
            if name not in self.emissions:
                raise ModalityError(
                    f"Unknown stream {name!r} among exponents; streams are {names}.{suggest(name, names)}"
                )
            if not value >= 0:
                raise ModalityError(f"Streams needs exponents >= 0, got {value} for {name!r}.")

    @property
    def names(self) -> list[str]:
        """Streams in the order of their names."""
        return sorted(self.emissions)

    @property
    def n_statistics(self) -> int:
        """See `Emission`."""
        return sum(e.n_statistics for e in self.emissions.values())

    @property
    def n_states(self) -> int | None:
        """See `Emission`."""
        counts = {e.n_states for e in self.emissions.values()}
        if len(counts) > 1:
            raise ModalityError(
                f"Streams need emissions of equally many states, got {sorted(map(str, counts))}."
            )
        return counts.pop()

    def exponent(self, name: str) -> float:
        """Of one stream."""
        return float((self.exponents or {}).get(name, 1.0))

    def checked(self, frames: Frames) -> dict[str, Any]:
        """See `Emission`."""
        if not isinstance(frames, Mapping):
            raise ModalityError(
                f"Streams {self.names} needed, as {{name: sequences}}; got {type(frames).__name__}."
            )
        unknown = [name for name in frames if name not in self.emissions]
        if unknown or not frames:
            raise ModalityError(
                f"Unknown streams {unknown}; fitted on {self.names}.{suggest(unknown[0], self.names) if unknown else ''}"
            )
        if self.n_states is None and len(frames) < len(self.emissions):
            raise ModalityError(f"Every stream is needed to learn from: {self.names}, got {sorted(frames)}.")
        return {name: self.emissions[name].checked(frames[name]) for name in sorted(frames)}

    def features(self, frames: Frames) -> Float[np.ndarray, "n f"] | None:
        """See `Emission`."""
        parts = [self.emissions[name].features(x) for name, x in frames.items()]
        known = [p for p in parts if p is not None]
        return np.hstack(known) if known else None

    def started(
        self, frames: Frames, labels: np.ndarray | None, n_states: int, rng: np.random.Generator
    ) -> Streams:
        """See `Emission`."""
        begun = {name: self.emissions[name].started(x, labels, n_states, rng) for name, x in frames.items()}
        return replace(self, emissions=begun)

    def log_likelihood(self, frames: Frames) -> Float[np.ndarray, "n k"]:
        """See `Emission`."""
        total = None
        for name, x in frames.items():
            weight = self.exponent(name)
            part = weight * self.emissions[name].log_likelihood(x) if weight else 0.0
            total = part if total is None else total + part
        if not isinstance(total, np.ndarray):  # every exponent is 0
            length = len(next(iter(frames.values())))
            return np.zeros((length, self.n_states or 1))
        return total

    def statistics(self, frames: Frames, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `Emission`."""
        return tuple(s for name in self.names for s in self.emissions[name].statistics(frames[name], weights))

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> Streams:
        """See `Emission`."""
        fresh: dict[str, Emission] = {}
        rest = list(statistics)
        for name in self.names:
            emission = self.emissions[name]
            size = emission.n_statistics
            fresh[name] = emission.maximised(tuple(rest[:size])) if self.exponent(name) else emission
            rest = rest[size:]
        return replace(self, emissions=fresh)

    def log_prior(self) -> float:
        """See `Emission`."""
        return sum(self.exponent(name) * self.emissions[name].log_prior() for name in self.names)

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """See `Emission`; exponents are not asked."""
        return {name: self.emissions[name].sample(states, rng) for name in self.names}


def learn_exponents(
    model: HiddenMarkovModel, sequences: Any, states: Any, *, most: float = 4.0
) -> HiddenMarkovModel:
    r"""Exponents under which a model best recognises known states: the maximum of $\log p(s_{1:T} \mid x_{1:T}; w)$ over $w \ge 0$.

    Likelihood itself cannot choose them (it is no density under exponents), known states can. Take sequences with the noise that
    the model will meet; some hundred frames do. The objective is concave where all states are known.

    Args:
        model: Fitted, with `Streams`.
        sequences: Sequences.
        states: The true state of each of their frames, -1 where unknown.
        most: Largest exponent tried.

    Returns:
        The same model with other exponents.

    Complexity:
        Some ten to fifty forward-backward passes.
    """
    from scipy.optimize import minimize

    emission = model._emission()
    if not isinstance(emission, Streams):
        raise ModalityError(f"learn_exponents needs a model of Streams, got {type(emission).__name__}.")
    data = model._checked(sequences)
    truth = model._states(states, data)
    names, chain = sorted(data.frames), model._chain()
    # a forbidden symbol stays unlikely beyond doubt, but its exponent may be zero
    parts = [np.maximum(emission.emissions[n].log_likelihood(data.frames[n]), -1e6) for n in names]

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        log_b = np.zeros_like(parts[0])
        for x, part in zip(w, parts, strict=True):
            log_b += x * part
        free, _, total = chain.expectations(log_b, data.offsets)
        clamp(log_b, truth)
        known, _, reached = chain.expectations(log_b, data.offsets)
        refuse_impossible(reached)
        gradient = np.array([((free - known) * part).sum() for part in parts])
        return float(total.sum() - reached.sum()) / data.total, gradient / data.total

    begun = np.array([emission.exponent(n) for n in names])
    found = minimize(loss, begun, jac=True, method="L-BFGS-B", bounds=[(0.0, most)] * len(names))
    chosen = {n: float(x) for n, x in zip(names, found.x, strict=True)}
    return HiddenMarkovModel.of(
        chain.start, chain.transitions, replace(emission, exponents=chosen), end=chain.end
    )

"""Several synchronous modalities emitted by one hidden state, each with its own emission and exponent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

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
    r"""Exponents under which a model best recognises known states: the maximum of $\sum_t \log p(s_t \mid x_{1:T}; w)$.

    Likelihood itself cannot choose them (it is no density under exponents), known states can. Take sequences with the noise that the
    model will meet; some hundred frames do.

    Args:
        model: Fitted, with `Streams`.
        sequences: Sequences.
        states: The true state of each of their frames.
        most: Largest exponent tried.

    Returns:
        The same model with other exponents.

    Complexity:
        About 60 forward-backward passes per stream.
    """
    from scipy.optimize import minimize

    emission = model._emission()
    if not isinstance(emission, Streams):
        raise ModalityError(f"learn_exponents needs a model of Streams, got {type(emission).__name__}.")
    data = model._checked(sequences)
    truth = model._states(states, data)
    parts = {name: emission.emissions[name].log_likelihood(x) for name, x in data.frames.items()}
    names, known = list(parts), truth >= 0
    chain = model._chain()

    def loss(w: np.ndarray) -> float:
        log_b = sum(
            (np.zeros_like(parts[n]) if x <= 0 else x * parts[n] for n, x in zip(names, w, strict=True)),
            start=np.zeros_like(parts[names[0]]),
        )
        free, _, _ = chain.expectations(log_b, data.offsets)
        return -float(np.log(np.maximum(free[known, truth[known]], 1e-300)).sum())

    found = minimize(
        loss,
        np.array([emission.exponent(n) for n in names]),
        method="Nelder-Mead",
        bounds=[(0.0, most)] * len(names),
        options={"maxfev": 60 * len(names), "xatol": 1e-3, "fatol": 1e-3},
    )
    chosen = dict(zip(names, (float(x) for x in found.x), strict=True))
    return HiddenMarkovModel.of(
        chain.start, chain.transitions, replace(emission, exponents=chosen), end=chain.end
    )

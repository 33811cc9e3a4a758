"""Emissions of the parts of a joint state: each part looks at its own frames and at its own share of the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polymodal.alignment.emissions import Emission
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Float, Int

Frames = Any


@dataclass(frozen=True, eq=False)
class JointEmission:
    """log b_j(x) = sum over parts of log b^part_{index_part(j)}(x^part).

    Args:
        parts: Name of a stream -> its emission.
        indices: Name -> for each joint state, the state that this emission sees.
        single: Whether frames come as an array, not as a mapping (then there is one part).
    """

    parts: Mapping[str, Emission]
    indices: Mapping[str, Int[np.ndarray, " j"]]
    single: bool = False

    @property
    def n_states(self) -> int | None:
        """Joint states."""
        return len(next(iter(self.indices.values())))

    @property
    def n_statistics(self) -> int:
        """See `Emission`."""
        return sum(e.n_statistics for e in self.parts.values())

    def checked(self, frames: Frames) -> dict[str, Any]:
        """See `Emission`."""
        names = sorted(self.parts)
        if not isinstance(frames, Mapping):
            if len(names) > 1:
                raise ModalityError(
                    f"Streams {names} needed, as {{name: sequences}}; got {type(frames).__name__}."
                )
            frames = {names[0]: frames}
        unknown = [name for name in frames if name not in self.parts]
        if unknown or not frames:
            raise ModalityError(
                f"Unknown streams {unknown}; the model has {names}.{suggest(unknown[0], names) if unknown else ''}"
            )
        return {name: self.parts[name].checked(frames[name]) for name in sorted(frames)}

    def features(self, frames: Frames) -> None:
        """Parts are started one by one."""

    def started(
        self, frames: Frames, labels: np.ndarray | None, n_states: int, rng: np.random.Generator
    ) -> JointEmission:
        """Nothing to do: the parts come with parameters."""
        return self

    def log_likelihood(self, frames: Frames) -> Float[np.ndarray, "n j"]:
        """See `Emission`."""
        parts = [self.parts[n].log_likelihood(x)[:, self.indices[n]] for n, x in frames.items()]
        return np.ascontiguousarray(sum(parts[1:], start=parts[0]))

    def statistics(self, frames: Frames, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `Emission`."""
        found: list[np.ndarray] = []
        for name in sorted(self.parts):
            emission = self.parts[name]
            share = np.zeros((self.n_states or 0, emission.n_states or 0))
            share[np.arange(len(share)), self.indices[name]] = 1
            found.extend(emission.statistics(frames[name], weights @ share))
        return tuple(found)

    def maximised(self, statistics: tuple[np.ndarray, ...]) -> JointEmission:
        """See `Emission`."""
        fresh: dict[str, Emission] = {}
        at = 0
        for name in sorted(self.parts):
            emission = self.parts[name]
            fresh[name] = emission.maximised(statistics[at : at + emission.n_statistics])
            at += emission.n_statistics
        return replace(self, parts=fresh)

    def log_prior(self) -> float:
        """See `Emission`."""
        return sum(e.log_prior() for e in self.parts.values())

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> Any:
        """See `Emission`."""
        drawn = {n: self.parts[n].sample(self.indices[n][states], rng) for n in sorted(self.parts)}
        return next(iter(drawn.values())) if self.single else drawn

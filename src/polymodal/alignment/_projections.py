"""Projections of several sequences that agree along given warps: the learned half of canonical time warping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polymodal.alignment._costs import frames
from polymodal.core.errors import ModalityError
from polymodal.core.linalg import ridge, signs, whitening
from polymodal.core.typing import Float, Int

Members = Sequence[tuple[np.ndarray, np.ndarray]]
"""For each sequence, (its frames, the common times they are at): one entry per cell of its warp."""


@dataclass(frozen=True, eq=False)
class Projections:
    """Weights of each sequence, and what they leave.

    Attributes:
        weights: One (features, k) per sequence; best agreeing component first.
        offsets: What is taken off each projection, so that all lie at one place.
        objective: The mean over components of what the constraint leaves of the disagreement; see `agreeing`.
    """

    weights: tuple[Float[np.ndarray, "_ k"], ...]
    offsets: tuple[Float[np.ndarray, " k"], ...]
    objective: float


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences made ready once: centred frames, and the whitening that the constraint asks for.

    Attributes:
        names: What messages call them.
        frames: Frames less their mean, (frames, features) each.
        means: What was taken off.
        whitenings: W with W' ridge(S) W = I, S the covariance of a sequence's own frames.
        penalties: The mean variance t of each, by which the ridge is scaled.
        reg: Ridge in [0, 1).
    """

    names: tuple[str, ...]
    frames: tuple[Float[np.ndarray, "_ _"], ...]
    means: tuple[Float[np.ndarray, " _"], ...]
    whitenings: tuple[Float[np.ndarray, "_ _"], ...]
    penalties: tuple[float, ...]
    reg: float

    @classmethod
    def of(
        cls, sequences: Mapping[str, Float[np.ndarray, "_ _"]], n_components: int, reg: float
    ) -> Sequences:
        """Check and prepare them.

        Raises:
            ModalityError: a sequence of one frame, one that is constant, or one with fewer independent features than components.
        """
        centred, means, whiten, penalties = [], [], [], []
        for name, x in sequences.items():
            mean = x.mean(axis=0)
            c = x - mean
            # what is left of a constant feature by rounding is no variance
            c[:, np.abs(c).max(axis=0) <= 1e-12 * np.abs(x).max(axis=0)] = 0.0
            S = c.T @ c / len(x)
            if not S.any():
                raise ModalityError(
                    f"Canonical time warping needs sequences that change; {name} of shape {x.shape} is "
                    f"{'one frame' if len(x) == 1 else 'constant'}. Leave it out, or use a longer sequence."
                )
            W = whitening(ridge(S, reg)).matrix
            if W.shape[1] < n_components:
                raise ModalityError(
                    f"Canonical time warping with n_components={n_components} needs as many independent features in each sequence, "
                    f"{name} of shape {x.shape} has {W.shape[1]}. Use n_components={W.shape[1]} or less."
                )
            centred.append(c)
            means.append(mean)
            whiten.append(W)
            penalties.append(float(np.trace(S)) / len(S))
        return cls(tuple(sequences), tuple(centred), tuple(means), tuple(whiten), tuple(penalties), reg)

    def agreeing(self, members: Members, n_components: int, scale: float) -> Projections:
        r"""The projections that agree best at common times, in closed form.

        $$ \min_V\; \frac{1 - c}{s} \sum_t \sum_{(m, i) \in t} |V_m'x_{mi} - o_m - z_t|^2 + c \sum_m t_m |V_m|^2
           \quad\text{with}\quad \sum_m V_m'\,\mathrm{ridge}(S_m)\,V_m = M I $$

        over weights V, offsets o and consensus z, divided by M k. S_m is the covariance of the sequence's own frames, so the
        constraint does not depend on the warps. Consensus and offsets are eliminated; a symmetric eigenproblem is left.

        Args:
            members: Which frames are at which common time.
            n_components: k.
            scale: s, which must not depend on the warps either.
        """
        sizes = [W.shape[1] for W in self.whitenings]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        d, count = int(starts[-1]), len(sizes)
        times = 1 + max(int(at.max()) for _, at in members)
        sums, here = np.zeros((times, d + count)), np.zeros(times)
        scatter = np.zeros((d + count, d + count))
        for m, (rows, at) in enumerate(members):
            block = np.zeros((len(rows), sizes[m] + 1))
            block[:, :-1] = (self.frames[m] @ self.whitenings[m])[rows]
            block[:, -1] = 1.0  # the offset, as the weight of a constant feature
            place = np.r_[starts[m] : starts[m + 1], d + m]
            scatter[np.ix_(place, place)] = block.T @ block
            by_time = np.zeros((times, sizes[m] + 1))
            np.add.at(by_time, at, block)
            sums[:, place] = by_time
            here += np.bincount(at, minlength=times)
        kept = here > 0
        scatter -= (sums[kept] / here[kept, None]).T @ sums[kept]
        to_offsets = -np.linalg.pinv(scatter[d:, d:], rcond=1e-10, hermitian=True) @ scatter[d:, :d]
        M = (1 - self.reg) / scale * (scatter[:d, :d] + scatter[:d, d:] @ to_offsets)
        if self.reg:
            for m, W in enumerate(self.whitenings):
                part = slice(starts[m], starts[m + 1])
                M[part, part] += self.reg * self.penalties[m] * (W.T @ W)
        values, vectors = np.linalg.eigh((M + M.T) / 2)
        chosen = vectors[:, :n_components] * np.sqrt(count)
        chosen = chosen * signs(self.whitenings[0] @ chosen[: sizes[0]])
        offsets = -to_offsets @ chosen
        weights = tuple(W @ chosen[starts[m] : starts[m + 1]] for m, W in enumerate(self.whitenings))
        return Projections(weights, tuple(offsets), max(0.0, float(values[:n_components].mean())))

    def project(self, m: int, found: Projections) -> Float[np.ndarray, "t k"]:
        """The frames of sequence m in the shared space."""
        return np.asarray(self.frames[m] @ found.weights[m] - found.offsets[m])

    def penalty(self, found: Projections) -> float:
        """The part of the objective that does not depend on warps, before division by M k."""
        total: float = sum(
            t * float((w**2).sum()) for t, w in zip(self.penalties, found.weights, strict=True)
        )
        return self.reg * total


def resampled(times: Float[np.ndarray, " n"], length: int) -> Int[np.ndarray, " n"]:
    """Shares of time in [0, 1] as frames of a sequence."""
    return np.asarray(np.rint(times * (length - 1)), dtype=np.int64)


def warps(n_starts: int) -> list[float]:
    r"""Exponents of the power curves $u^\gamma$ from which paths start: the straight line first, then to both sides by turns."""
    steps = [0.0] + [sign * 0.35 * (k // 2 + 1) for k in range(n_starts - 1) for sign in [1 if k % 2 else -1]]
    return [float(np.exp(step)) for step in steps[:n_starts]]


def checked_sequences(sequences: Mapping[str, object]) -> dict[str, Float[np.ndarray, "_ _"]]:
    """Each as frames by features."""
    return {name: frames(x, name)[0] for name, x in sequences.items()}

"""Canonical time warping: two sequences without a feature in common, warped and projected until they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.alignment._costs import frames
from polymodal.alignment._projections import Projections, Sequences, resampled, warps
from polymodal.alignment.answer import Alignment
from polymodal.alignment.dtw import DTW
from polymodal.alignment.windows import Window
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int


@dataclass(frozen=True, eq=False)
class CanonicalWarp:
    """What canonical time warping learned of two sequences.

    Attributes:
        alignment: Which frame goes with which; its cost is `objective`.
        weights_a: Directions in the features of a, one a column, best agreeing first.
        weights_b: Directions in the features of b.
        mean_a: Taken off the frames of a before projection.
        mean_b: Taken off the frames of b.
        objective: What was minimised: 0 where both projections are equal along the path, about 1 where nothing agrees.
        history: The objective after every half step of the start that won: path, projections, path, ...
        converged: Whether the last path step changed nothing.
        objectives: The objective that each start came to.
    """

    alignment: Alignment
    weights_a: Float[np.ndarray, "d_a k"]
    weights_b: Float[np.ndarray, "d_b k"]
    mean_a: Float[np.ndarray, " d_a"]
    mean_b: Float[np.ndarray, " d_b"]
    objective: float
    history: tuple[float, ...]
    converged: bool
    objectives: tuple[float, ...]

    def project_a(self, a: Any) -> Float[np.ndarray, "t k"]:
        """Frames of a, or of a sequence measured as a was, in the shared space."""
        return _projected(a, self.mean_a, self.weights_a, "a")

    def project_b(self, b: Any) -> Float[np.ndarray, "t k"]:
        """Frames of b in the shared space."""
        return _projected(b, self.mean_b, self.weights_b, "b")


@dataclass(frozen=True)
class CanonicalTimeWarping:
    r"""Learn where two sequences agree, in time and in features at once; the features need not be of one kind or number.

    $$ \min_{P, V}\; \frac{1 - c}{\max(n, m)} \sum_{(i, j) \in P} |V_a'a_i - V_b'b_j - o|^2 + c\,(t_a |V_a|^2 + t_b |V_b|^2)
       \quad\text{with}\quad V_a'\,\mathrm{ridge}(S_a)\,V_a + V_b'\,\mathrm{ridge}(S_b)\,V_b = 2 I $$

    over warping paths P, weights V and the offset o, divided by 2 k. Two half steps alternate, each of which finds its minimum:
    dynamic time warping of the projections, and the projections of the path's pairs (a symmetric eigenproblem). S_a and S_b
    are the covariances of the sequences' own frames. (Zhou & De la Torre take them along the path: then a better path
    breaks the constraint of the weights, and the objective may rise.) So the objective never rises, and as there are finitely
    many paths, it stops. What it finds depends on the start: several are tried, and the best kept.

    Args:
        n_components: k, how many directions of the features are compared. One alone is flat in places, where any path will do.
        reg: Ridge c in [0, 1), see `polymodal.core.linalg.ridge`.
        n_iter: Pairs of half steps at most.
        initial: How many starting paths to try (power curves from corner to corner, the straight line first), or an `Alignment`.
        window: Which cells a path may visit, as in `DTW`.

    Complexity:
        O(n m k) time for each path step, O((n + m) d^2 + d^3) for each projection, times starts and iterations.

    Relations:
        * equal lengths and the diagonal path alone (SakoeChiba(0)): the weights of CCA, and the objective is the mean of 1 - rho.
        * any invertible affine map of the features of a or of b leaves the path as it is (reg = 0).
        * the objective never rises in a half step.
        * symmetric in a and b.

    References: Zhou & De la Torre 2009 (NeurIPS).
    """

    n_components: int = 2
    reg: float = 1e-3
    n_iter: int = 50
    initial: int | Alignment = field(default=7)
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.n_components < 1 or self.n_iter < 1 or not 0 <= self.reg < 1:
            raise ModalityError(
                "CanonicalTimeWarping needs n_components and n_iter of at least 1 and reg in [0, 1), got "
                f"{self.n_components}, {self.n_iter} and {self.reg}."
            )
        if not isinstance(self.initial, Alignment) and self.initial < 1:
            raise ModalityError(f"CanonicalTimeWarping needs at least 1 start, got initial={self.initial}.")

    def align(self, a: Any, b: Any) -> Alignment:
        """The path alone; see `fit`."""
        return self.fit(a, b).alignment

    def align_costs(self, costs: Any) -> Alignment:
        """Refused: the costs are what this method learns.

        Raises:
            ModalityError: always.
        """
        raise ModalityError(
            "CanonicalTimeWarping learns what pairs of frames cost from the frames themselves. Give both sequences to align, or "
            "costs to DTW."
        )

    def fit(self, a: Any, b: Any) -> CanonicalWarp:
        """Learn path and projections.

        Args:
            a: A sequence, (frames,) or (frames, features), or a `Ragged` of one.
            b: The other, of any length and number of features.

        Raises:
            ModalityError: NaN, a sequence of one frame, a constant one, or fewer independent features than components.
        """
        (x, rate_a), (y, rate_b) = frames(a, "a"), frames(b, "b")
        pair = Sequences.of({"a": x, "b": y}, self.n_components, self.reg)
        runs = [self._descend(pair, path) for path in self._starts(len(x), len(y))]
        best = min(runs, key=lambda run: run.history[-1])
        found, path = best.found, best.path
        distances = pair.project(0, found)[path[:, 0]] - pair.project(1, found)[path[:, 1]]
        alignment = Alignment.of_path(
            path,
            (len(x), len(y)),
            self,
            cost=best.history[-1],
            normalised_cost=float((distances**2).sum(axis=1).mean()),
            rates=(rate_a, rate_b),
        )
        offset = [
            np.linalg.lstsq(w.T, o, rcond=None)[0] for w, o in zip(found.weights, found.offsets, strict=True)
        ]
        mean_a, mean_b = (mean + shift for mean, shift in zip(pair.means, offset, strict=True))
        weights_a, weights_b = found.weights
        return CanonicalWarp(
            alignment, weights_a, weights_b, mean_a, mean_b, best.history[-1], tuple(best.history), best.converged,
            tuple(run.history[-1] for run in runs),
        )  # fmt: skip

    def _starts(self, n: int, m: int) -> list[Int[np.ndarray, "p 2"]]:
        if isinstance(self.initial, Alignment):
            if (self.initial.length_a, self.initial.length_b) != (n, m):
                raise ModalityError(
                    f"The initial alignment is of {self.initial.length_a} and {self.initial.length_b} frames, a and b have {n} and "
                    f"{m}. Give one of the same sequences."
                )
            return [self.initial.path]
        u = np.linspace(0, 1, n + m)
        curves = [(u, u**gamma) if gamma >= 1 else (u ** (1 / gamma), u) for gamma in warps(self.initial)]
        return [np.unique(np.stack([resampled(x, n), resampled(y, m)], axis=1), axis=0) for x, y in curves]

    def _descend(self, pair: Sequences, path: Int[np.ndarray, "p 2"]) -> _Run:
        warping = DTW("sqeuclidean", self.window)
        scale = max(len(x) for x in pair.frames) / 2
        found = pair.agreeing(_members(path), self.n_components, scale)
        history: list[float] = []
        converged = False
        for _ in range(self.n_iter):
            u, v = pair.project(0, found), pair.project(1, found)
            stepped = warping.align(u, v)
            apart = (1 - self.reg) * stepped.cost / (2 * scale) + pair.penalty(found)
            objective = apart / (2 * self.n_components)
            # (the start may leave cells out, or lie outside the window: it is no entry of the history)
            if history and objective >= history[-1] * (1 - 1e-12):
                converged = True
                break
            path = stepped.path
            found = pair.agreeing(_members(path), self.n_components, scale)
            history += [objective, found.objective]
        return _Run(found, path, history, converged)


@dataclass(frozen=True, eq=False)
class _Run:
    found: Projections
    path: Int[np.ndarray, "p 2"]
    history: list[float]
    converged: bool


def _members(path: Int[np.ndarray, "p 2"]) -> list[tuple[np.ndarray, np.ndarray]]:
    cells = np.arange(len(path))
    return [(path[:, 0], cells), (path[:, 1], cells)]


def _projected(sequence: Any, mean: np.ndarray, weights: np.ndarray, name: str) -> np.ndarray:
    x, _ = frames(sequence, name)
    if x.shape[1] != len(weights):
        raise ModalityError(
            f"The warp was learned with {len(weights)} features in {name}, got {x.shape[1]}. Give a sequence measured as {name} was."
        )
    return np.asarray((x - mean) @ weights)

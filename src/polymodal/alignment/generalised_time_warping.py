"""Generalised canonical time warping: any number of sequences, each with features of its own, brought onto one time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.alignment._projections import Projections, Sequences, checked_sequences
from polymodal.alignment.answer import Alignment
from polymodal.alignment.canonical_time_warping import CanonicalTimeWarping
from polymodal.alignment.dtw import DTW
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Float, Int


@dataclass(frozen=True, eq=False)
class CommonTime:
    """Several sequences on one time.

    Attributes:
        paths: Per sequence, pairs (its frame, step of the common time).
        weights: Per sequence, directions in its features, one a column.
        consensus: The mean of the projections at each step of the common time.
        objective: What was minimised: 0 where all projections are equal at every step, about 1 where nothing agrees.
        history: The objective after every half step: paths, projections, paths, ...
        converged: Whether the last path step changed nothing.
        lengths: Frames of each sequence.
        method: The method that gave this answer.
    """

    paths: dict[str, Int[np.ndarray, "_ 2"]]
    weights: dict[str, Float[np.ndarray, "_ k"]]
    consensus: Float[np.ndarray, "t k"]
    objective: float
    history: tuple[float, ...]
    converged: bool
    lengths: dict[str, int]
    method: GeneralisedTimeWarping

    def warp(self, name: str, values: Any) -> Float[np.ndarray, "t ..."]:
        """Bring sequence `name`, or anything measured at its frames, onto the common time: the mean of the frames at each step."""
        return self._onto_common(name).inverse().warp(np.asarray(values))

    def alignment(self, a: str, b: str) -> Alignment:
        """Which frame of sequence `a` goes with which of `b`: those at one step of the common time, walked in order.

        Its cost is the objective of all sequences.
        """
        pieces = []
        left, right = self._bounds(a), self._bounds(b)
        for (first_a, last_a), (first_b, last_b) in zip(left, right, strict=True):
            steps = max(last_a - first_a, last_b - first_b) + 1
            rows = np.rint(np.linspace(first_a, last_a, steps)).astype(np.int64)
            columns = np.rint(np.linspace(first_b, last_b, steps)).astype(np.int64)
            pieces.append(np.stack([rows, columns], axis=1))
        path = np.unique(np.concatenate(pieces), axis=0)
        return Alignment.of_path(path, (self.lengths[a], self.lengths[b]), self.method, cost=self.objective)

    def _bounds(self, name: str) -> list[tuple[int, int]]:
        """The first and last frame of a sequence at each step."""
        path = self.paths[self._known(name)]
        order = path[np.lexsort((path[:, 0], path[:, 1]))]
        starts = np.searchsorted(order[:, 1], np.arange(len(self.consensus) + 1))
        return [(int(order[s, 0]), int(order[e - 1, 0])) for s, e in itertools.pairwise(starts)]

    def _onto_common(self, name: str) -> Alignment:
        lengths = (self.lengths[self._known(name)], len(self.consensus))
        return Alignment.of_path(self.paths[name], lengths, self.method, cost=self.objective)

    def _known(self, name: str) -> str:
        if name not in self.paths:
            raise ModalityError(
                f"There is no sequence {name!r} among {list(self.paths)}.{suggest(name, self.paths)}"
            )
        return name


@dataclass(frozen=True)
class GeneralisedTimeWarping:
    r"""Canonical time warping of two or more sequences: each is warped onto a consensus that none of them owns.

    $$ \min_{P, V, z}\; \frac{1 - c}{s} \sum_m \sum_{(i, t) \in P_m} |V_m'x_{mi} - o_m - z_t|^2 + c \sum_m t_m |V_m|^2
       \quad\text{with}\quad \sum_m V_m'\,\mathrm{ridge}(S_m)\,V_m = M I $$

    divided by M k, s = T (M - 1) / M. Two half steps alternate, each of which finds its minimum: dynamic time warping of every
    projection to the consensus z of T steps, and projections with consensus in closed form (MAXVAR generalised CCA where the
    paths give each frame equal weight). The objective never rises. It starts from `CanonicalTimeWarping` of every sequence
    with the longest one. (Zhou & De la Torre 2016 approximate the warps by monotone bases and Gauss-Newton, which is linear in the
    lengths; these paths are exact, for O(n T) each.)

    Args:
        n_components: k, how many directions of the features are compared.
        reg: Ridge c in [0, 1).
        n_iter: Pairs of half steps at most.
        length: T, steps of the common time; that of the longest sequence unless given.
        n_starts: Starting paths of each canonical time warping that this one starts from.

    Relations:
        * on the cells of one path, two sequences: the weights of canonical time warping.
        * the order of the sequences does not matter; the objective never rises in a half step.
        * copies of one sequence: objective 0 (reg = 0), and everyone's path is the diagonal.

    References: Zhou & De la Torre 2012 (CVPR), 2016 (PAMI); Kettenring 1971 (MAXVAR).
    """

    n_components: int = 2
    reg: float = 1e-3
    n_iter: int = 50
    length: int | None = None
    n_starts: int = 7

    def __post_init__(self) -> None:
        CanonicalTimeWarping(self.n_components, self.reg, self.n_iter, self.n_starts)
        if self.length is not None and self.length < 2:
            raise ModalityError(
                f"GeneralisedTimeWarping needs a common time of at least 2 steps, got length={self.length}."
            )

    def align(self, a: Any, b: Any) -> Alignment:
        """Two sequences by way of their consensus; see `fit`."""
        return self.fit({"a": a, "b": b}).alignment("a", "b")

    def align_costs(self, costs: Any) -> Alignment:
        """Refused: the costs are what this method learns.

        Raises:
            ModalityError: always.
        """
        return CanonicalTimeWarping().align_costs(costs)

    def fit(self, sequences: Mapping[str, Any]) -> CommonTime:
        """Bring sequences onto one time.

        Args:
            sequences: Name -> (frames,) or (frames, features), of any lengths and numbers of features; at least two.

        Raises:
            ModalityError: fewer than two, NaN, a sequence of one frame, a constant one, or fewer independent features than components.
        """
        if not isinstance(sequences, Mapping) or len(sequences) < 2:
            raise ModalityError(
                "GeneralisedTimeWarping needs at least two sequences by name, {'video': ..., 'audio': ...}, got "
                + (str(list(sequences)) if isinstance(sequences, Mapping) else type(sequences).__name__)
                + "."
            )
        named = checked_sequences({name: sequences[name] for name in sorted(sequences)})
        ready = Sequences.of(named, self.n_components, self.reg)
        members = self._start(named)
        times = self.length or max(len(x) for x in named.values())
        scale = times * (len(named) - 1) / len(named)
        found = ready.agreeing(members, self.n_components, scale)
        consensus = self._consensus(ready, found, members, times)
        history: list[float] = []
        converged = False
        for _ in range(self.n_iter):
            stepped = [
                DTW("sqeuclidean").align(ready.project(m, found), consensus) for m in range(len(named))
            ]
            apart = (1 - self.reg) / scale * sum(one.cost for one in stepped) + ready.penalty(found)
            objective = apart / (len(named) * self.n_components)
            if history and objective >= history[-1] * (1 - 1e-12):
                converged = True
                break
            members = [(one.path[:, 0], one.path[:, 1]) for one in stepped]
            found = ready.agreeing(members, self.n_components, scale)
            consensus = self._consensus(ready, found, members, times)
            history += [objective, found.objective]
        lengths = {name: len(x) for name, x in named.items()}
        paths = {name: np.stack(cells, axis=1) for name, cells in zip(named, members, strict=True)}
        return CommonTime(
            paths, dict(zip(named, found.weights, strict=True)), consensus, history[-1], tuple(history), converged, lengths, self
        )  # fmt: skip

    def _start(self, named: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Everyone's path onto the time of the longest (the first of equals by name), stretched to the common length."""
        reference = max(named, key=lambda name: len(named[name]))
        longest = len(named[reference])
        stretch = ((self.length or longest) - 1) / (longest - 1)
        warping = CanonicalTimeWarping(self.n_components, self.reg, self.n_iter, self.n_starts)
        members = []
        for name, x in named.items():
            path = (
                np.stack([np.arange(longest)] * 2, axis=1)
                if name == reference
                else warping.align(x, named[reference]).path
            )
            members.append((path[:, 0], np.rint(path[:, 1] * stretch).astype(np.int64)))
        return members

    def _consensus(
        self, ready: Sequences, found: Projections, members: list[tuple[np.ndarray, np.ndarray]], times: int
    ) -> np.ndarray:
        """The mean projection at each step; at a step of the start that no frame was put to, that between its neighbours."""
        sums, counts = np.zeros((times, self.n_components)), np.zeros(times)
        for m, (rows, at) in enumerate(members):
            np.add.at(sums, at, ready.project(m, found)[rows])
            counts += np.bincount(at, minlength=times)
        met = np.flatnonzero(counts)
        means = sums[met] / counts[met, None]
        return np.stack([np.interp(np.arange(times), met, column) for column in means.T], axis=1)

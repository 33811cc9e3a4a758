"""Dynamic time warping: the monotone path through two sequences whose matched frames differ least."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from polymodal.alignment import _costs
from polymodal.alignment._costs import CellCosts, Metric
from polymodal.alignment._missing import Gapped, Remaining, free_costs, gapped
from polymodal.alignment._pairs import all_pairs, in_threads
from polymodal.alignment._paths import Problem, shortest_path, stepped_cost, stepped_path, sweep_forward
from polymodal.alignment.answer import Alignment
from polymodal.alignment.steps import StepPattern
from polymodal.alignment.windows import Itakura, SakoeChiba, Window, checked, holds_path, whole
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int

FEW_ENOUGH = 2**22  # cells up to which a refusal looks for what would do
LOOSER = {
    "symmetric": ("symmetric_p2", "symmetric_p1", "symmetric_p05", "symmetric2"),
    "asymmetric": ("asymmetric_p2", "asymmetric_p1", "asymmetric_p05", "asymmetric_p0"),
}


@dataclass(frozen=True)
class DTW:
    r"""Dynamic time warping: $D_{ij} = c_{ij} + \min(D_{i-1,j}, D_{i,j-1}, D_{i-1,j-1})$, exact.

    Args:
        metric: Distance of two frames: "euclidean", "sqeuclidean", "cityblock", "cosine", or a function
            of (n, d) and (m, d) frames that gives the (n, m) matrix of them.
        window: Which cells a path may visit: `SakoeChiba(radius)`, `Itakura(slope)`, an object with `bounds`, or every cell.
        step: The moves a path may make and their weights: a `StepPattern`, or the name of one ("symmetric2", "asymmetric_p1", ...).
        open_begin: The path may start at any frame of b: a is found within b.
        open_end: The path may end at any frame of b.
        convention: "sum" of distances, or "root" of the sum of squared distances. The path may differ, not only the number.
        features: "dependent": one path for all features. "independent": each feature warped by itself, costs added (no single path).

        missing: What frames of NaN alone mean: "refuse" them; "drop": they are in no pair, and cost nothing (a window still counts them);
            "free": they go with any frame at cost 0, in the matrix of all costs.

    Complexity: O(n m) time; O((n + m) d) memory for the cost, and for the path under step "symmetric1"; other paths O(m sqrt(n)).

    Relations:
        * symmetric in a and b (symmetric steps, closed ends), and zero for a sequence with itself; not a metric.
        * equal lengths: at most the sum of frame-by-frame distances, and that sum with SakoeChiba(0).
        * a wider window never costs more; an open end never costs more than a closed one.
        * convention "root" = the square root of the cost under the squared metric.
        * one feature: euclidean = cityblock, dependent = independent.
        * metric "sqeuclidean": independent <= dependent.
        * missing "free": at most the cost with those frames filled in, whatever the filling.
        * missing "drop", no window: the cost of the sequences without those frames.

    References: Sakoe & Chiba 1978; Hirschberg 1975 (linear memory); Shokoohi-Yekta et al. 2017 (dependent, independent).
    """

    metric: Metric = "euclidean"
    window: Window | None = None
    step: StepPattern | str = "symmetric1"
    open_begin: bool = False
    open_end: bool = False
    convention: Literal["sum", "root"] = "sum"
    features: Literal["dependent", "independent"] = "dependent"
    missing: Literal["refuse", "drop", "free"] = "refuse"

    def __post_init__(self) -> None:
        self.pattern  # noqa: B018 (an unknown name is refused here, not at first use)
        if not callable(self.metric):
            _costs.codes(self.metric, False)
        for name, value, known in (
            ("convention", self.convention, ("sum", "root")),
            ("features", self.features, ("dependent", "independent")),
            ("missing", self.missing, ("refuse", "drop", "free")),
        ):
            if value not in known:
                raise ModalityError(f"DTW needs {name} to be one of {known}, got {value!r}.")
        if self.features == "independent" and (callable(self.metric) or self.metric == "cosine"):
            raise ModalityError(
                "DTW(features='independent') compares one feature at a time: use 'euclidean', 'sqeuclidean' or 'cityblock'."
            )

    @property
    def pattern(self) -> StepPattern:
        """The step pattern as an object."""
        return StepPattern.named(self.step) if isinstance(self.step, str) else self.step

    def align(self, a: Any, b: Any) -> Alignment:
        """Path and cost; see `align`."""
        if self.features == "independent":
            raise ModalityError(
                "DTW(features='independent') warps each feature by itself, so there is no one path. Ask dtw_distance for its cost."
            )
        if self.missing != "refuse":
            return self._align_gapped(gapped(a, "a"), gapped(b, "b"))
        (x, rate_a), (y, rate_b) = _costs.frames(a, "a"), _costs.frames(b, "b")
        return self._align(_costs.of_sequences(x, y, self.metric, squared=self._squared), rate_a, rate_b)

    def align_costs(self, costs: Any) -> Alignment:
        """Path and cost, given what each pair of frames costs; `metric` is not used."""
        return self._align(_costs.of_matrix(costs, squared=self._squared), 1.0, 1.0)

    def distance(self, a: Any, b: Any) -> float:
        """The cost alone, in O(n + m) memory; see `dtw_distance`."""
        if self.missing != "refuse":
            return self._distance_gapped(gapped(a, "a"), gapped(b, "b"))
        (x, _), (y, _) = _costs.frames(a, "a"), _costs.frames(b, "b")
        return self._distance(x, y)

    def _distance(self, x: Float[np.ndarray, "n da"], y: Float[np.ndarray, "m db"]) -> float:
        _costs.same_features(x, y)
        if self.features == "independent" and x.shape[1] > 1:
            alone = replace(self, features="dependent")
            parts = [alone._total(alone._problem_of(x[:, [f]], y[:, [f]])) for f in range(x.shape[1])]
            return self._finish(float(np.sum(parts)))
        return self._finish(self._total(self._problem_of(x, y)))

    def _align_gapped(self, a: Gapped, b: Gapped) -> Alignment:
        _costs.same_features(a.values, b.values)
        if self.missing == "free":
            costs = _costs.of_matrix(free_costs(a, b, self.metric), squared=self._squared)
            return self._align(costs, a.rate, b.rate)
        found = self._among(a, b).align(a.values[a.present], b.values[b.present])
        path = np.stack([a.rows[found.path[:, 0]], b.rows[found.path[:, 1]]], axis=1)
        return Alignment.of_path(
            path, (len(a.values), len(b.values)), self, cost=found.cost, normalised_cost=found.normalised_cost, rates=(a.rate, b.rate)
        )  # fmt: skip

    def _distance_gapped(self, a: Gapped, b: Gapped) -> float:
        _costs.same_features(a.values, b.values)
        if self.missing == "drop":
            return self._among(a, b)._distance(a.values[a.present], b.values[b.present])
        apart = self.features == "independent"
        pieces = [slice(f, f + 1) for f in range(a.values.shape[1])] if apart else [slice(None)]
        total = 0.0
        for piece in pieces:
            x, y = (replace(s, values=s.values[:, piece]) for s in (a, b))
            costs = _costs.of_matrix(free_costs(x, y, self.metric), squared=self._squared)
            total += self._total(self._problem(costs))
        return self._finish(total)

    def _among(self, a: Gapped, b: Gapped) -> DTW:
        """The method for the frames that are there."""
        window = None if self.window is None else Remaining(self.window, a.present, b.present)
        return replace(self, window=window, missing="refuse")

    @property
    def _squared(self) -> bool:
        return self.convention == "root"

    def _finish(self, total: float) -> float:
        return float(np.sqrt(total)) if self._squared else total

    def _problem_of(self, x: Float[np.ndarray, "n da"], y: Float[np.ndarray, "m db"]) -> Problem:
        return self._problem(_costs.of_sequences(x, y, self.metric, squared=self._squared))

    def _problem(self, costs: CellCosts) -> Problem:
        return Problem(costs, *self._bounds(*costs.shape), self.open_begin, self.open_end)

    def _bounds(self, n: int, m: int) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """The window's bounds, refused where single steps cannot cross it."""
        first, last = whole(n, m) if self.window is None else checked(self.window, n, m)
        if self.pattern.diagonal_weight is not None and not self._crosses(first, last, m):
            raise ModalityError(self._too_narrow(n, m))
        return first, last

    def _crosses(self, first: np.ndarray, last: np.ndarray, m: int) -> bool:
        return holds_path(first, last, m, open_begin=self.open_begin, open_end=self.open_end)

    def _too_narrow(self, n: int, m: int) -> str:
        message = f"No warping path of {n} by {m} frames fits {self.window}."
        wider = self.window
        if not isinstance(wider, SakoeChiba | Itakura):
            return message + " Use a wider window, or none."
        while not self._crosses(*wider.bounds(n, m), m):
            wider = wider.wider(n, m)
            if isinstance(wider, Itakura) and wider.slope > n + m:
                return (
                    message
                    + f" No slope lets steps of one frame cross it at these lengths: use SakoeChiba({abs(n - m)}), or none."
                )
        return message + f" {wider} would do."

    def _no_path(self, p: Problem) -> ModalityError:
        n, m = p.costs.shape
        least, most = self.pattern.slopes
        slope = (m - 1) / max(n - 1, 1)
        if not least <= slope <= most and not (self.open_begin or self.open_end):
            return ModalityError(
                f"The step pattern lets b advance {least:.3g} to {most:.3g} frames per frame of a, but {n} and {m} frames "
                f"need {slope:.3g}. {self._would_do(p)}Use a looser pattern, resample one sequence, or open the ends."
            )
        return ModalityError(
            f"The step pattern has no path through {n} by {m} frames" + (f" within {self.window}" if self.window else "")
            + f". {self._would_do(p)}Use a wider window, a looser pattern ('symmetric1' crosses any window that holds a path), or open the "
            "ends."
        )  # fmt: skip

    def _would_do(self, p: Problem) -> str:
        """A wider window, or else a looser pattern of the same kind, that has a path: a sentence; nothing where none was found."""
        n, m = p.costs.shape
        wider = self.window
        while isinstance(wider, SakoeChiba | Itakura) and n * m <= FEW_ENOUGH:
            if (wider.radius if isinstance(wider, SakoeChiba) else wider.slope) > n + m:
                break
            wider = wider.wider(n, m)
            bounds = checked(wider, n, m)
            if np.isfinite(stepped_cost(replace(p, first=bounds[0], last=bounds[1]), self.pattern)):
                return f"{wider} would do. "
        symmetric = self.pattern.normalisation == "both"
        for name in LOOSER["symmetric" if symmetric else "asymmetric"] if n * m <= FEW_ENOUGH else ():
            if np.isfinite(stepped_cost(p, StepPattern.named(name))):
                return f"step='{name}' would do. "
        return ""

    def _total(self, p: Problem) -> float:
        """The accumulated cost, before the convention's root."""
        weight = self.pattern.diagonal_weight
        if weight is not None:
            n, m = p.costs.shape
            row = sweep_forward(p, range(n), range(m), p.border(weight - 1), weight - 1)
            return float(row[p.end(row)])
        total = stepped_cost(p, self.pattern)
        if not np.isfinite(total):
            raise self._no_path(p)
        return total

    def _totals(
        self, a: Sequence[Any], b: Sequence[Any], pairs: Int[np.ndarray, "p 2"], n_jobs: int
    ) -> Float[np.ndarray, " p"]:
        """Accumulated costs of many pairs (before the convention's root)."""
        weight = self.pattern.diagonal_weight
        if self.features == "independent":
            alone = replace(self, features="dependent")
            parts = [[[s[:, [f]] for s in c] for c in (a, b)] for f in range(a[0].shape[1])]
            return np.asarray(np.sum([alone._totals(x, y, pairs, n_jobs) for x, y in parts], axis=0))
        if weight is not None and not callable(self.metric) and not (self.open_begin or self.open_end):
            kind, post = _costs.codes(self.metric, self._squared)
            return all_pairs(a, b, pairs, self.metric, kind, post, weight - 1, self._bounds, n_jobs)
        return np.array(
            in_threads(
                lambda pair: self._total(self._problem_of(a[pair[0]], b[pair[1]])), list(pairs), n_jobs
            )
        )

    def _align(self, costs: CellCosts, rate_a: float, rate_b: float) -> Alignment:
        p = self._problem(costs)
        if self.pattern.diagonal_weight == 1:
            path = shortest_path(p)
            total = costs.along(path)
        else:
            total, path = stepped_path(p, self.pattern)
            if not len(path):
                raise self._no_path(p)
        cost = self._finish(total)
        return Alignment.of_path(
            path,
            costs.shape,
            self,
            cost=cost,
            normalised_cost=cost / self.pattern.extent(path),
            rates=(rate_a, rate_b),
        )


def _is_symmetric(method: DTW) -> bool:
    """Whether warping b onto a costs as much as a onto b, so that half of all pairs will do."""
    even = method.window is None or (isinstance(method.window, SakoeChiba) and not method.window.slanted)
    closed = not (method.open_begin or method.open_end)
    return even and closed and method.pattern.diagonal_weight is not None and not callable(method.metric)


def dtw_distance(a: Any, b: Any, method: DTW | None = None) -> float:
    """Cost of warping a onto b, without the path: O(n m) time, O(n + m) memory.

    Args:
        a: Sequence, (frames,) or (frames, features).
        b: The other.
        method: Metric, window, steps and convention; `DTW()` unless said.

    Relations:
        * equals align(a, b, method).cost to rounding.

    Examples:
        >>> dtw_distance([0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 3.0])
        1.0
    """
    return (method or DTW()).distance(a, b)


def dtw_path(a: Any, b: Any, method: DTW | None = None) -> Int[np.ndarray, "p 2"]:
    """The matched pairs of `align(a, b, method)` alone."""
    return (method or DTW()).align(a, b).path


def pairwise_dtw(
    x: Any, other: Any = None, method: DTW | None = None, *, n_jobs: int | None = None
) -> Float[np.ndarray, "n m"]:
    """Costs between all sequences of `x` and all of `other` (of `x` itself, unless given).

    Args:
        x: A `Ragged`, a list of sequences, or an array (sequences, frames) or (sequences, frames, features).
        other: The same, of as many features.
        method: Metric, window, steps and convention; `DTW()` unless said.
        n_jobs: Threads; every core unless said.

    Returns:
        (len(x), len(other)). Its argmin along a row is the nearest neighbour.

    Relations:
        * entry (i, j) = dtw_distance(x[i], other[j], method).
    """
    method = method or DTW()
    if method.missing != "refuse":
        return _pairwise_gapped(_sequences(x), None if other is None else _sequences(other), method, n_jobs)
    a = [_costs.frames(s, f"x[{i}]")[0] for i, s in enumerate(_sequences(x))]
    b = a if other is None else [_costs.frames(s, f"other[{i}]")[0] for i, s in enumerate(_sequences(other))]
    out = np.zeros((len(a), len(b)))
    if not a or not b:
        return out
    for s in (*a, *b):
        _costs.same_features(a[0], s)
    mirrored = other is None and _is_symmetric(method)
    rows, columns = np.triu_indices(len(a), 1) if mirrored else [g.ravel() for g in np.indices(out.shape)]
    out[rows, columns] = method._totals(
        a, b, np.stack([rows, columns], axis=1), n_jobs or os.cpu_count() or 1
    )
    out = np.sqrt(out) if method.convention == "root" else out
    return out + out.T if mirrored else out


def _pairwise_gapped(
    x: Sequence[Any], other: Sequence[Any] | None, method: DTW, n_jobs: int | None
) -> Float[np.ndarray, "n m"]:
    """Pair by pair: each has frames of its own missing, and so a window of its own."""
    a = [gapped(s, f"x[{i}]") for i, s in enumerate(x)]
    b = a if other is None else [gapped(s, f"other[{i}]") for i, s in enumerate(other)]
    pairs = [(s, t) for s in a for t in b]
    costs = in_threads(lambda pair: method._distance_gapped(*pair), pairs, n_jobs or os.cpu_count() or 1)
    return np.array(costs, dtype=np.float64).reshape(len(a), len(b))


def _sequences(x: Any) -> Sequence[Any]:
    if isinstance(x, np.ndarray) and x.ndim < 2:
        raise ModalityError(
            f"pairwise_dtw needs several sequences, (sequences, frames[, features]), got one array of shape {x.shape}."
        )
    return list(x)

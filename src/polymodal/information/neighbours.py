"""`KSG`, `Ross`, `KozachenkoLeonenko`: information of numbers from distances to nearest neighbours, no density in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int
from polymodal.information.counts import codes_of
from polymodal.information.gaussian import numbers
from polymodal.information.problems import Estimate, together


@dataclass(frozen=True)
class KSG:
    r"""First estimator of Kraskov, Stögbauer and Grassberger: $\psi(k) + \psi(n) - \langle \psi(n_x + 1) + \psi(n_y + 1) \rangle$.

    $\epsilon_i$ is the distance of row i to its k-th neighbour in (x, y), in the maximum norm; $n_x$ counts the other rows whose
    x is **strictly** nearer than $\epsilon_i$. Conditional (Frenzel and Pompe):
    $\psi(k) - \langle \psi(n_{xz} + 1) + \psi(n_{yz} + 1) - \psi(n_z + 1) \rangle$.

    Mutual information does not change when x or y is measured in other units, or rotated; this estimate does, a little, because
    the maximum norm does. `standardize` divides every feature by its standard deviation, which settles the units.

    Args:
        k: Neighbours: fewer, less bias and more variance. 3 to 10 is usual.
        standardize: Divide each feature by its standard deviation first; False is the estimator as printed.
        noise: Ties (rounded numbers) break the assumption of a density: this much normal noise, relative to the standard
            deviation, is added to every feature. 0 adds none.

    Raises:
        ModalityError: labels instead of numbers, or no more rows than neighbours.

    Relations:
        * equals scikit-learn's `mutual_info_regression` on one feature each (that one cuts at 0).
        * a constant modality: exactly 0.
        * never above psi(n) - psi(k), which identical modalities reach: there the truth is infinite.

    References: Kraskov, Stögbauer and Grassberger 2004 (equation 8); Frenzel and Pompe 2007.

    Complexity:
        O(n log n) at a few features; towards n^2 at many.
    """

    k: int = 3
    standardize: bool = True
    noise: float = 1e-10
    needs_distinct_rows = True

    def __post_init__(self) -> None:
        _check_k(self.k, "KSG")

    def mutual_information(self, x: Any, y: Any, given: Any, rng: np.random.Generator) -> Estimate:
        """I(x; y), or I(x; y | given)."""
        from scipy.special import digamma

        a, b = (_prepared(v, name, self, rng) for v, name in ((x, "x"), (y, "y")))
        n = len(a)
        _check_rows(n, self.k, "KSG")
        limit = float(digamma(n) - digamma(self.k))
        if a.shape[1] == 0 or b.shape[1] == 0:
            return Estimate(0.0, limit=limit)
        z = None if given is None else _prepared(given, "given", self, rng)
        if z is None or z.shape[1] == 0:
            radius = kth_distance(together(a, b), self.k)
            seen = digamma(count_within(a, radius) + 1) + digamma(count_within(b, radius) + 1)
            return Estimate(float(digamma(self.k) + digamma(n) - seen.mean()), limit=limit)
        radius = kth_distance(together(a, b, z), self.k)
        with_x = digamma(count_within(together(a, z), radius) + 1)
        with_y = digamma(count_within(together(b, z), radius) + 1)
        alone = digamma(count_within(z, radius) + 1)
        return Estimate(float(digamma(self.k) - (with_x + with_y - alone).mean()), limit=limit)


@dataclass(frozen=True)
class Ross:
    r"""Numbers x and one label y: $\psi(n) + \langle \psi(k) - \psi(n_{y}) - \psi(m) \rangle$.

    For each row, the k-th neighbour among the rows of its own label gives a radius, and m counts all rows strictly within it (with
    the row itself). Labels with one row only are left out.

    Args:
        k: Neighbours, fewer where a label has fewer rows.
        standardize: As for `KSG`.
        noise: As for `KSG`.

    Raises:
        ModalityError: x no numbers; no label with two rows; `given`, which this method cannot take.

    Relations:
        * equals scikit-learn's `mutual_info_classif` on one feature (that one cuts at 0).
        * one class: 0.

    References: Ross 2014.
    """

    k: int = 3
    standardize: bool = True
    noise: float = 1e-10
    needs_distinct_rows = True

    def __post_init__(self) -> None:
        _check_k(self.k, "Ross")

    def mutual_information(self, x: Any, y: Any, given: Any, rng: np.random.Generator) -> Estimate:
        """I(x; label)."""
        from scipy.special import digamma

        if given is not None:
            raise ModalityError(
                "Ross needs x and one label only, got `given` too. KSG() and Plugin() can condition."
            )
        labels = codes_of(y, None, "y")
        sizes = np.bincount(labels)
        kept = sizes[labels] > 1
        if not kept.any():
            raise ModalityError(
                f"Ross needs labels y that repeat, but all {len(labels)} rows differ. Use KSG()."
            )
        a, labels = _prepared(x, "x", self, rng)[kept], labels[kept]
        if a.shape[1] == 0 or len(np.unique(labels)) == 1:
            return Estimate(0.0)
        radius, used = np.empty(len(a)), np.empty(len(a))
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            k = min(self.k, len(rows) - 1)
            radius[rows], used[rows] = kth_distance(a[rows], k), k
        own = digamma(sizes[labels])
        found = digamma(len(a)) + (digamma(used) - own - digamma(count_within(a, radius) + 1)).mean()
        return Estimate(float(found))


@dataclass(frozen=True)
class KozachenkoLeonenko:
    r"""Differential entropy: $\psi(n) - \psi(k) + d\, \langle \ln 2 \epsilon_i \rangle$ in the maximum norm.

    Args:
        k: Neighbours.
        noise: As for `KSG`.

    Raises:
        ModalityError: labels instead of numbers, no more rows than neighbours, or a constant feature (minus infinity).

    Relations:
        * numbers times c: grows by d ln |c|, exactly.

    References: Kozachenko and Leonenko 1987; Kraskov et al. 2004 (equation 20).
    """

    k: int = 3
    noise: float = 1e-10
    needs_distinct_rows = True

    def __post_init__(self) -> None:
        _check_k(self.k, "KozachenkoLeonenko")

    def entropy(self, x: Any, rng: np.random.Generator) -> Estimate:
        """h(x), which may be negative."""
        from scipy.special import digamma

        values = numbers(x, "x")
        n, d = values.shape
        _check_rows(n, self.k, "KozachenkoLeonenko")
        spread = values.std(0)
        if (spread == 0).any():
            raise ModalityError(
                "The entropy of x needs features that vary, but one is constant: it would be minus infinity."
            )
        radius = kth_distance(values + self.noise * spread * rng.normal(size=values.shape), self.k)
        return Estimate(float(digamma(n) - digamma(self.k) + d * np.log(2 * radius).mean()))


def kth_distance(points: Float[np.ndarray, "n d"], k: int) -> Float[np.ndarray, " n"]:
    """Distance of each row to its k-th other row, in the maximum norm."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    return np.asarray(tree.query(points, k=[k + 1], p=np.inf)[0][:, 0])


def count_within(points: Float[np.ndarray, "n d"], radius: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """How many other rows are strictly nearer than `radius`, in the maximum norm."""
    # distances are differences of rounded numbers: what lies on the border must not slip in by the last digit
    inside = np.maximum(radius - 4 * np.spacing(np.abs(points).max()), 0)
    if points.shape[1] == 1:
        x = points[:, 0]
        ordered = np.sort(x)
        order = np.argsort(x)
        low = np.empty(len(x), dtype=np.int64)
        high = np.empty(len(x), dtype=np.int64)
        low[order] = np.searchsorted(ordered, (x - inside)[order], side="left")
        high[order] = np.searchsorted(ordered, (x + inside)[order], side="right")
        return high - low - 1
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    return np.asarray(tree.query_ball_point(points, inside, p=np.inf, return_length=True)) - 1


def _prepared(values: Any, name: str, method: KSG | Ross, rng: np.random.Generator) -> np.ndarray:
    """Numbers without constant features, in units of their standard deviation, a tiny noise added."""
    found = numbers(values, name)
    spread = found.std(0)
    varies = spread > 1e-14 * np.abs(found).max(0, initial=0.0)
    found, spread = found[:, varies], spread[varies]
    if method.standardize:
        found, spread = found / spread, np.ones_like(spread)
    return found + method.noise * spread * rng.normal(size=found.shape) if method.noise else found


def _check_k(k: int, who: str) -> None:
    if k < 1:
        raise ModalityError(f"{who} needs k >= 1 neighbours, got {k}.")


def _check_rows(n: int, k: int, who: str) -> None:
    if n <= k:
        raise ModalityError(
            f"{who} needs more rows than neighbours, got {n} rows for k = {k}. Take a smaller k."
        )

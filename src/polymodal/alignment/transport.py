"""Optimal transport: how to carry one weighted set onto another at least cost; elements may be split."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from polymodal.alignment._costs import frames
from polymodal.alignment._distances import all_distances, cost_matrix
from polymodal.alignment._sinkhorn import sinkhorn
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ConvergenceWarning, MissingDependencyError, ModalityError
from polymodal.core.typing import Float

BALANCES = ("balanced", "unbalanced", "partial")


@dataclass(frozen=True)
class Transport:
    r"""The coupling P that carries weights p onto q at least cost, $\min_P \langle C, P\rangle + \epsilon \sum P (\log P - 1)$.

    | balance | what P must do |
    |---|---|
    | "balanced" | $P1 = p$, $P'1 = q$ |
    | "unbalanced" | nothing, but it pays $\tau\,(\mathrm{KL}(P1|p) + \mathrm{KL}(P'1|q))$: far elements may stay at home |
    | "partial" | $P1 \le p$, $P'1 \le q$, total = mass: the cheapest part is carried |

    Epsilon 0 is exact: a vertex of the polytope, with fewer than n + m pairs (network simplex; "unbalanced" by
    majorisation before it, to about six digits). Epsilon > 0 is smooth, a coupling of all pairs, and faster for many
    elements. (With "partial" the entropy counts what stays at home too.)

    Args:
        metric: Cost of a pair in `align`: a name that scipy's `cdist` knows, or a function of (n, d) and (m, d) that gives (n, m).
        epsilon: Strength of the entropy, in the unit of the costs; a hundredth of their mean is small.
        balance: "balanced", "unbalanced" or "partial".
        mass: What is carried in all, for "partial": at most the smaller sum of weights.
        strength: tau, for "unbalanced": in the unit of the costs, what creating or losing mass costs.
        marginals: (p, q), weights >= 0 of the elements; uniform with sum 1 unless given.
        n_iter: Steps at most, of the iterative forms.
        tol: Where they stop: the sum of missed weights; for "unbalanced" of what changes.

    Complexity:
        Exact: about O((n + m) n m log); entropic: O(n m) a step. Both hold the full matrix.

    Relations:
        * one feature, equal sizes and weights, exact: the mean difference of the sorted elements.
        * exact, uniform, n = m: the cost of `Assignment` / n.
        * epsilon -> 0: the exact cost.
        * "unbalanced", strength -> infinity, and "partial" with all the mass: "balanced".

    References: Cuturi 2013; Chizat et al. 2018; Chapel et al. 2021 (unbalanced without entropy);
        Schmitzer 2019 (absorption); Caffarelli & McCann 2010 (partial).
    """

    metric: Any = "sqeuclidean"
    epsilon: float = 0.0
    balance: Literal["balanced", "unbalanced", "partial"] = "balanced"
    mass: float | None = None
    strength: float = 1.0
    marginals: tuple[Any, Any] | None = field(default=None, compare=False, repr=False)
    n_iter: int = 5000
    tol: float = 1e-9

    def __post_init__(self) -> None:
        if self.balance not in BALANCES:
            raise ModalityError(f"Transport needs balance to be one of {BALANCES}, got {self.balance!r}.")
        if not (self.epsilon >= 0 and self.strength > 0 and self.tol >= 0) or self.n_iter < 1:
            raise ModalityError(
                "Transport needs epsilon >= 0, strength > 0, tol >= 0 and n_iter of at least 1, got "
                f"{self.epsilon}, {self.strength}, {self.tol} and {self.n_iter}."
            )
        if (self.mass is None) == (self.balance == "partial"):
            raise ModalityError(
                f"Transport needs mass for balance='partial', and only there; got mass={self.mass} with balance={self.balance!r}."
            )

    def align(self, a: Any, b: Any) -> Alignment:
        """The coupling of two sets in one space.

        Raises:
            ModalityError: elements of unlike features (see `GromovWasserstein`), NaN, or sets too large for their matrix of costs.
        """
        (x, rate_a), (y, rate_b) = frames(a, "a"), frames(b, "b")
        return self._carry(all_distances(x, y, self.metric, "Transport"), (rate_a, rate_b))

    def align_costs(self, costs: Any) -> Alignment:
        """The coupling, given what each pair costs."""
        return self._carry(cost_matrix(costs, finite=True), (1.0, 1.0))

    def _carry(self, costs: Float[np.ndarray, "n m"], rates: tuple[float, float]) -> Alignment:
        p, q = self._weights(costs.shape)
        if self.balance == "unbalanced":
            plan = self._unbalanced(costs, p, q)
        elif self.balance == "partial":
            plan = self._partial(costs, p, q)
        else:
            _check_equal(p, q)
            plan = self._balanced(costs, p, q)
        carried = float((plan * costs).sum())
        return Alignment.of_coupling(
            plan,
            self,
            cost=carried + self._paid(plan, p, q),
            normalised_cost=carried / max(float(plan.sum()), 1e-300),
            rates=rates,
        )

    def _weights(self, shape: tuple[int, ...]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
        if self.marginals is None:
            return np.full(shape[0], 1 / shape[0]), np.full(shape[1], 1 / shape[1])
        p, q = (np.asarray(w, dtype=np.float64) for w in self.marginals)
        for name, w, n in (("a", p, shape[0]), ("b", q, shape[1])):
            if w.shape != (n,) or not np.isfinite(w).all() or (w < 0).any() or not w.any():
                raise ModalityError(
                    f"Transport needs one finite weight >= 0 for each of the {n} elements of {name}, not all 0; got marginals of shape "
                    f"{w.shape}" + (f" with smallest {w.min()}." if w.size else ".")
                )
        return p, q

    def _balanced(self, costs: np.ndarray, p: np.ndarray, q: np.ndarray) -> Float[np.ndarray, "n m"]:
        if self.epsilon:
            return sinkhorn(costs, p, q, epsilon=self.epsilon, n_iter=self.n_iter, tol=self.tol)
        plan: np.ndarray = pot().emd(p, q * (p.sum() / q.sum()), costs, numItermax=10_000_000)
        return plan

    def _unbalanced(self, costs: np.ndarray, p: np.ndarray, q: np.ndarray) -> Float[np.ndarray, "n m"]:
        if self.epsilon:
            return sinkhorn(
                costs, p, q, epsilon=self.epsilon, strength=self.strength, n_iter=self.n_iter, tol=self.tol
            )
        return _unbalanced_exactly(costs, p, q, self.strength, self.n_iter)

    def _partial(self, costs: np.ndarray, p: np.ndarray, q: np.ndarray) -> Float[np.ndarray, "n m"]:
        """Balanced transport with one more element on each side, which takes what stays at home for nothing."""
        mass, most = float(self.mass or 0.0), min(float(p.sum()), float(q.sum()))
        if not 0 < mass <= most * (1 + 1e-12):
            raise ModalityError(
                f"Partial transport carries more than 0 and at most the smaller sum of weights, {most:g}; got mass={mass:g}."
            )
        mass = min(mass, most)
        n, m = costs.shape
        wider = np.zeros((n + 1, m + 1))
        # nothing goes from one of them to the other: forbidden, or (the simplex takes no infinity) dearer than any detour
        wider[:n, :m] = costs - min(0.0, float(costs.min()))
        wider[n, m] = np.inf if self.epsilon else 2 * float(wider.max()) + 1.0
        plan = self._balanced(wider, np.append(p, float(q.sum()) - mass), np.append(q, float(p.sum()) - mass))
        carried = plan[:n, :m]
        if not self.epsilon:
            carried[carried < 1e-13 * mass] = 0.0  # what the sums of weights leave by rounding is no pair
        return carried

    def _paid(self, plan: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
        """What was minimised beside the cost of carrying."""
        paid = 0.0
        if self.epsilon:
            inside = plan[plan > 0]
            paid += self.epsilon * float((inside * (np.log(inside) - 1)).sum())
        if self.balance == "unbalanced":
            paid += self.strength * (_kl(plan.sum(axis=1), p) + _kl(plan.sum(axis=0), q))
        return paid


def pot() -> Any:
    """The library of transport algorithms, loaded when first needed (some seconds).

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import ot
    except ImportError as error:
        raise MissingDependencyError(
            'Exact transport and Gromov-Wasserstein need POT: pip install "polymodal[transport]" (entropic transport does without).'
        ) from error
    return ot


def _unbalanced_exactly(
    costs: np.ndarray, p: np.ndarray, q: np.ndarray, strength: float, n_iter: int
) -> Float[np.ndarray, "n m"]:
    """The convex problem without entropy.

    From an entropic plan, multiplicative steps of majorisation, none of which raises the objective (Chapel et al. 2021); they settle how
    much each element sends and gets. Exact transport between those weights is then no dearer, and has the fewest pairs.
    """
    emd = pot().emd
    rows, columns = np.flatnonzero(p), np.flatnonzero(q)
    c, p, q = costs[np.ix_(rows, columns)], p[rows], q[columns]
    spread = float(c.mean() - c.min())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # only where the steps below start from
        epsilon = max(1e-3 * spread, 1e-6 * strength)
        plan = sinkhorn(c, p, q, epsilon=epsilon, strength=strength, n_iter=min(n_iter, 2000), tol=1e-6)
    shrink, before = np.exp(-c / (2 * strength)), np.inf
    for step in range(n_iter):
        sent, got = (np.maximum(plan.sum(axis=axis), 1e-300) for axis in (1, 0))
        if step % 20 == 0:
            value = float((plan * c).sum()) + strength * (_kl(sent, p) + _kl(got, q))
            if before - value <= 1e-10 * abs(value):
                break
            before = value
        plan = plan * np.sqrt(p / sent)[:, None] * np.sqrt(q / got) * shrink
    sent, got = plan.sum(axis=1), plan.sum(axis=0)
    full = np.zeros(costs.shape)
    if sent.sum() > 0:
        full[np.ix_(rows, columns)] = emd(sent, got * (sent.sum() / got.sum()), c, numItermax=10_000_000)
    return full


def _check_equal(p: np.ndarray, q: np.ndarray) -> None:
    if abs(p.sum() - q.sum()) > 1e-9 * max(p.sum(), q.sum()):
        raise ModalityError(
            f"Balanced transport needs marginals of equal sum, a has {p.sum():g} and b {q.sum():g}. Divide each by its sum, or use "
            "balance='unbalanced' or 'partial'."
        )


def _kl(x: np.ndarray, y: np.ndarray) -> float:
    r"""$\sum x \log(x/y) - x + y$; 0 log 0 = 0."""
    inside = x > 0
    if (y[inside] == 0).any():
        return float("inf")
    return float((x[inside] * np.log(x[inside] / y[inside])).sum() - x.sum() + y.sum())

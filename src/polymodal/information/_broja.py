r"""The convex programme of BROJA, solved on its dual by an interior-point method, with a certified gap.

The objective $f(q) = \sum q_{ijk} \log (q_{ijk} / q_{ij\cdot})$ is homogeneous of degree one, so its dual has a closed form:

$$ \max_{\alpha, \beta} \sum_{ik} a_{ik} \alpha_{ik} + \sum_{jk} b_{jk} \beta_{jk}
   \quad \text{s.t.} \quad \sum_k e^{\alpha_{ik} + \beta_{jk}} \le 1 \ \text{for all}\ i, j. $$

It has (I + J) K variables where the primal has I J K. A logarithmic barrier on the I J constraints gives Newton systems of
that size, and its optimality conditions say what q is: $q_{ijk} = \mu w_{ij} e_{ijk} / (1 - \sum_k e_{ijk})$.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from polymodal.core.typing import Float

_SHRINK = 0.1
"""Each stage lowers the barrier's weight to this share."""

_NEWTON_STEPS = 50
_BACKTRACKS = 40
_SETTLED = 1e-2
"""Squared length of a Newton step, relative to the smallest weight, after which one more stage may begin."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """`q` has the marginals asked for; f(q) is at most `gap` above the least value. Nats."""

    q: Float[np.ndarray, "i j k"]
    value: float
    gap: float


def least_joint_information(
    a: Float[np.ndarray, "i k"], b: Float[np.ndarray, "j k"], *, tol: float = 1e-8, max_stages: int = 40
) -> Optimum:
    """Minimise sum q log(q_ijk / q_ij.) over q >= 0 with sum_j q_ijk = a_ik and sum_i q_ijk = b_jk.

    Args:
        a: Joint probabilities of the first source and the target; columns sum to those of `b`.
        b: The same for the second source. No empty row in either.
        tol: The gap, in nats, at which to stop.
        max_stages: Most reductions of the barrier; the best q so far and its gap are returned when they are used up.

    Complexity:
        O(I J K^2 + ((I + J) K)^3) a Newton step, some 30 to 60 steps.
    """
    barrier = _Barrier(a, b)
    best = Optimum(independent := _independent(a, b), value_of(independent), np.inf)
    lower, mu = -np.inf, 1.0
    for _ in range(max_stages):
        settled = barrier.centre(mu)
        lower = max(lower, barrier.bound())
        q = round_to_marginals(barrier.primal(mu), a, b)
        value = value_of(q)
        if value <= best.value:
            best = Optimum(q, value, value - lower)
        best = Optimum(best.q, best.value, max(best.value - lower, 0.0))
        if best.gap <= tol or (not settled and mu < tol):
            break
        mu *= _SHRINK
    return best


class _Barrier:
    """The dual variables, and Newton's method on -(a.alpha + b.beta)/mu - sum_ij w_ij log(1 - sum_k e_ijk)."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self.a, self.b = a, b
        self.weights = a.sum(1)[:, None] * b.sum(1)[None, :]
        p_a, p_b = a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)
        # by Cauchy-Schwarz sum_k sqrt(p q) <= 1: half of that is inside
        with np.errstate(divide="ignore"):
            self.alpha = 0.5 * np.log(p_a) - np.log(2)
            self.beta = 0.5 * np.log(p_b)
        # adding c_k to alpha and taking it from beta changes nothing: one beta of each k stays where it is
        free_b = b > 0
        free_b[np.argmax(b, axis=0), np.arange(b.shape[1])] = False
        self.free = np.flatnonzero(np.r_[(a > 0).ravel(), free_b.ravel()])

    def e(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        return np.exp(alpha[:, None, :] + beta[None, :, :])

    def slope(self, alpha: np.ndarray, beta: np.ndarray, step: tuple[np.ndarray, np.ndarray], mu: float) -> float:
        """Derivative along `step`; infinite outside. Values would be lost in rounding where slopes are not."""
        e = self.e(alpha, beta)
        slack = 1 - e.sum(2)
        if slack.min() <= 0:
            return np.inf
        q = mu * (self.weights / slack)[:, :, None] * e
        return float((((q.sum(1) - self.a) * step[0]).sum() + ((q.sum(0) - self.b) * step[1]).sum()) / mu)

    def centre(self, mu: float) -> bool:
        """Newton's method to the point of the central path at `mu`; False where rounding stops it first."""
        for _ in range(_NEWTON_STEPS):
            step, decrease = self._newton(mu)
            size = 1.0
            for _ in range(_BACKTRACKS):
                alpha, beta = self.alpha + size * step[0], self.beta + size * step[1]
                if self.slope(alpha, beta, step, mu) <= 0.5 * decrease:
                    break
                size *= 0.5
            else:
                return False
            self.alpha, self.beta = alpha, beta
            if size == 1.0 and decrease <= _SETTLED * self.weights.min():
                return True
        return False

    def _newton(self, mu: float) -> tuple[tuple[np.ndarray, np.ndarray], float]:
        i, k = self.a.shape
        j = len(self.b)
        e = self.e(self.alpha, self.beta)
        slack = 1 - e.sum(2)
        first = mu * (self.weights / slack)[:, :, None] * e  # what q would be
        root = e * np.sqrt(mu * self.weights / slack**2)[:, :, None]
        gradient = np.r_[(first.sum(1) - self.a).ravel(), (first.sum(0) - self.b).ravel()]
        h = np.zeros((i + j, k, i + j, k))
        kinds = np.arange(k)
        rows, columns = np.arange(i), np.arange(j) + i
        h[rows, :, rows, :] = np.matmul(root.transpose(0, 2, 1), root)
        h[columns, :, columns, :] = np.matmul(root.transpose(1, 2, 0), root.transpose(1, 0, 2))
        cross = root[:, :, :, None] * root[:, :, None, :]
        cross[:, :, kinds, kinds] += first
        h[:i, :, i:, :] = cross.transpose(0, 2, 1, 3)
        h[i:, :, :i, :] = cross.transpose(1, 3, 0, 2)
        h = h.reshape((i + j) * k, (i + j) * k)
        h[np.diag_indices_from(h)] += np.r_[first.sum(1).ravel(), first.sum(0).ravel()]
        step = np.zeros(len(gradient))
        step[self.free] = -_solve(h[np.ix_(self.free, self.free)], gradient[self.free])
        decrease = float(-gradient @ step) / mu
        return (step[: i * k].reshape(i, k), step[i * k :].reshape(j, k)), decrease

    def primal(self, mu: float) -> np.ndarray:
        e = self.e(self.alpha, self.beta)
        return np.asarray(mu * (self.weights / (1 - e.sum(2)))[:, :, None] * e)

    def bound(self) -> float:
        """A lower bound of the least value: the dual objective, moved onto the feasible set first."""
        with np.errstate(divide="ignore"):
            excess = np.log(self.e(self.alpha, self.beta).sum(2))
        over = min(self.a.sum(1) @ excess.max(1), self.b.sum(1) @ excess.max(0))  # either move will do
        return _inner(self.a, self.alpha) + _inner(self.b, self.beta) - float(over)


def _solve(h: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Cholesky of the matrix scaled to unit diagonal; a little is added to the diagonal only where rounding needs it."""
    scale = 1 / np.sqrt(np.maximum(np.diag(h), 1e-300))
    scaled = h * scale[:, None] * scale[None, :]
    for ridge in (0.0, 1e-14, 1e-12, 1e-10, 1e-8):
        try:
            scaled[np.diag_indices_from(scaled)] = 1 + ridge
            factor = cho_factor(scaled, lower=True, check_finite=False)
            return np.asarray(scale * cho_solve(factor, gradient * scale, check_finite=False))
        except LinAlgError:
            continue
    return gradient * scale**2


def _inner(weights: np.ndarray, values: np.ndarray) -> float:
    """sum weights * values, where 0 * -inf counts as 0."""
    inside = weights > 0
    return float(weights[inside] @ values[inside])


def _independent(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """q under which the sources are independent given the target."""
    total = a.sum(0)
    return np.asarray(a[:, None, :] * b[None, :, :] / np.where(total > 0, total, 1))


def value_of(q: Float[np.ndarray, "i j k"]) -> float:
    """f(q) = sum q log(q_ijk / q_ij.) = -H(Y | X1, X2), in nats."""
    inside = q > 0
    pairs = np.broadcast_to(q.sum(2, keepdims=True), q.shape)
    return float((q[inside] * np.log(q[inside] / pairs[inside])).sum())


def round_to_marginals(
    q: Float[np.ndarray, "i j k"], a: Float[np.ndarray, "i k"], b: Float[np.ndarray, "j k"]
) -> Float[np.ndarray, "i j k"]:
    """The nearest simple q that has the marginals: shrink rows, shrink columns, spread what is missing (Altschuler et al. 2017)."""
    q = q * np.minimum(a / np.maximum(q.sum(1), 1e-300), 1)[:, None, :]
    q = q * np.minimum(b / np.maximum(q.sum(0), 1e-300), 1)[None, :, :]
    lack_a, lack_b = np.maximum(a - q.sum(1), 0), np.maximum(b - q.sum(0), 0)
    lack = lack_a.sum(0)
    return q + lack_a[:, None, :] * lack_b[None, :, :] / np.where(lack > 0, lack, 1)

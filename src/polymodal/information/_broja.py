r"""The convex programme of BROJA, solved on its dual by a primal-dual interior-point method, with a certified gap.

The objective $f(q) = \sum q_{ijk} \log (q_{ijk} / q_{ij\cdot})$ is homogeneous of degree one, so its dual has a closed form, a
geometric programme:

$$ \max_{\alpha, \beta} \sum_{ik} a_{ik} \alpha_{ik} + \sum_{jk} b_{jk} \beta_{jk}
   \quad \text{s.t.} \quad \log \sum_k e^{\alpha_{ik} + \beta_{jk}} \le 0 \ \text{for all}\ i, j. $$

It has (I + J) K variables where the primal has I J K. The multiplier $u_{ij}$ of a constraint is $q_{ij\cdot}$, and the softmax of
$\alpha_{i} + \beta_{j}$ is $q(k | i, j)$. Every iterate gives a feasible q (rounded to the marginals) and a feasible pair
(alpha, beta) (shifted), whose values lie on both sides of the optimum: their difference is the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from polymodal.core.typing import Float

_MOST = 0.99
"""Share of the way to the boundary that a step may go."""

_FURTHEST = 3.0
"""No logarithm moves more in one step: beyond, the linear model of an exponential says nothing."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """`q` has the marginals asked for; f(q) is at most `gap` above the least value. Nats."""

    q: Float[np.ndarray, "i j k"]
    value: float
    gap: float


def least_joint_information(
    a: Float[np.ndarray, "i k"], b: Float[np.ndarray, "j k"], *, tol: float = 1e-8, max_iter: int = 200
) -> Optimum:
    """Minimise sum q log(q_ijk / q_ij.) over q >= 0 with sum_j q_ijk = a_ik and sum_i q_ijk = b_jk.

    Args:
        a: Joint probabilities of the first source and the target; columns sum to those of `b`.
        b: The same for the second source. No empty row or column in either.
        tol: The gap, in nats, at which to stop.
        max_iter: Most steps; the best q so far and its gap are returned when they are used up.

    Complexity:
        O(I J K^2 + ((I + J) K)^3) a step, some 15 to 40 steps.
    """
    iterate = _Iterate(a, b)
    q = _independent(a, b)
    value, lower = value_of(q), -np.inf
    for _ in range(max_iter):
        iterate.step()
        lower = max(lower, iterate.bound())
        candidate = round_to_marginals(iterate.primal(), a, b)
        if (reached := value_of(candidate)) < value:
            q, value = candidate, reached
        if value - lower <= tol or iterate.stuck:
            break
    return Optimum(q, value, max(value - lower, 0.0))


class _Iterate:
    """alpha and beta (as one z), slacks t and multipliers u of log sum_k exp(alpha_ik + beta_jk) + t_ij = 0, u t -> 0."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self.a, self.b = a, b
        # by Cauchy-Schwarz sum_k sqrt(p q) <= 1: half of that is inside
        with np.errstate(divide="ignore"):
            self.alpha = 0.5 * np.log(a / a.sum(1, keepdims=True)) - np.log(2)
            self.beta = 0.5 * np.log(b / b.sum(1, keepdims=True))
        # adding c_k to alpha and taking it from beta changes nothing: one beta of each k stays where it is
        free_b = b > 0
        free_b[np.argmax(b, axis=0), np.arange(b.shape[1])] = False
        self.free = np.flatnonzero(np.r_[(a > 0).ravel(), free_b.ravel()])
        self.pairs = (a[:, None, :] * b[None, :, :]).any(2)  # of the others nothing is asked
        self.u = np.where(self.pairs, _independent(a, b).sum(2), 0.0)
        self.t = np.where(self.pairs, -self._logs()[0], 1.0)
        self.stuck = False

    def _logs(self) -> tuple[np.ndarray, np.ndarray]:
        """Log sum_k e_ijk, and e_ijk over its sum."""
        z = self.alpha[:, None, :] + self.beta[None, :, :]
        top = np.where(self.pairs, z.max(2), 0.0)
        e = np.exp(z - top[:, :, None])
        s = np.where(self.pairs, e.sum(2), 1.0)
        return np.log(s) + top, e / s[:, :, None]

    def step(self) -> None:
        """One predictor and corrector step (Mehrotra)."""
        logs, share = self._logs()
        solve = self._newton(share)
        residual = np.where(self.pairs, logs + self.t, 0.0)
        product = self.u * self.t
        mu = product.sum() / self.pairs.sum()
        _, d_t, d_u = self._direction(solve, share, residual, product)
        length = min(_room(self.u, d_u), _room(self.t, d_t))
        ahead = ((self.u + length * d_u) * (self.t + length * d_t))[self.pairs].mean()
        target = mu * (ahead / mu) ** 3
        complementary = np.where(self.pairs, product + d_u * d_t - target, 0.0)
        d_z, d_t, d_u = self._direction(solve, share, residual, complementary)
        length = min(1.0, _MOST * min(_room(self.u, d_u), _room(self.t, d_t)))
        self.alpha = self.alpha + length * d_z[0]
        self.beta = self.beta + length * d_z[1]
        self.u, self.t = self.u + length * d_u, self.t + length * d_t
        self.stuck = length < 1e-12 or mu < 1e-24

    def _newton(self, share: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Solver of the system in (alpha, beta): the curvature of the constraints, and u/t times their gradients' squares."""
        i, j, k = share.shape
        first = self.u[:, :, None] * share
        factor = np.where(self.pairs, self.u / self.t - self.u, 0.0)
        weighted = factor[:, :, None] * share
        h = np.zeros((i + j, k, i + j, k))
        kinds, rows, columns = np.arange(k), np.arange(i), np.arange(j) + i
        h[rows, :, rows, :] = np.matmul(weighted.transpose(0, 2, 1), share)
        h[columns, :, columns, :] = np.matmul(weighted.transpose(1, 2, 0), share.transpose(1, 0, 2))
        cross = weighted[:, :, :, None] * share[:, :, None, :]
        cross[:, :, kinds, kinds] += first
        h[:i, :, i:, :] = cross.transpose(0, 2, 1, 3)
        h[i:, :, :i, :] = cross.transpose(1, 3, 0, 2)
        h = h.reshape((i + j) * k, (i + j) * k)
        h[np.diag_indices_from(h)] += np.r_[first.sum(1).ravel(), first.sum(0).ravel()]
        return _solver(h[np.ix_(self.free, self.free)])

    def _direction(
        self,
        solve: Callable[[np.ndarray], np.ndarray],
        share: np.ndarray,
        residual: np.ndarray,
        product: np.ndarray,
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        """Changes of (alpha, beta), t and u that bring `residual` and `product` to 0 and the marginals to what is asked."""
        i, j, k = share.shape
        push = ((self.u + (self.u * residual - product) / self.t)[:, :, None]) * share
        right = np.r_[(self.a - push.sum(1)).ravel(), (self.b - push.sum(0)).ravel()]
        d = np.zeros(len(right))
        d[self.free] = solve(right[self.free])
        d = np.clip(d, -_FURTHEST, _FURTHEST)  # each for itself: rare outcomes ask for much and matter little
        d_alpha, d_beta = d[: i * k].reshape(i, k), d[i * k :].reshape(j, k)
        along = (share * (d_alpha[:, None, :] + d_beta[None, :, :])).sum(2)
        d_t = np.where(self.pairs, -residual - along, 0.0)
        d_u = np.where(self.pairs, -(product + self.u * d_t) / self.t, 0.0)
        return (d_alpha, d_beta), d_t, d_u

    def primal(self) -> np.ndarray:
        """The q of the present multipliers; its marginals are nearly right."""
        return np.asarray(self.u[:, :, None] * self._logs()[1])

    def bound(self) -> float:
        """A lower bound of the least value: the dual objective, (alpha, beta) moved onto the feasible set first."""
        excess = np.where(self.pairs, self._logs()[0], -np.inf)
        over = min(self.a.sum(1) @ excess.max(1), self.b.sum(1) @ excess.max(0))  # either move will do
        return _inner(self.a, self.alpha) + _inner(self.b, self.beta) - float(over)


def _solver(h: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Cholesky of the matrix scaled to unit diagonal; a little is added to the diagonal only where rounding needs it."""
    scale = 1 / np.sqrt(np.maximum(np.diag(h), 1e-300))
    scaled = h * scale[:, None] * scale[None, :]
    diagonal = np.diag_indices_from(scaled)
    for ridge in (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6):
        scaled[diagonal] = 1 + ridge
        try:
            factor = cho_factor(scaled, lower=True, check_finite=False)
        except LinAlgError:
            continue
        return lambda right: np.asarray(scale * cho_solve(factor, right * scale, check_finite=False))
    return lambda right: right * scale**2


def _room(x: np.ndarray, step: np.ndarray) -> float:
    """How far `step` can be followed, at most 1, before something in x falls to 0."""
    falling = step < 0
    return min(1.0, float((x[falling] / -step[falling]).min(initial=np.inf)))


def _inner(weights: np.ndarray, values: np.ndarray) -> float:
    """Sum of weights * values, where 0 * -inf counts as 0."""
    inside = weights > 0
    return float(weights[inside] @ values[inside])


def _independent(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The q under which the sources are independent given the target."""
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
    return np.asarray(q + lack_a[:, None, :] * lack_b[None, :, :] / np.where(lack > 0, lack, 1))

"""SimpleMKL: weights on the simplex and a kernel machine, learned together; by quasi-Newton steps along the simplex."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polymodal.core.errors import ConfigError, ConvergenceWarning
from polymodal.core.typing import Float
from polymodal.fusion._kernel_machines import Dual, Kernels, combine, quadratics
from polymodal.fusion._kernel_weights import KernelWeights, equal_shares

Solve = Callable[[np.ndarray], Dual]
MOST_TRIALS = 12  # of the step length
FALLS = 1e-4  # share of the promised fall that a step must bring (Armijo)
WITHIN = 1e4  # weight of the sum being 1, against the curvature


@dataclass(frozen=True)
class SimpleMKL:
    """Weights by SimpleMKL: learned together with the machine, many of them 0.

    Args:
        tol: Largest duality gap at the end, as a share of the objective.
        max_iter: Most steps, each some solutions of the machine.
    """

    tol: float = 1e-3
    max_iter: int = 200

    def __post_init__(self) -> None:
        if not self.tol > 0 or self.max_iter < 1:
            raise ConfigError(f"SimpleMKL needs tol > 0 and max_iter >= 1, got {self}.")


def simple_weights(
    kernels: Kernels, solve: Solve, *, tol: float = 1e-3, max_iter: int = 200
) -> tuple[KernelWeights, list[float]]:
    r"""$\min_{d \ge 0,\ 1'd = 1} J(d)$, J the minimum of the machine with kernel $\sum_m d_m K_m$: convex in d for fixed kernels.

    $$ \frac{\partial J}{\partial d_m} = -\tfrac{1}{2} \sum_o \beta_o' K_m \beta_o = -q_m, \qquad
       \text{gap} = \max_m q_m - \sum_m d_m q_m \ge J(d) - J^* $$

    The outputs share the weights: their objectives add up. Each step minimises a quadratic model of J over the simplex and is shortened
    until J falls. The model's curvature is learned from the gradients (BFGS); it begins with a quarter of that of J's separable upper
    bound, 2 q_m / d_m. The reduced gradient of the paper reaches the same weights with five to ten times as many solutions of the machine.

    Args:
        kernels: Gram matrices.
        solve: Gives the machine's dual solution for a Gram matrix.
        tol: Largest duality gap, as a share of J.
        max_iter: Most steps; a solution of the machine each, rarely more.

    Returns:
        The weights with their gap, and J before every step and at the end.

    Relations:
        * at the answer q_m are equal (to the gap) where d_m > 0, and no larger where d_m = 0.

    References:
        Rakotomamonjy, Bach, Canu and Grandvalet 2008. Powell 1978 (damped BFGS).
    """
    d = equal_shares(kernels)
    dual = solve(combine(kernels, d))
    q = quadratics(kernels, dual.coefficients) / 2
    B, fresh = _separable(d, q), True
    path = [dual.objective]
    while True:
        gap = float(q.max() - d @ q) / max(abs(dual.objective), 1e-300)
        if gap <= tol or len(path) > max_iter:
            break
        moved = _step(kernels, solve, d, lowest_on_simplex(B, -q - B @ d) - d, dual, q)
        if moved is None and fresh:
            break  # the rounding of the machine's solution allows no further fall
        if moved is None:
            B, fresh = _separable(d, q), True
            continue
        new, dual = moved
        new_q = quadratics(kernels, dual.coefficients) / 2
        B, fresh = updated(B, new - d, q - new_q), False
        d, q = new, new_q
        path.append(dual.objective)
    if gap > tol:
        warnings.warn(
            f"SimpleMKL stopped after {len(path) - 1} steps with a duality gap of {gap:.2g} of the objective (tol={tol}). "
            "Raise max_iter or tol.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return KernelWeights(d, dual.objective, gap, len(path) - 1), path


def lowest_on_simplex(B: Float[np.ndarray, "m m"], c: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    r"""$\arg\min_{x \ge 0,\ 1'x = 1} c'x + \tfrac{1}{2} x'Bx$ for positive definite B, as non-negative least squares.

    The sum is held to 1 by a heavy row and then exactly; c is moved along 1 first, which changes nothing on the simplex.
    """
    from scipy.optimize import nnls

    root = np.linalg.cholesky(B)  # B = root root'
    wanted = np.linalg.solve(root, -(c - c.min()))
    heavy = WITHIN * float(np.sqrt(np.diag(B).max()))
    x, _ = nnls(np.vstack([root.T, np.full(len(c), heavy)]), np.append(wanted, heavy))
    return np.asarray(x / x.sum())


def updated(
    B: Float[np.ndarray, "m m"], step: Float[np.ndarray, " m"], change: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "m m"]:
    """B after a step along which the gradient changed by `change`; damped, so that it stays positive definite.

    Relations:
        * where step'change is large enough, the new B times the step is the change.
    """
    expected = B @ step
    curvature, seen = float(step @ expected), float(step @ change)
    share = 1.0 if seen >= 0.2 * curvature else 0.8 * curvature / (curvature - seen)
    change = share * change + (1 - share) * expected
    out: np.ndarray = (
        B + np.outer(change, change) / (step @ change) - np.outer(expected, expected) / curvature
    )
    return out


def _separable(d: np.ndarray, q: np.ndarray) -> np.ndarray:
    curvature = q / np.maximum(2 * d, 2 / len(d))
    return np.diag(np.maximum(curvature, 1e-6 * max(float(curvature.max()), 1e-300)))


def _step(
    kernels: Kernels, solve: Solve, d: np.ndarray, direction: np.ndarray, dual: Dual, q: np.ndarray
) -> tuple[np.ndarray, Dual] | None:
    """The first of ever shorter steps that brings J down; None where none does."""
    slope = -float(q @ direction)
    if slope >= 0:
        return None
    length = 1.0
    for _ in range(MOST_TRIALS):
        new = d + length * direction
        new = np.where(new > 1e-12, new, 0.0)
        new /= new.sum()
        found = solve(combine(kernels, new))
        rise = found.objective - dual.objective
        if rise <= FALLS * length * slope:
            return new, found
        best = -slope * length / (2 * (rise / length - slope))  # of the parabola through what is known
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None

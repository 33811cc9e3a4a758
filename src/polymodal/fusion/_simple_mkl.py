"""SimpleMKL: weights on the simplex and a kernel machine, learned together by reduced gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polymodal.core.errors import ConfigError, ConvergenceWarning
from polymodal.core.typing import Float
from polymodal.fusion._kernel_machines import Dual, Kernels, combine, quadratics
from polymodal.fusion._kernel_weights import KernelWeights

Solve = Callable[[np.ndarray], Dual]
MOST_TRIALS = 8  # of the step length
FLAT = 0.05  # a step is long enough where the slope has fallen to this share


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

    The outputs share the weights: their objectives add up. Each step goes along the gradient reduced to the simplex, as far as its
    slope is downhill, so J never rises.

    Args:
        kernels: Gram matrices.
        solve: Gives the machine's dual solution for a Gram matrix.
        tol: Largest duality gap, as a share of J.
        max_iter: Most steps; some solutions of the machine each.

    Returns:
        The weights with their gap, and J before every step and at the end.

    Relations:
        * at the answer q_m are equal (to the gap) where d_m > 0, and no larger where d_m = 0.

    References:
        Rakotomamonjy, Bach, Canu and Grandvalet 2008.
    """
    varies = np.array([bool(kernels[place].any()) for place in range(len(kernels))])
    d = np.where(varies, 1.0, 0.0) if varies.any() else np.ones(len(kernels))
    d /= d.sum()
    K = combine(kernels, d)
    dual = solve(K)
    path, steps, gap = [dual.objective], 0, np.inf
    while True:
        q = quadratics(kernels, dual.coefficients) / 2
        gap = float(q.max() - d @ q) / max(abs(dual.objective), 1e-300)
        if gap <= tol or steps == max_iter:
            break
        direction = reduced_direction(d, -q)
        if not direction.any():
            break
        d, K, dual, moved = _step(kernels, solve, d, direction, K, dual, float(-q @ direction))
        path.append(dual.objective)
        steps += 1
        if not moved:
            break
    if gap > tol:
        warnings.warn(
            f"SimpleMKL stopped after {steps} steps with a duality gap of {gap:.2g} of the objective (tol={tol}). Raise max_iter or tol.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return KernelWeights(d, dual.objective, gap, steps), path


def reduced_direction(
    d: Float[np.ndarray, " m"], gradient: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Downhill along the simplex: sums to 0, and raises no weight above its bounds. The largest weight takes up the difference."""
    largest = int(d.argmax())
    reduced = gradient - gradient[largest]
    direction = np.where((d <= 0) & (reduced > 0), 0.0, -reduced)
    direction[largest] = 0.0
    direction[largest] = -direction.sum()
    return direction


def _step(
    kernels: Kernels,
    solve: Solve,
    d: np.ndarray,
    direction: np.ndarray,
    K: np.ndarray,
    dual: Dual,
    slope: float,
) -> tuple[np.ndarray, np.ndarray, Dual, bool]:
    """To where the slope along `direction` is nearly 0, or to the edge of the simplex. Between, by regula falsi on the slope."""
    falls = direction < 0
    edge = float((-d[falls] / direction[falls]).min())
    change = combine(kernels, direction)
    low, low_slope, high, high_slope = 0.0, slope, edge, np.nan
    length, best = edge, (0.0, dual)
    for trial in range(MOST_TRIALS):
        found = solve(K + length * change)
        new_slope = -0.5 * float(np.einsum("io,io->", found.coefficients, change @ found.coefficients))
        if found.objective <= best[1].objective:
            best = (length, found)
        if (trial == 0 and new_slope <= 0) or (abs(new_slope) <= FLAT * -slope and best[0] == length):
            break
        if new_slope > 0:
            high, high_slope = length, new_slope
            low_slope = low_slope / 2 if trial > 1 else low_slope
        else:
            low, low_slope = length, new_slope
        share = low_slope / (low_slope - high_slope)
        length = low + min(max(share, 0.05), 0.95) * (high - low)
    length, found = best
    d = np.where(d + length * direction > 1e-12, d + length * direction, 0.0)
    d /= d.sum()
    return d, combine(kernels, d), found, length > 0

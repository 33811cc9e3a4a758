"""Weights of several kernels, learned from a target: equal, by centred alignment, by EasyMKL. On the simplex, all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Float
from polymodal.fusion._kernel_machines import Kernels, combine, quadratics, support_vectors


@dataclass(frozen=True)
class EasyMKL:
    """Weights by EasyMKL: a kernel weighs the distance it puts between the classes.

    Args:
        reg: lambda in (0, 1]: near 0 only the closest rows of the classes count, at 1 their means.
    """

    reg: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.reg <= 1:
            raise ConfigError(f"EasyMKL needs 0 < reg <= 1, got {self.reg}.")


@dataclass(frozen=True, eq=False)
class KernelWeights:
    """Weights, and what says how good they are.

    Args:
        weights: >= 0, summing to 1.
        objective: What the method made largest or smallest.
        gap: Relative duality gap at the weights; NaN where the answer is exact.
        n_iter: Steps taken; 0 for closed forms.
    """

    weights: Float[np.ndarray, " m"]
    objective: float
    gap: float = float("nan")
    n_iter: int = 0


def alignments(
    kernels: Kernels, Y: Float[np.ndarray, "n o"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Inner product of each kernel with the centred target kernel YY', and its own norm (Frobenius)."""
    Y = Y - Y.mean(axis=0)
    inner, norms = np.empty(len(kernels)), np.empty(len(kernels))
    for place in range(len(kernels)):
        K = kernels[place]
        inner[place] = max(0.0, float(np.einsum("io,io->", Y, K @ Y)))
        norms[place] = np.linalg.norm(K)
    return inner, norms


def target_norm(Y: Float[np.ndarray, "n o"]) -> float:
    """Frobenius norm of the centred target kernel YY'."""
    Y = Y - Y.mean(axis=0)
    return float(np.linalg.norm(Y.T @ Y))


def equal_weights(kernels: Kernels, Y: Float[np.ndarray, "n o"]) -> KernelWeights:
    """1 / M each, of the kernels that vary; `objective` is the centred alignment of their sum."""
    return _aligned(kernels, Y, equal_shares(kernels))


def independent_alignment(kernels: Kernels, Y: Float[np.ndarray, "n o"]) -> KernelWeights:
    r"""Each kernel's own centred alignment with the target ("align").

    $$ \mu_m \propto \hat\rho(K_m, K_Y) = \frac{\langle K_m, K_Y \rangle_F}{\|K_m\|_F \|K_Y\|_F}, \qquad K_Y = YY' \text{ centred} $$

    Args:
        kernels: Centred Gram matrices.
        Y: Signs or quantities, one column per output.

    Complexity:
        O(M n^2 o), one kernel at a time.

    References:
        Cortes, Mohri and Rostamizadeh 2012, section 3.1 ("independent alignment-based").
    """
    inner, norms = alignments(kernels, Y)
    return _aligned(kernels, Y, np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0))


def alignment_maximising(kernels: Kernels, Y: Float[np.ndarray, "n o"]) -> KernelWeights:
    r"""The combination that aligns best with the target ("alignf"): no other weights >= 0 give a larger centred alignment.

    $$ \max_{\mu \ge 0} \frac{\mu' a}{\sqrt{\mu' M \mu}}, \qquad a_m = \langle K_m, K_Y \rangle_F,\ M_{ml} = \langle K_m, K_l \rangle_F $$

    whose direction is that of $\arg\min_{v \ge 0} v' M v - 2 v' a$, a non-negative least-squares problem.

    Args:
        kernels: Centred Gram matrices.
        Y: Signs or quantities, one column per output.

    Complexity:
        O(M^2 n^2), two kernels at a time.

    References:
        Cortes, Mohri and Rostamizadeh 2012, proposition 9 ("alignment maximization").
    """
    from scipy.optimize import nnls

    inner, norms = alignments(kernels, Y)
    m = len(kernels)
    products = np.diag(norms**2)
    for i in range(1, m):
        K = kernels[i]
        for j in range(i):
            products[i, j] = products[j, i] = float(np.vdot(K, kernels[j]))
    unit = np.where(norms > 0, norms, 1.0)  # kernels of length 1: no kernel is small beside rounding
    values, vectors = np.linalg.eigh(products / np.outer(unit, unit))
    kept = values > 1e-12 * max(values[-1], 1e-300)
    root = np.sqrt(values[kept])
    found, _ = nnls(root[:, None] * vectors[:, kept].T, (vectors[:, kept].T @ (inner / unit)) / root)
    return _aligned(kernels, Y, np.where(norms > 0, found / unit, 0.0))


def _aligned(kernels: Kernels, Y: np.ndarray, raw: np.ndarray) -> KernelWeights:
    weights = on_simplex(raw)
    K = combine(kernels, weights)
    inner, norms = alignments([K], Y)
    size = float(norms[0]) * target_norm(Y)
    return KernelWeights(weights, float(inner[0]) / size if size else 0.0)


def easy_weights(kernels: Kernels, Y: Float[np.ndarray, "n o"], *, reg: float = 0.1) -> KernelWeights:
    r"""EasyMKL: each kernel weighs the distance it puts between two distributions over the rows, one on either class.

    $$ \gamma^* = \arg\min_\gamma \gamma' \Big( (1 - \lambda) Y \big(\textstyle\sum_m K_m\big) Y + \lambda I \Big) \gamma, \qquad
       \gamma \ge 0,\ \textstyle\sum_{y_i = 1} \gamma_i = \sum_{y_i = -1} \gamma_i = 1; \qquad
       \eta_m \propto \gamma^{*\prime} Y K_m Y \gamma^* $$

    Solved as a support vector machine without slack, whose coefficients are gamma up to scale. Of several columns, each is a problem
    of its own with distributions of its own; the distances add up to one set of weights.

    Args:
        kernels: Gram matrices.
        Y: -1 or 1, one column per output. A column of one sign says nothing.
        reg: lambda in (0, 1]. Near 0 only the closest rows count (the margin), at 1 all rows alike.

    Relations:
        * reg=1: eta_m is proportional to the squared distance of the class means in the feature space of K_m.

    References:
        Aiolli and Donini 2015.
    """
    total = (1 - reg) * combine(kernels, np.ones(len(kernels)))
    total.flat[:: len(total) + 1] += reg
    signed = np.zeros(Y.shape)
    for o, signs in enumerate(Y.T):
        if (signs == signs[0]).all():
            continue
        if reg == 1:
            signed[:, o] = np.where(signs > 0, 1 / (signs > 0).sum(), -1 / (signs < 0).sum())
            continue
        # coefficients are at most n / (2 reg): none reaches C
        coefficients = support_vectors(total, signs[:, None], len(signs) / reg).coefficients[:, 0]
        signed[:, o] = coefficients * 2 / np.abs(coefficients).sum()
    objective = float(np.einsum("io,io->", signed, total @ signed))
    return KernelWeights(on_simplex(quadratics(kernels, signed)), objective)


def equal_shares(kernels: Kernels) -> Float[np.ndarray, " m"]:
    """Equal weights of the kernels that are not 0."""
    return on_simplex(np.array([float(kernels[place].any()) for place in range(len(kernels))]))


def on_simplex(raw: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Non-negative numbers scaled to sum 1; equal ones where all are 0."""
    total = float(raw.sum())
    return raw / total if total > 0 else np.full(len(raw), 1 / len(raw))

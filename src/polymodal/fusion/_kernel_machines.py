"""What a kernel machine gives for a Gram matrix: its dual coefficients. Support vector machines, and ridge regression."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ConvergenceWarning
from polymodal.core.typing import Float

SVM_TOLERANCE = 1e-6  # of the slopes, which are of size 1: weights of kernels follow to about as much

MOST_STEPS = 1_000_000  # of two coefficients each; only kernels far from size 1 need as many


@runtime_checkable
class Kernels(Protocol):
    """Gram matrices over the same rows: a list of them, or `Grams`, which computes each when asked for."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, place: int, /) -> np.ndarray:
        """One of them; IndexError past the last."""


@dataclass(frozen=True, eq=False)
class Dual:
    """A fitted machine: decisions of row i are K[i] @ coefficients + intercepts.

    Args:
        coefficients: Signed dual variables; columns sum to 0.
        intercepts: One per output.
        objective: The minimum of the primal problem, summed over outputs.
    """

    coefficients: Float[np.ndarray, "n o"]
    intercepts: Float[np.ndarray, " o"]
    objective: float


def support_vectors(K: Float[np.ndarray, "n n"], Y: Float[np.ndarray, "n o"], C: float) -> Dual:
    r"""One support vector machine per column of signs.

    $$ \max_\beta \sum_i |\beta_i| - \tfrac{1}{2} \beta' K \beta, \qquad 0 \le y_i \beta_i \le C,\ 1'\beta = 0 $$

    Args:
        K: Gram matrix; adding a constant to it, or centring it, changes no decision.
        Y: -1 or 1. A column of one sign gets no coefficients, and that sign as its decision.
        C: Largest coefficient, > 0.

    Relations:
        * equals scikit-learn's SVC(kernel="precomputed").
    """
    from sklearn.exceptions import ConvergenceWarning as Unfinished
    from sklearn.svm import SVC

    K = np.ascontiguousarray(K)
    coefficients, intercepts = np.zeros(Y.shape), np.zeros(Y.shape[1])
    for o, signs in enumerate(Y.T):
        if (signs == signs[0]).all():
            intercepts[o] = signs[0]
            continue
        machine = SVC(C=C, kernel="precomputed", tol=SVM_TOLERANCE, max_iter=MOST_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Unfinished)  # said below, with what to do
            machine.fit(K, signs)
        if machine.fit_status_:
            warnings.warn(
                f"A support vector machine on kernels of mean size {np.trace(K) / len(K):.3g} stopped after {MOST_STEPS:,} steps. "
                "Normalise the kernels (normalise='variance'), lower C, or raise the reg of EasyMKL.",
                ConvergenceWarning,
                stacklevel=2,
            )
        coefficients[machine.support_, o] = machine.dual_coef_[0]
        intercepts[o] = machine.intercept_[0]
    objective = np.abs(coefficients).sum() - 0.5 * np.einsum("io,io->", coefficients, K @ coefficients)
    return Dual(coefficients, intercepts, float(objective))


def ridge_regression(K: Float[np.ndarray, "n n"], Y: Float[np.ndarray, "n q"], C: float) -> Dual:
    r"""Kernel ridge regression, $(K + I / C)\,\beta = Y$: squared errors weigh C / 2, as in a least-squares support vector machine.

    $$ \max_\beta y'\beta - \tfrac{1}{2} \beta' (K + I / C) \beta $$

    Args:
        K: A centred Gram matrix.
        Y: Quantities; their mean is the intercept.
        C: > 0.

    Relations:
        * equals scikit-learn's KernelRidge(alpha=1 / C) on centred quantities.
    """
    from scipy.linalg import cho_factor, cho_solve

    means = Y.mean(axis=0)
    ridged = K.copy()
    ridged.flat[:: len(K) + 1] += 1 / C
    coefficients = cho_solve(cho_factor(ridged, lower=True, overwrite_a=True), Y - means)
    return Dual(coefficients, means, 0.5 * float(np.einsum("io,io->", coefficients, Y - means)))


def combine(kernels: Kernels, weights: Float[np.ndarray, " m"]) -> Float[np.ndarray, "n n"]:
    """The weighted sum; one kernel is looked at at a time, and none of weight 0."""
    total: np.ndarray | None = None
    for place in np.flatnonzero(weights):
        part = weights[place] * kernels[int(place)]
        total = part if total is None else np.add(total, part, out=total)
    return np.zeros_like(kernels[0]) if total is None else total


def quadratics(kernels: Kernels, B: Float[np.ndarray, "n o"]) -> Float[np.ndarray, " m"]:
    """The sum over columns b of b'K_m b, for each kernel."""
    rows = np.flatnonzero(np.abs(B).max(axis=1) > 0)
    few = len(rows) < len(B) // 2
    support = B[rows] if few else B
    found = []
    for place in range(len(kernels)):
        K = kernels[place]
        K = K[np.ix_(rows, rows)] if few else K
        found.append(max(0.0, float(np.einsum("io,io->", support, K @ support))))
    return np.array(found)

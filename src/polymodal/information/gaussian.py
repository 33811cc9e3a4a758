"""`Gaussian`: closed forms for numbers that are jointly normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float
from polymodal.information.problems import Estimate

_RANK_TOLERANCE = 1e-10
_CERTAIN = 1e-12
"""1 - rho^2 below this cannot be told from 0: then the information is infinite."""


@dataclass(frozen=True)
class Gaussian:
    r"""$I = -\frac12 \sum_i \ln(1 - \rho_i^2)$ over canonical correlations, $h = \frac12 \ln\big((2 \pi e)^d |S|\big)$.

    Exact for jointly normal numbers. Where x and y are each normal, but not jointly, it is a lower bound; otherwise it may lie on
    either side. It is 0 for dependence without correlation (y = x^2).

    Args:
        correct_bias: Take out what n rows of normal numbers add on average (about d_x d_y / 2n), by the mean of the logarithm
            of a Wishart determinant; exact for normal numbers.

    Raises:
        ModalityError: labels instead of numbers; fewer rows than features; for entropies, linearly dependent features.

    Relations:
        * one feature each, correct_bias=False: -ln(1 - r^2) / 2 with r Pearson's correlation.
        * invariant under invertible linear maps of x and of y.
        * y a linear function of x: infinite. A constant modality: 0.

    References: Cover and Thomas 2006, chapter 8; Misra, Singh and Demchuk 2005 (bias).

    Complexity:
        O(n (d_x + d_y)^2).
    """

    correct_bias: bool = True

    def mutual_information(self, x: Any, y: Any, given: Any, rng: np.random.Generator) -> Estimate:
        """I(x; y | given), the conditioning by regression on `given`."""
        del rng
        a, b = _centred(x, "x"), _centred(y, "y")
        n = len(a) - 1
        if given is not None:
            z = _basis(_centred(given, "given"))
            a, b, n = _residual(a, z), _residual(b, z), n - z.shape[1]
        a, b = _basis(a), _basis(b)
        if a.shape[1] + b.shape[1] > n:
            raise ModalityError(
                f"Gaussian needs more rows than features, got {len(x)} rows for {a.shape[1]} + {b.shape[1]} features. "
                "Reduce the features first."
            )
        squares = np.clip(np.linalg.svd(a.T @ b, compute_uv=False) ** 2, 0, 1)
        if (squares > 1 - _CERTAIN).any():
            return Estimate(np.inf)
        found = -0.5 * float(np.log1p(-squares).sum())
        if self.correct_bias:
            found -= _bias(n, a.shape[1], b.shape[1])
        return Estimate(found)

    def entropy(self, x: Any, rng: np.random.Generator) -> Estimate:
        """h(x), which may be negative."""
        del rng
        centred = _centred(x, "x")
        n, d = len(centred) - 1, centred.shape[1]
        values = np.linalg.svd(centred, compute_uv=False)
        if d > n or values[-1] <= _RANK_TOLERANCE * max(values[0], 1e-300):
            raise ModalityError(
                f"The entropy of x needs features that are no linear functions of each other, and more rows than features; got "
                f"{len(centred)} rows of {d} features. It would be minus infinity: leave out the dependent features."
            )
        log_determinant = float(2 * np.log(values).sum() - d * np.log(n))
        if self.correct_bias:
            log_determinant -= _log_wishart(n, d)
        return Estimate(0.5 * (d * np.log(2 * np.pi * np.e) + log_determinant))


def gaussian_mutual_information(correlation: float) -> float:
    r"""$-\frac12 \ln(1 - \rho^2)$ in nats: the truth for two jointly normal numbers.

    Raises:
        ModalityError: a correlation outside [-1, 1].

    Relations:
        * at most CLUB's expectation, rho^2 / (1 - rho^2).
    """
    if not -1 <= correlation <= 1:
        raise ModalityError(f"gaussian_mutual_information needs a correlation in [-1, 1], got {correlation}.")
    return float("inf") if abs(correlation) == 1 else float(-0.5 * np.log1p(-(correlation**2)))


def numbers(values: Any, name: str) -> Float[np.ndarray, "n d"]:
    """The values in float64.

    Raises:
        ModalityError: they are no numbers.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise ModalityError(
            f"{name} needs numbers for this method, got {found.dtype}. For labels use Plugin()."
        )
    return found.astype(np.float64).reshape(len(found), -1)


def _centred(values: Any, name: str) -> Float[np.ndarray, "n d"]:
    found = numbers(values, name)
    return np.asarray(found - found.mean(0))


def _basis(centred: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the same; columns are scaled first, and constant ones add nothing."""
    size = np.sqrt((centred**2).sum(0))
    kept = size > _RANK_TOLERANCE * max(size.max(initial=0.0), 1e-300)
    u, s, _ = np.linalg.svd(centred[:, kept] / size[kept], full_matrices=False)
    return np.asarray(u[:, s > _RANK_TOLERANCE * s.max(initial=0.0)])


def _residual(centred: np.ndarray, basis: np.ndarray) -> np.ndarray:
    left = centred - basis @ (basis.T @ centred)
    gone = np.sqrt((left**2).sum(0)) <= _RANK_TOLERANCE * np.sqrt((centred**2).sum(0))
    return np.where(gone, 0.0, left)


def _log_wishart(n: int, d: int) -> float:
    """E ln |S| - ln |Sigma| for the covariance of n degrees of freedom."""
    from scipy.special import digamma

    return float(digamma((n - np.arange(d)) / 2).sum() + d * np.log(2 / n))


def _bias(n: int, d_x: int, d_y: int) -> float:
    return 0.5 * (_log_wishart(n, d_x) + _log_wishart(n, d_y) - _log_wishart(n, d_x + d_y))

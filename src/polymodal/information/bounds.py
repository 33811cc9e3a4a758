r"""Bounds of mutual information given the scores of a critic: pure functions of the matrix $f(x_i, y_j)$, pairs on its diagonal.

The direction stands in the name. Each holds on average over fresh samples: scores of rows that the critic was fitted to give
too much. Off the diagonal stand the n (n - 1) pairs that do not belong together.
"""

from __future__ import annotations

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Num
from polymodal.information.answer import Bound, Information, Unit, per_unit


def donsker_varadhan_lower_bound(scores: Num[np.ndarray, "n n"], *, unit: Unit = "nats") -> Information:
    r"""$E_p[f] - \log E_{p_x p_y}[e^f]$ (MINE).

    The logarithm of a mean of few terms is too low on average, so with few rows the value can lie above the truth; its spread
    grows like $e^I / n$.

    Args:
        scores: f(x_i, y_j), n >= 2.
        unit: "nats" or "bits".

    Raises:
        ModalityError: fewer than two rows, scores that are not finite.

    Relations:
        * scores plus a constant: the same.
        * never below NWJ on the same scores.
        * f = log p(x, y) / p(x) p(y): the mutual information, on average.

    References: Donsker and Varadhan 1983; Belghazi et al. 2018.
    """
    s, diagonal, others = _parts(scores)
    found = diagonal.mean() - (_log_sum(others) - np.log(others.size))
    return _bound(found, "Donsker-Varadhan (MINE)", "lower", unit, len(s))


def nwj_lower_bound(scores: Num[np.ndarray, "n n"], *, unit: Unit = "nats") -> Information:
    r"""$E_p[f] - E_{p_x p_y}[e^{f - 1}]$ (Nguyen, Wainwright and Jordan): no logarithm of a mean, so no bias; larger spread.

    Args:
        scores: f(x_i, y_j), n >= 2.
        unit: "nats" or "bits".

    Raises:
        ModalityError: fewer than two rows, scores that are not finite.

    Relations:
        * f = 1 + log p(x, y) / p(x) p(y): the mutual information, on average.
        * scores shifted so that the mean of e^(f - 1) off the diagonal is 1: Donsker-Varadhan.

    References: Nguyen, Wainwright and Jordan 2010.
    """
    s, diagonal, others = _parts(scores)
    found = diagonal.mean() - np.exp(_log_sum(others) - np.log(others.size) - 1)
    return _bound(found, "Nguyen-Wainwright-Jordan", "lower", unit, len(s))


def infonce_lower_bound(scores: Num[np.ndarray, "n n"], *, unit: Unit = "nats") -> Information:
    r"""$\log n + \frac1n \sum_i \log \frac{e^{f_{ii}}}{\sum_j e^{f_{ij}}}$: never above $\log n$, which `limit` says.

    Args:
        scores: f(x_i, y_j), n >= 2: x is asked for its y among the n of the batch.
        unit: "nats" or "bits".

    Raises:
        ModalityError: fewer than two rows, scores that are not finite.

    Relations:
        * log n - the loss InfoNCE in the direction x -> y.
        * equal scores: 0.
        * a number added to each row: the same.

    References: van den Oord et al. 2018; Poole et al. 2019.
    """
    s, diagonal, _ = _parts(scores)
    top = s.max(1)
    sums = np.log(np.exp(s - top[:, None]).sum(1)) + top
    return _bound(np.log(len(s)) + (diagonal - sums).mean(), "InfoNCE", "lower", unit, len(s), np.log(len(s)))


def club_upper_bound(log_densities: Num[np.ndarray, "n n"], *, unit: Unit = "nats") -> Information:
    r"""$E_p[\log q(y|x)] - E_{p_x p_y}[\log q(y|x)]$ (CLUB).

    An upper bound when q is the true conditional density (or near it); with a poor q it may lie on either side. It is not tight: for
    two normal numbers it is $\rho^2 / (1 - \rho^2)$, where the truth is $-\frac12 \ln(1 - \rho^2)$.

    Args:
        log_densities: log q(y_j | x_i), n >= 2.
        unit: "nats" or "bits".

    Raises:
        ModalityError: fewer than two rows, values that are not finite.

    Relations:
        * with the true conditional: at least the mutual information, on average.
        * a number added to each column: the same.

    References: Cheng et al. 2020.
    """
    s, diagonal, others = _parts(log_densities)
    return _bound(diagonal.mean() - others.mean(), "CLUB", "upper", unit, len(s))


def _parts(scores: np.ndarray) -> tuple[Float[np.ndarray, "n n"], np.ndarray, np.ndarray]:
    s = np.asarray(scores, dtype=np.float64)
    if len(s) < 2 or not np.isfinite(s).all():
        raise ModalityError(f"A bound needs finite scores of at least two rows, got shape {s.shape}.")
    return s, np.diag(s), s[~np.eye(len(s), dtype=bool)]


def _log_sum(x: np.ndarray) -> float:
    top = x.max()
    return float(np.log(np.exp(x - top).sum()) + top)


def _bound(nats: float, method: str, side: Bound, unit: Unit, n: int, limit: float = np.inf) -> Information:
    scale = per_unit(unit)
    return Information(
        float(nats) / scale, unit, "mutual information", method, side, limit=float(limit) / scale, n=n
    )

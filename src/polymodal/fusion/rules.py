r"""How the answers of several models become one: mean, product of evidence, vote. Arrays in, array out.

Weights are one per member, or one per row and member: `(m,)` or `(n, m)`; for quantities `(m, k)` or `(n, m, k)`.
"""

from __future__ import annotations

import numpy as np

from polymodal.core.typing import Bool, Float, Int


def mean_rule(
    answers: Float[np.ndarray, "n m k"],
    present: Bool[np.ndarray, "n m"],
    weights: Float[np.ndarray, "*rows m k"],
) -> Float[np.ndarray, "n k"]:
    r"""$\sum_m w_m a_m / \sum_m w_m$ over the members that are present: soft vote, or a weighted mean of quantities.

    Relations:
        * with w_m = 1 / var_m it is the best linear unbiased estimate; its variance is 1 / sum_m 1 / var_m
    """
    share = present[:, :, None] * weights
    total = share.sum(axis=1)
    share = np.where(
        (total > 0)[:, None, :], share, present[:, :, None]
    )  # only members of weight zero: equal weights
    filled = np.where(present[:, :, None], answers, 0.0)
    combined: np.ndarray = (share * filled).sum(axis=1) / share.sum(axis=1)
    return combined


def product_rule(
    answers: Float[np.ndarray, "n m k"],
    present: Bool[np.ndarray, "n m"],
    weights: Float[np.ndarray, "*rows m"],
    prior: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "n k"]:
    r"""$p(y \mid x_1, \dots, x_M) \propto p(y) \prod_m \big(p(y \mid x_m) / p(y)\big)^{w_m}$ over the members present.

    Relations:
        * w = 1 and modalities independent given y: the exact posterior (Kittler et al. 1998, eq. 8)
    """
    floor = 1e-12
    log_prior = np.log(np.maximum(prior, floor))
    evidence = np.log(np.maximum(np.where(present[:, :, None], answers, prior), floor)) - log_prior
    logs = log_prior + (weights[..., None] * evidence).sum(axis=1)
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    posterior: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return posterior


def gaussian_product(
    answers: Float[np.ndarray, "n m k"],
    present: Bool[np.ndarray, "n m"],
    variances: Float[np.ndarray, "*rows m k"],
    prior_mean: Float[np.ndarray, " k"],
    prior_variance: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "n k"]:
    r"""The product rule for quantities whose errors are normal: means weighted by precision, less the repeated prior.

    $$ \mu = \frac{\sum_m \mu_m / v_m - (M-1)\, \mu_0 / v_0}{\sum_m 1 / v_m - (M-1) / v_0} $$

    Relations:
        * modalities independent given y, all jointly normal: the exact posterior mean
        * v_0 -> infinity: the best linear unbiased estimate, `mean_rule` with weights 1 / v_m
    """
    precision = present[:, :, None] / np.minimum(variances, prior_variance)
    repeats = (present.sum(axis=1) - 1)[:, None] / prior_variance
    filled = np.where(present[:, :, None], answers, 0.0)
    mean: np.ndarray = ((precision * filled).sum(axis=1) - repeats * prior_mean) / (
        precision.sum(axis=1) - repeats
    )
    return mean


def vote_rule(
    answers: Float[np.ndarray, "n m k"],
    present: Bool[np.ndarray, "n m"],
    weights: Float[np.ndarray, "*rows m"],
) -> Float[np.ndarray, "n k"]:
    """Share of the (weighted) votes each class gets; a tie goes to the class of larger mean probability, by a millionth."""
    chosen = np.where(present[:, :, None], answers, -1.0).argmax(axis=2)
    ballots = np.eye(answers.shape[2])[chosen]
    spread = np.broadcast_to(weights[..., None], (*weights.shape, answers.shape[2]))
    votes = mean_rule(ballots, present, spread)
    shares: np.ndarray = (1 - 1e-6) * votes + 1e-6 * mean_rule(answers, present, spread)
    return shares


def vote_weight(accuracy: float, n_classes: int, commonest: float | None = None) -> float:
    r"""$\max\{0, \ell(a) - \ell(a_0)\}$, $\ell(a) = \log \frac{(K-1)\, a}{1-a}$: log-odds of being right, beyond naming one class always.

    Args:
        accuracy: a, on rows that the voter has not seen.
        n_classes: K.
        commonest: $a_0$, the share of the commonest class among these rows; None: 1 / K, classes that are equally frequent.

    Relations:
        * equally frequent classes: the best weight of an independent voter of accuracy a
        * a voter that always names the commonest class: 0
    """
    chance = 1 / n_classes if commonest is None else commonest
    return max(0.0, _log_odds(accuracy, n_classes) - max(0.0, _log_odds(chance, n_classes)))


def _log_odds(accuracy: float, n_classes: int) -> float:
    a = min(max(accuracy, 1e-6), 1 - 1e-3)  # a perfect record on few rows is not certainty
    return float(np.log((n_classes - 1) * a / (1 - a)))


def precision_weight(answers: Float[np.ndarray, "n k"], truth: Int[np.ndarray, " n"]) -> float:
    r"""$R^2 / (1 - R^2)$, R the correlation of the answers with the truth (0 where it is negative): what a model knows beyond the shares.

    Both are centred, all classes counted together: truth as 1 for the true class and 0 for the others. A model that is too sure (or not
    sure enough) gets the same weight as when it is set right. At most 1000.

    Args:
        answers: Probabilities, on rows that the model has not seen.
        truth: Positions of the true classes.

    Relations:
        * a model that says the same on every row, the shares or the commonest class: 0
        * answers that are the best linear guess of the truth, with error variance v where the shares have v_0: v_0 (1 / v - 1 / v_0), the
          precision beyond the prior
    """
    right = np.eye(answers.shape[1])[truth]
    wanted, said = right - right.mean(axis=0), answers - answers.mean(axis=0)
    scale = float(np.sqrt((wanted**2).sum() * (said**2).sum()))
    r = max(0.0, float((wanted * said).sum()) / scale) if scale > 1e-12 else 0.0
    return min(1000.0, r**2 / max(1 - r**2, 1e-12))


def confidence_weight(answers: Float[np.ndarray, "*rows k"]) -> Float[np.ndarray, "*rows"]:
    r"""$\log K / H(p)$: how much surer than an even guess an answer is, at least 1; at most 1000.

    References: Misra, Bourlard & Tyagi 2003, New entropy based combination rules in HMM/ANN multi-stream ASR.
    """
    p = np.clip(answers, 1e-12, 1.0)
    entropy = -(p * np.log(p)).sum(axis=-1) / np.log(answers.shape[-1])
    sure: np.ndarray = 1 / np.clip(entropy, 1e-3, 1.0)
    return sure

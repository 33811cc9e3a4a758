"""Whether each code follows one true factor: MIG, DCI and SAP, for codes and factors that are known row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.random import seed as seed_of
from polymodal.core.typing import Float, Num

Importance = Literal["forest", "lasso"]


@dataclass(frozen=True, eq=False)
class FactorGap:
    """One score a factor: how far the best code is ahead of the second best.

    Attributes:
        gap: Mean over factors, in [0, 1].
        gaps: One a factor.
        matrix: What was compared, codes by factors, in [0, 1].
    """

    gap: float
    gaps: Float[np.ndarray, " k"]
    matrix: Float[np.ndarray, "d k"]


@dataclass(frozen=True, eq=False)
class DCI:
    """Disentanglement, completeness and informativeness (Eastwood and Williams 2018).

    Attributes:
        disentanglement: Does a code serve one factor only? In [0, 1]; codes weigh by their importance.
        completeness: Is a factor held by one code only? In [0, 1]; mean over factors.
        informativeness: R2 with which all codes together predict a factor, on rows held out; mean over factors, at most 1.
        importance: How much each code adds to the prediction of each factor; each column adds up to 1 (or is 0).
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Float[np.ndarray, "d k"]


@dataclass(frozen=True, eq=False)
class Disentanglement:
    """All three measures of one code; prints as a table, draws as a matrix.

    Attributes:
        mig: Mutual information gap.
        dci: Disentanglement, completeness, informativeness.
        sap: Separated attribute predictability.
        factors: Names of the factors.
    """

    mig: FactorGap
    dci: DCI
    sap: FactorGap
    factors: tuple[str, ...]

    def to_dict(self) -> dict[str, float]:
        """The five numbers."""
        return {
            "MIG": self.mig.gap,
            "SAP": self.sap.gap,
            "disentanglement": self.dci.disentanglement,
            "completeness": self.dci.completeness,
            "informativeness": self.dci.informativeness,
        }

    def __str__(self) -> str:
        rows = [f"| {name} | {value:.3f} |" for name, value in self.to_dict().items()]
        return "\n".join(["| measure | value |", "|---|---|", *rows])

    def plot(self, ax: Any = None) -> Any:
        """Draw the normalised information of each code (row) about each factor (column) on matplotlib axes, and return them."""
        codes = [f"code {j + 1}" for j in range(len(self.mig.matrix))]
        axes = draw_matrix(self.mig.matrix, codes, self.factors, ax)
        axes.set_title(
            f"MIG {self.mig.gap:.2f}   SAP {self.sap.gap:.2f}   DCI {self.dci.disentanglement:.2f}"
        )
        return axes


def measure_disentanglement(
    codes: Num[np.ndarray, "n d"],
    factors: Num[np.ndarray, "m k"],
    *,
    names: Sequence[str] | None = None,
    bins: int = 20,
    importance: Importance = "forest",
    random_state: RandomState = 0,
) -> Disentanglement:
    """`mutual_information_gap`, `dci` and `separated_predictability` of the same codes.

    Args:
        codes: Learned numbers, one column each.
        factors: True numbers, one column each.
        names: Of the factors.
        bins: See `mutual_information_gap`.
        importance: See `dci`.
        random_state: Of the split and the forest of `dci`.
    """
    names = [f"factor {k + 1}" for k in range(factors.shape[1])] if names is None else list(names)
    if len(names) != factors.shape[1]:
        raise ModalityError(
            f"Disentanglement needs a name for each of {factors.shape[1]} factors, got {names}."
        )
    return Disentanglement(
        mutual_information_gap(codes, factors, bins=bins),
        dci(codes, factors, importance=importance, random_state=random_state),
        separated_predictability(codes, factors),
        tuple(names),
    )


def mutual_information_gap(
    codes: Num[np.ndarray, "n d"], factors: Num[np.ndarray, "m k"], *, bins: int = 20
) -> FactorGap:
    r"""MIG: for each factor, the information of its best code less that of the second best, over the factor's entropy.

    $$ \frac1K \sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)} $$

    Columns with more than `bins` distinct values are cut into `bins` parts of equal counts, others are taken value by value. Empirical
    information is too large by about $(bins - 1)^2 / 2n$ nats for codes that know nothing, which lowers the gap.

    Args:
        codes: Learned numbers.
        factors: True numbers; each must vary.
        bins: Parts of a continuous column, at least 2.

    Raises:
        ModalityError: different numbers of rows, values that are not finite, or a factor that does not vary.

    Complexity:
        O(d k (n + bins^2)).

    Relations:
        * codes = factors on a full grid: 1. Two codes that both equal the factor: 0.
        * blind to a strictly rising map of a code, and to the order of codes.
        * the matrix divides sklearn's `mutual_info_score` by the factor's entropy.

    References:
        Chen, Li, Grosse and Duvenaud 2018, "Isolating sources of disentanglement in variational autoencoders", section 4.
    """
    _check(codes, factors)
    if bins < 2:
        raise ConfigError(f"mutual_information_gap needs at least 2 bins, got {bins}. Try 20.")
    cut = [_discrete(column, bins) for column in codes.T]
    matrix = np.zeros((codes.shape[1], factors.shape[1]))
    for k, column in enumerate(factors.T):
        factor = _discrete(column, bins)
        entropy = _entropy(np.bincount(factor))
        for j, code in enumerate(cut):
            joint = np.bincount(code * (factor.max() + 1) + factor)
            shared = _entropy(np.bincount(code)) + entropy - _entropy(joint)
            matrix[j, k] = min(max(shared / entropy, 0.0), 1.0)
    return _gap(matrix)


def separated_predictability(codes: Num[np.ndarray, "n d"], factors: Num[np.ndarray, "m k"]) -> FactorGap:
    r"""SAP: the same gap, with the R2 of predicting a factor linearly from one code alone, which is their squared correlation.

    Raises:
        ModalityError: as `mutual_information_gap`.

    Relations:
        * the matrix holds the squared entries of `numpy.corrcoef`; a constant code scores 0.

    References:
        Kumar, Sattigeri and Balakrishnan 2018, "Variational inference of disentangled latent concepts from unlabeled observations".
    """
    _check(codes, factors)
    matrix = (_standard(codes).T @ _standard(factors)) ** 2
    return _gap(np.minimum(matrix, 1.0))


def dci(
    codes: Num[np.ndarray, "n d"],
    factors: Num[np.ndarray, "m k"],
    *,
    importance: Importance = "forest",
    random_state: RandomState = 0,
) -> DCI:
    r"""Disentanglement, completeness and informativeness, from the importance of each code for each factor.

    With $P_{jk}$ the importance $R_{jk}$ divided by its row's sum: disentanglement of code j is $1 - H(P_{j\cdot}) / \log K$,
    and codes weigh by $\sum_k R_{jk}$. Divided by its column's sum: completeness of factor k is
    $1 - H(P_{\cdot k}) / \log D$. One factor, or one code, counts as 1.

    Args:
        codes: Learned numbers.
        factors: True numbers.
        importance: "forest" (impurity decrease of 20 trees; sees bent relations) or "lasso" (absolute weights of standardised codes;
            linear relations only, exact zeros).
        random_state: Of the split (three quarters to learn, a quarter to score) and the forest.

    Raises:
        ModalityError: as `mutual_information_gap`, or fewer than 20 rows.

    Relations:
        * codes = factors: about 1, 1, 1.
        * two factors turned by 45 degrees: disentanglement and completeness near 0, informativeness stays.

    References:
        Eastwood and Williams 2018, "A framework for the quantitative evaluation of disentangled representations".
    """
    _check(codes, factors)
    if len(codes) < 20:
        raise ModalityError(f"dci needs at least 20 rows to learn from and score, got {len(codes)}.")
    if importance not in ("forest", "lasso"):
        raise ConfigError(f'dci needs importance "forest" or "lasso", got {importance!r}.')
    rng = generator(random_state)
    order = rng.permutation(len(codes))
    held, rows = order[: len(codes) // 4], order[len(codes) // 4 :]
    number = seed_of(rng)
    fit: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Any]] = (
        _lasso if importance == "lasso" else lambda x, y: _forest(x, y, number)
    )
    centre, spread = codes[rows].mean(axis=0), codes[rows].std(axis=0)
    x = (codes - centre) / np.where(spread > 0, spread, 1.0)
    weights, scores = np.zeros((codes.shape[1], factors.shape[1])), []
    for k, y in enumerate(factors.T.astype(np.float64)):
        column, predict = fit(x[rows], y[rows])
        weights[:, k] = column / max(column.sum(), np.finfo(float).tiny)
        total = ((y[held] - y[held].mean()) ** 2).sum()
        scores.append(1 - ((y[held] - predict(x[held])) ** 2).sum() / total if total > 0 else 0.0)
    each = 1 - _spread(weights, axis=1)
    weight = weights.sum(axis=1) / max(weights.sum(), np.finfo(float).tiny)
    used = weights.sum(axis=0) > 0
    complete = np.where(used, 1 - _spread(weights, axis=0), 0.0)
    return DCI(float(each @ weight), float(complete.mean()), float(np.mean(scores)), weights)


def draw_matrix(
    matrix: Float[np.ndarray, "a b"], rows: Sequence[str], columns: Sequence[str], ax: Any = None
) -> Any:
    """A labelled matrix of numbers in [0, 1] (others are clipped in colour, not in print) on matplotlib axes; returns them."""
    import matplotlib.pyplot as plt

    axes = plt.subplots(layout="constrained")[1] if ax is None else ax
    axes.imshow(np.nan_to_num(matrix), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for i, j in np.ndindex(*matrix.shape):
        colour = "white" if matrix[i, j] > 0.6 else "black"
        text = "" if np.isnan(matrix[i, j]) else f"{round(float(matrix[i, j]), 2) + 0.0:.2f}"
        axes.text(j, i, text, ha="center", va="center", color=colour)
    return axes


# --- inside ---------------------------------------------------------------------------------------------------------


def _check(codes: np.ndarray, factors: np.ndarray) -> None:
    if len(codes) != len(factors) or len(codes) < 2 or not codes.shape[1] or not factors.shape[1]:
        raise ModalityError(
            f"Disentanglement needs codes and factors of the same rows (two or more), got shapes {codes.shape} and {factors.shape}."
        )
    if not (np.isfinite(codes).all() and np.isfinite(factors).all()):
        raise ModalityError(
            "Disentanglement needs finite codes and factors, got missing or infinite ones. Drop those rows."
        )
    still = [k for k, column in enumerate(factors.T) if (column == column[0]).all()]
    if still:
        raise ModalityError(f"Disentanglement needs factors that vary, got constant columns {still}.")


def _discrete(column: np.ndarray, bins: int) -> np.ndarray:
    values, codes = np.unique(column, return_inverse=True)
    if len(values) <= bins:
        return np.asarray(codes).reshape(-1)
    edges = np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, column, side="right")


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _gap(matrix: np.ndarray) -> FactorGap:
    padded = np.vstack([matrix, np.zeros((1, matrix.shape[1]))])  # a single code has nothing second
    second, first = np.sort(padded, axis=0)[-2:]
    gaps = first - second
    return FactorGap(float(gaps.mean()), gaps, matrix)


def _standard(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    floor = len(x) ** 1.5 * np.finfo(float).eps * np.abs(x).max(axis=0)
    return np.where(lengths > floor, centred / np.where(lengths > 0, lengths, 1.0), 0.0)


def _spread(weights: np.ndarray, *, axis: int) -> np.ndarray:
    """Entropy of the shares along an axis over the logarithm of their number; 0 for a single one."""
    if weights.shape[axis] == 1:
        return np.zeros(weights.shape[1 - axis])
    total = weights.sum(axis=axis, keepdims=True)
    share = weights / np.where(total > 0, total, 1.0)
    logs = np.log(np.where(share > 0, share, 1.0))
    return np.asarray(-(share * logs).sum(axis=axis) / np.log(weights.shape[axis]))


def _lasso(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, Any]:
    from sklearn.linear_model import Lasso

    model = Lasso(alpha=0.02 * float(y.std())).fit(x, y)
    return np.abs(model.coef_), model.predict


def _forest(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, Any]:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(n_estimators=20, min_samples_leaf=5, random_state=seed % 2**32, n_jobs=1)
    model.fit(x, y)
    return model.feature_importances_, model.predict

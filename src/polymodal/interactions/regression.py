r"""Does b change what a says about y? The ladder y ~ a, y ~ a + b, y ~ a * b, read out for people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import MissingDependencyError, ModalityError
from polymodal.core.typing import Float, Num, Shaped
from polymodal.interactions._design_checks import as_numbers, as_response, check_rank, is_separated
from polymodal.interactions._tables import markdown_table, number, p_text, with_interval

Family = Literal["linear", "logistic"]
FEW_LEVELS = 4
"""A modality with at most so many distinct values is read at each of them."""


@dataclass(frozen=True)
class Coefficient:
    """One number of a fit: estimate, standard error, interval, test statistic (t or z), two-sided p-value."""

    name: str
    estimate: float
    error: float
    low: float
    high: float
    statistic: float
    p: float

    def __str__(self) -> str:
        return with_interval(self.estimate, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Rung:
    """One model of the ladder.

    Attributes:
        formula: As people write it, `y ~ a * b`.
        coefficients: The intercept, then the terms.
        covariance: Of the estimates.
        df: Residual degrees of freedom, n - p.
        deviance: Sum of squared residuals (linear), or -2 log likelihood (logistic).
        r2: Share of the variance explained (linear), or McFadden's 1 - deviance / deviance of the intercept alone.
    """

    formula: str
    coefficients: tuple[Coefficient, ...]
    covariance: Float[np.ndarray, "p p"]
    df: int
    deviance: float
    r2: float

    def __getitem__(self, name: str) -> Coefficient:
        """The coefficient of a term, such as `"a"` or `"a:b"`."""
        for coefficient in self.coefficients:
            if coefficient.name == name:
                return coefficient
        raise KeyError(f"{name!r} is no term of {self.formula}: {[c.name for c in self.coefficients]}")


@dataclass(frozen=True)
class Comparison:
    """What the larger of two neighbouring rungs adds: an F test (linear) or a likelihood ratio test (logistic)."""

    smaller: str
    larger: str
    statistic: float
    df: tuple[int, ...]
    p: float

    def __str__(self) -> str:
        if len(self.df) == 2:
            return f"F({self.df[0]}, {self.df[1]}) = {number(self.statistic)}, {p_text(self.p)}"
        return f"chi2({self.df[0]}) = {number(self.statistic)}, {p_text(self.p)}"


@dataclass(frozen=True)
class Slope:
    """The slope of one modality where the other one has the value `at`, with its own interval."""

    at: float
    estimate: float
    error: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return with_interval(self.estimate, self.low, self.high)


@dataclass(frozen=True, eq=False)
class InteractionRegression:
    """What `interaction_regression` found.

    Attributes:
        rungs: The fits of y ~ a, y ~ a + b and y ~ a * b.
        comparisons: What b adds to a, and what the product adds to both.
        family: `"linear"` or `"logistic"` (coefficients are then changes of log odds).
        level: Of every interval.
        names: What a, b and y are called.
        a: The first modality.
        b: The second modality.
        y: The response; 0 and 1 for classes.
        event: The class that y = 1 stands for, or None.
    """

    rungs: tuple[Rung, Rung, Rung]
    comparisons: tuple[Comparison, Comparison]
    family: Family
    level: float
    names: tuple[str, str, str]
    a: Float[np.ndarray, " n"]
    b: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    event: Any = None

    @property
    def full(self) -> Rung:
        """The last rung, y ~ a * b."""
        return self.rungs[2]

    def slopes(self, at: Sequence[float] | None = None, *, of: str | None = None) -> tuple[Slope, ...]:
        r"""The slope of one modality at values of the other: $w_1 + w_3 b$, variance $V_{11} + 2 b V_{13} + b^2 V_{33}$.

        Args:
            at: Values of the other modality; each of its values where there are few, else its mean and one standard
                deviation to either side.
            of: The modality whose slope is asked for; the first by default.

        Raises:
            ModalityError: `of` is neither modality.

        Relations:
            * at b = 0: the coefficient of a, with its interval
        """
        first = self.names[0] if of is None else of
        if first not in self.names[:2]:
            raise ModalityError(f"slopes needs one of {list(self.names[:2])}, got {first!r}.")
        own, other = (1, self.b) if first == self.names[0] else (2, self.a)
        values = _levels(other) if at is None else [float(v) for v in at]
        quantile, tail = _reference(self.family, self.full.df, self.level)
        weights, cov = [c.estimate for c in self.full.coefficients], self.full.covariance
        found = []
        for v in values:
            estimate = weights[own] + weights[3] * v
            variance = float(cov[own, own] + 2 * v * cov[own, 3] + v**2 * cov[3, 3])
            error = float(np.sqrt(max(variance, 0.0)))
            p = float(tail(abs(estimate) / error)) if error > 0 else float(estimate == 0)
            found.append(
                Slope(v, estimate, error, estimate - quantile * error, estimate + quantile * error, p)
            )
        return tuple(found)

    def sentence(self) -> str:
        """What was found, in words that need no statistics course."""
        a, b, y = self.names
        what = f"{y} changes" if self.event is None else f"the log odds of {y} = {self.event} change"
        test, product = self.comparisons[1], self.full[f"{a}:{b}"]
        if test.p < 1 - self.level:
            parts = [f"by {s} per unit of {a} where {b} = {s.at:.4g}" for s in self.slopes()]
            return (
                f"{a} and {b} interact: {what} {_and(parts)}. Each unit of {b} changes the slope of {a} by {product} "
                f"({test}; intervals of {self.level:.0%})."
            )
        rung = self.rungs[1]
        return (
            f"No interaction of {a} and {b} was found ({test}; each unit of {b} changes the slope of {a} by {product}). "
            f"Without one, {what} by {rung[a]} per unit of {a} and by {rung[b]} per unit of {b} "
            f"(intervals of {self.level:.0%})."
        )

    def table(self) -> str:
        """The three fits side by side, as Markdown."""
        terms = [c.name for c in self.full.coefficients]
        rows = []
        for term in terms:
            cells = ["" if term not in {c.name for c in r.coefficients} else str(r[term]) for r in self.rungs]
            rows.append([term, *cells])
            rows.append(
                ["", *(p_text(r[term].p) if cell else "" for r, cell in zip(self.rungs, cells, strict=True))]
            )
        rows.append(
            ["R2" if self.family == "linear" else "McFadden R2", *(f"{r.r2:.3f}" for r in self.rungs)]
        )
        rows.append(["against the fit to the left", "", *(str(c) for c in self.comparisons)])
        return markdown_table([f"n = {len(self.y)}", *(r.formula for r in self.rungs)], rows)

    def plot(self, ax: Any = None) -> Any:
        """Draw the fitted y over a, one line and band for each value of b that `slopes` reads; returns the axes."""
        import matplotlib.pyplot as plt

        ax = plt.gca() if ax is None else ax
        a, b, y = self.names
        grid = np.linspace(self.a.min(), self.a.max(), 50)
        quantile, _ = _reference(self.family, self.full.df, self.level)
        weights = np.array([c.estimate for c in self.full.coefficients])
        jitter = np.random.default_rng(0).uniform(-0.012, 0.012, len(self.y)) * np.ptp(self.a)
        levels = _levels(self.b)
        few = len(np.unique(self.b)) == len(levels)
        if not few:
            ax.plot(self.a + jitter, self.y, ".", color="0.75", markersize=3, zorder=0)
        for v in levels:
            design = _design(grid, np.full(50, v), 3)
            middle = design @ weights
            width = quantile * np.sqrt(np.maximum(np.sum(design @ self.full.covariance * design, axis=1), 0))
            lines = [middle, middle - width, middle + width]
            if self.family == "logistic":
                lines = [1 / (1 + np.exp(-line)) for line in lines]
            (drawn,) = ax.plot(grid, lines[0], label=f"{b} = {v:.4g}")
            ax.fill_between(grid, lines[1], lines[2], color=drawn.get_color(), alpha=0.2, linewidth=0)
            if few:
                own = self.b == v
                dots = {"color": drawn.get_color(), "markersize": 3, "alpha": 0.4, "zorder": 0}
                ax.plot((self.a + jitter)[own], self.y[own], ".", **dots)
        ax.set(xlabel=a, ylabel=y if self.event is None else f"share of {y} = {self.event}")
        ax.legend(frameon=False)
        return ax

    def __str__(self) -> str:
        return f"{self.sentence()}\n\n{self.table()}"


def interaction_regression(
    a: Num[np.ndarray, " n"],
    b: Num[np.ndarray, " m"],
    y: Shaped[np.ndarray, " k"],
    *,
    family: Family = "linear",
    level: float = 0.95,
    names: tuple[str, str, str] = ("a", "b", "y"),
) -> InteractionRegression:
    r"""Fit y on a, on a and b, and on both with their product, and say what each step adds.

    $$ y = w_0 + w_1 a; \qquad + w_2 b; \qquad + w_3 a b $$

    With the product in the model $w_1$ is the slope of a where b = 0, and no longer "the effect of a": at another b the
    slope is $w_1 + w_3 b$ (`InteractionRegression.slopes`). Intervals are $w \pm t_{n-p} \, se$ (linear) or
    $w \pm z \, se$ (logistic).

    Args:
        a: One number a row.
        b: One number a row; 0 and 1 for two groups.
        y: The response: numbers (linear), or two classes, of which the second in sorted order is the event (logistic).
        family: What y is.
        level: Of the intervals, in (0, 1); the sentence calls an interaction found where p < 1 - level.
        names: What a, b and y are called.

    Raises:
        ModalityError: a constant modality, modalities that say the same, one class, classes that are separated perfectly
            (no finite estimate exists), rows without a number, fewer than 5 rows.
        MissingDependencyError: statsmodels is not installed.

    Relations:
        * linear: the estimates are those of least squares, `numpy.linalg.lstsq`
        * linear: the F of a step with one term is the square of that term's t
        * two groups b in {0, 1}: the slopes at 0 and 1 are those of two fits, one in each group
        * a -> a - c: w_3 and every fitted value stay; w_2 becomes the slope of b at a = c

    References:
        Aiken & West 1991, Multiple regression: testing and interpreting interactions. Konis 2007 (separation).
    """
    if not 0 < level < 1:
        raise ModalityError(f"level needs a number between 0 and 1, got {level}.")
    if family not in ("linear", "logistic"):
        raise ModalityError(f"family needs 'linear' or 'logistic', got {family!r}.")
    if len(names) != 3 or len(set(names)) != 3:
        raise ModalityError(f"names needs three different names, of a, b and y, got {names}.")
    x_a, x_b = as_numbers(names[0], a), as_numbers(names[1], b)
    response, event = as_response(names[2], y, family)
    if not len(x_a) == len(x_b) == len(response):
        raise ModalityError(
            f"interaction_regression needs one row axis, got {len(x_a)} rows of {names[0]!r}, {len(x_b)} of {names[1]!r} and "
            f"{len(response)} of {names[2]!r}."
        )
    if len(response) < 5:
        raise ModalityError(f"interaction_regression needs at least 5 rows, got {len(response)}.")
    rungs = []
    formulas = [
        f"{names[2]} ~ {names[0]}",
        f"{names[2]} ~ {names[0]} + {names[1]}",
        f"{names[2]} ~ {names[0]} * {names[1]}",
    ]
    for k, formula in enumerate(formulas, start=1):
        design = _design(x_a, x_b, k)
        check_rank(design, names)
        rungs.append(_fit(formula, design, response, family, level, names))
    total = float(((response - response.mean()) ** 2).sum())
    steps = [_compare(small, large, family, total) for small, large in itertools.pairwise(rungs)]
    return InteractionRegression(
        (rungs[0], rungs[1], rungs[2]), (steps[0], steps[1]), family, level, names, x_a, x_b, response, event
    )


def _design(a: np.ndarray, b: np.ndarray, k: int) -> Float[np.ndarray, "n p"]:
    return np.column_stack([np.ones(len(a)), a, b, a * b][: k + 1])


def _fit(
    formula: str, design: np.ndarray, y: np.ndarray, family: Family, level: float, names: tuple[str, str, str]
) -> Rung:
    api = statsmodels()
    a, b, _ = names
    terms = ["intercept", a, b, f"{a}:{b}"][: design.shape[1]]
    if family == "linear":
        fitted = api.OLS(y, design).fit()
        residual = y - design @ fitted.params
        deviance, total = float(residual @ residual), float(((y - y.mean()) ** 2).sum())
        r2 = 1 - deviance / total
    else:
        if is_separated(design, y):
            raise ModalityError(
                f"{formula}: {' and '.join(names[: min(design.shape[1] - 1, 2)])} separate the classes of {names[2]} perfectly, so that no "
                "finite estimate exists. Look whether a modality holds the answer, or collect rows that overlap."
            )
        fitted = api.Logit(y, design).fit(disp=0, maxiter=200)
        deviance, r2 = -2 * float(fitted.llf), float(fitted.prsquared)
    quantile, tail = _reference(family, int(fitted.df_resid), level)
    estimates, errors = np.asarray(fitted.params), np.asarray(fitted.bse)
    coefficients = []
    for name, w, se in zip(terms, estimates.tolist(), errors.tolist(), strict=True):
        statistic = w / se if se > 0 else np.inf * np.sign(w) if w else 0.0
        p = float(tail(abs(statistic)))
        coefficients.append(Coefficient(name, w, se, w - quantile * se, w + quantile * se, statistic, p))
    covariance = np.asarray(fitted.cov_params(), dtype=float)
    return Rung(formula, tuple(coefficients), covariance, int(fitted.df_resid), deviance, float(r2))


def _compare(small: Rung, large: Rung, family: Family, total: float) -> Comparison:
    from scipy import stats

    added = small.df - large.df
    gain = max(small.deviance - large.deviance, 0.0)
    if family == "logistic":
        return Comparison(small.formula, large.formula, gain, (added,), float(stats.chi2.sf(gain, added)))
    noise = 1e-20 * total  # both fit exactly: what is left is rounding
    statistic = 0.0 if gain <= noise else gain / added / max(large.deviance / large.df, noise)
    p = float(stats.f.sf(statistic, added, large.df))
    return Comparison(small.formula, large.formula, statistic, (added, large.df), p)


def _reference(family: Family, df: int, level: float) -> tuple[float, Any]:
    """The quantile of the intervals, and the two-sided tail of a statistic."""
    from scipy import stats

    law = stats.t(df) if family == "linear" else stats.norm()
    return float(law.ppf((1 + level) / 2)), lambda statistic: 2 * law.sf(statistic)


def _levels(values: np.ndarray) -> list[float]:
    distinct = np.unique(values)
    if len(distinct) <= FEW_LEVELS:
        return [float(v) for v in distinct]
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    return [mean - sd, mean, mean + sd]


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def statsmodels() -> Any:
    """The library of statistical models, loaded when first needed (a second or two).

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from statsmodels import api
    except ImportError as error:
        raise MissingDependencyError(
            'Interaction regression needs statsmodels: pip install "polymodal[interactions]".'
        ) from error
    return api

r"""Interaction of modalities of several columns: what B adds to A, and what their products add, by permutation and held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Num, Shaped
from polymodal.interactions._tables import markdown_table, number, p_text


@dataclass(frozen=True)
class Step:
    """What one block of columns adds.

    Attributes:
        added: Name of the block.
        statistic: Pseudo-F: (gain / columns added) / (residual / residual degrees of freedom).
        df: Columns added, and residual degrees of freedom.
        p: Share of permutations with a statistic at least as large, the observed one counted.
    """

    added: str
    statistic: float
    df: tuple[int, int]
    p: float

    def __str__(self) -> str:
        return f"F({self.df[0]}, {self.df[1]}) = {number(self.statistic)}, {p_text(self.p)} (permutation)"


@dataclass(frozen=True)
class MultivariateInteraction:
    """What `multivariate_interaction` found.

    Attributes:
        formulas: y ~ A, y ~ A + B, y ~ A * B.
        r2: Share of the variance that each fit explains on the rows it was fitted on; it never falls.
        held_out_r2: The same on rows left out, with a ridge penalty; it falls where a step adds only noise.
        steps: What A adds to nothing, B to A, and the products to both.
        level: A step counts as found where p < 1 - level.
        n_rows: Rows.
    """

    formulas: tuple[str, str, str]
    r2: tuple[float, float, float]
    held_out_r2: tuple[float, float, float]
    steps: tuple[Step, Step, Step]
    level: float
    n_rows: int

    def sentence(self) -> str:
        """What was found, in words."""
        step, (_, plain, product) = self.steps[2], self.held_out_r2
        verdict = "interact" if step.p < 1 - self.level else "were not found to interact"
        return (
            f"{step.added.replace(':', ' and ')} {verdict} ({step}). On rows left out, R2 is {plain:.3f} without and {product:.3f} with "
            "their products."
        )

    def table(self) -> str:
        """The three fits as Markdown."""
        rows = [
            [formula, f"{inside:.3f}", f"{outside:.3f}", str(step)]
            for formula, inside, outside, step in zip(
                self.formulas, self.r2, self.held_out_r2, self.steps, strict=True
            )
        ]
        return markdown_table([f"n = {self.n_rows}", "R2", "R2 held out", "what the last term adds"], rows)

    def __str__(self) -> str:
        return f"{self.sentence()}\n\n{self.table()}"


def multivariate_interaction(
    a: Num[np.ndarray, "n p"],
    b: Num[np.ndarray, "m q"],
    y: Shaped[np.ndarray, "k ..."],
    *,
    names: tuple[str, str, str] = ("a", "b", "y"),
    level: float = 0.95,
    n_permutations: int = 999,
    cv: int = 5,
    random_state: RandomState = 0,
) -> MultivariateInteraction:
    r"""The ladder y ~ A, y ~ A + B, y ~ A * B for modalities of several columns, with all products of a column of each.

    Each step is tested by permuting the residuals of the smaller fit (Freedman and Lane): under the hypothesis that the step
    adds nothing they can change places. No normal errors are assumed. Several responses are tested together, by summed squares.

    Args:
        a: Columns of the first modality. Many columns: project on a few components first.
        b: Columns of the second modality.
        y: One number or several a row; or one class a row, which becomes one 0/1 column a class.
        names: What a, b and y are called.
        level: A step counts as found where p < 1 - level.
        n_permutations: The smallest p is 1 / (1 + n_permutations).
        cv: Folds of the held-out R2.
        random_state: Seed of permutations and folds.

    Raises:
        ModalityError: a constant modality, one that the other gives linearly, a constant y, or more coefficients than rows.

    Relations:
        * one column a modality: the pseudo-F of a step is the F of `interaction_regression`
        * invariant to invertible linear maps of A and of B, and to shifts of both (steps and r2)

    References:
        Freedman & Lane 1983; Anderson & Robinson 2001 (which permutation test keeps its level).

    Complexity:
        O(n k^2) for the fits and O(n k) per permutation and response; k = p + q + p q.
    """
    x_a, x_b, response = _columns(names[0], a), _columns(names[1], b), _responses(names[2], y)
    if not len(x_a) == len(x_b) == len(response):
        raise ModalityError(
            f"multivariate_interaction needs one row axis, got {len(x_a)} rows of {names[0]!r}, {len(x_b)} of {names[1]!r} and "
            f"{len(response)} of {names[2]!r}."
        )
    if n_permutations < 1 or cv < 2 or not 0 < level < 1:
        raise ModalityError(
            f"Needed: n_permutations >= 1, cv >= 2, 0 < level < 1; got {n_permutations}, {cv} and {level}."
        )
    products = (x_a[:, :, None] * x_b[:, None, :]).reshape(len(x_a), -1)
    blocks = [x_a, x_b, products]
    bases = _bases(blocks, names)
    rng = generator(random_state)
    total = float((response**2).sum())
    added = [names[0], names[1], f"{names[0]}:{names[1]}"]
    steps = [_step(added[k], bases[k], bases[k + 1], response, n_permutations, rng) for k in range(3)]
    inside = [float(((basis.T @ response) ** 2).sum()) / total for basis in bases[1:]]
    folds = rng.permutation(len(response)) % min(cv, len(response))
    outside = [_held_out(np.hstack(blocks[: k + 1]), response, folds) for k in range(3)]
    a_name, b_name, y_name = names
    formulas = (f"{y_name} ~ {a_name}", f"{y_name} ~ {a_name} + {b_name}", f"{y_name} ~ {a_name} * {b_name}")
    return MultivariateInteraction(
        formulas, (inside[0], inside[1], inside[2]), (outside[0], outside[1], outside[2]),
        (steps[0], steps[1], steps[2]), level, len(response),
    )  # fmt: skip


def _step(
    name: str,
    small: np.ndarray,
    large: np.ndarray,
    y: np.ndarray,
    n_permutations: int,
    rng: np.random.Generator,
) -> Step:
    added, df = large.shape[1] - small.shape[1], len(y) - large.shape[1] - 1
    new = large[:, small.shape[1] :]
    residual = y - small @ (small.T @ y)
    left = float((residual**2).sum())
    if left < 1e-18 * float((y**2).sum()):  # nothing is left to explain
        return Step(name, 0.0, (added, df), 1.0)

    def pseudo_f(r: np.ndarray) -> float:
        r = out(r)
        gain = float(((new.T @ r) ** 2).sum())
        return float(gain / added / max((float((r**2).sum()) - gain) / df, 1e-18 * left))

    def out(r: np.ndarray) -> np.ndarray:
        r = r - r.mean(axis=0)
        return np.asarray(r - small @ (small.T @ r))

    observed = pseudo_f(residual)
    larger = sum(
        pseudo_f(residual[rng.permutation(len(y))]) >= observed * (1 - 1e-12) for _ in range(n_permutations)
    )
    return Step(name, observed, (added, df), (1 + larger) / (1 + n_permutations))


def _bases(blocks: list[np.ndarray], names: tuple[str, str, str]) -> list[Float[np.ndarray, "n _"]]:
    """Orthonormal bases of nothing, A, A + B and A * B (centred); each one begins with the one before."""
    n = len(blocks[0])
    found = [np.empty((n, 0))]
    for block, name in zip(blocks, (names[0], names[1], "the products"), strict=True):
        centred = block - block.mean(axis=0)
        scale = np.linalg.norm(centred, axis=0)
        kept = centred[:, scale > 0] / scale[scale > 0]
        before = found[-1]
        rest = kept - before @ (before.T @ kept)
        rest -= before @ (before.T @ rest)  # twice: once leaves rounding where little is new
        u, s, _ = np.linalg.svd(rest, full_matrices=False)
        new = u[:, s > 1e-7]
        if not new.shape[1]:
            raise ModalityError(
                f"{name!r} adds no column that {names[0]!r} does not give already (linearly, on these rows), so that the effects "
                "cannot be told apart. Leave it out."
            )
        found.append(np.hstack([before, new]))
        if found[-1].shape[1] + 2 > n:
            raise ModalityError(
                f"{found[-1].shape[1] + 1} coefficients need more rows, got {n}: {names[0]!r} has {blocks[0].shape[1]} columns, "
                f"{names[1]!r} {blocks[1].shape[1]}, and every pair makes a product. Project them on fewer first (PCA)."
            )
    return found


def _held_out(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> float:
    """R2 on left-out rows of ridge regression on standardised columns, its penalty chosen inside the other rows."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model, predicted, mean = (
        make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15))),
        np.empty_like(y),
        np.empty_like(y),
    )
    for fold in np.unique(folds):
        held = folds == fold
        predicted[held] = model.fit(x[~held], y[~held]).predict(x[held]).reshape(-1, y.shape[1])
        mean[held] = y[~held].mean(axis=0)
    left, total = float(((y - predicted) ** 2).sum()), float(((y - mean) ** 2).sum())
    return 1 - left / total


def _columns(name: str, values: np.ndarray) -> Float[np.ndarray, "n p"]:
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ModalityError(f"{name!r} needs numbers on every row. Leave rows without one out of a, b and y.")
    if not len(x) or (np.ptp(x, axis=0) == 0).all():
        raise ModalityError(f"{name!r} is constant: its effect cannot be told. Leave it out.")
    centred = x - x.mean(axis=0)
    return np.asarray(centred / np.where(np.ptp(x, axis=0) > 0, centred.std(axis=0), 1))


def _responses(name: str, y: np.ndarray) -> Float[np.ndarray, "n r"]:
    values = np.asarray(y)
    if values.dtype.kind not in "biuf":
        classes, codes = np.unique(values, return_inverse=True)
        values = np.eye(len(classes))[codes.reshape(len(values))]
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    if not np.isfinite(values).all():
        raise ModalityError(f"{name!r} needs a value on every row. Leave rows without one out of a, b and y.")
    if not len(values) or (np.ptp(values, axis=0) == 0).all():
        raise ModalityError(f"{name!r} is constant: there is nothing to explain.")
    return np.asarray(values - values.mean(axis=0))

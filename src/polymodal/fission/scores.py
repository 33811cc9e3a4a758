"""What each part carries: predicted modalities or true factors, cross-validated, and leakage between parts that should be apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.random import seed as seed_of
from polymodal.core.typing import Float
from polymodal.fission.disentanglement import draw_matrix

Method = Literal["ridge", "neighbours", "boosting"]


@dataclass(frozen=True, eq=False)
class PartScores:
    """R2 of each part (row) about each factor or modality (column).

    Attributes:
        r2: At most 1; 0 is as good as the mean, below 0 is worse.
        parts: Names of the rows.
        factors: Names of the columns.
        method: What predicted.
    """

    r2: Float[np.ndarray, "p f"]
    parts: tuple[str, ...]
    factors: tuple[str, ...]
    method: Method

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """`scores["shared", "image"]`: how well one part predicts one factor."""
        part, factor = pair
        if part not in self.parts or factor not in self.factors:
            raise ModalityError(
                f"No score of part {part!r} on {factor!r}; parts are {list(self.parts)}, factors {list(self.factors)}."
            )
        return float(self.r2[self.parts.index(part), self.factors.index(factor)])

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Part -> factor -> R2."""
        return {p: {f: self[p, f] for f in self.factors} for p in self.parts}

    def __str__(self) -> str:
        lines = ["| part | " + " | ".join(self.factors) + " |", "|" + "---|" * (len(self.factors) + 1)]
        for part in self.parts:
            cells = [f"{self[part, factor]:.3f}" for factor in self.factors]
            lines.append("| " + " | ".join([part, *cells]) + " |")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the matrix on matplotlib axes, and return them."""
        axes = draw_matrix(self.r2, self.parts, self.factors, ax)
        axes.set_title("R2 of each part (row) about each column, on rows held out", fontsize="medium")
        return axes


@dataclass(frozen=True)
class Leakage:
    """What should be 0 where parts are well apart.

    Attributes:
        private_to_other: (private part, another modality) -> R2 of predicting that modality from the part.
        private_to_shared: Private part -> R2 of predicting the shared part from it.
        shared_to_private: Modality -> R2 of predicting its true private factors from the shared part; empty where they are not given.
    """

    private_to_other: dict[tuple[str, str], float]
    private_to_shared: dict[str, float]
    shared_to_private: dict[str, float]

    def __str__(self) -> str:
        rows = [(f"private {a} -> modality {b}", value) for (a, b), value in self.private_to_other.items()]
        rows += [(f"private {a} -> shared part", value) for a, value in self.private_to_shared.items()]
        rows += [
            (f"shared -> true private factors of {a}", value) for a, value in self.shared_to_private.items()
        ]
        return "\n".join(
            ["| leak | R2 |", "|---|---|", *(f"| {name} | {value:.3f} |" for name, value in rows)]
        )


def part_scores(
    parts: Modalities | Mapping[str, Any],
    factors: Modalities | Mapping[str, Any],
    *,
    method: Method = "ridge",
    n_folds: int = 5,
    random_state: RandomState = 0,
) -> PartScores:
    r"""How well each part predicts each true factor, or each modality, on rows held out.

    $$ R^2 = 1 - \frac{\sum_i |y_i - \hat y_i|^2}{\sum_i |y_i - \bar y|^2} $$

    where $\hat y_i$ comes from a predictor fitted on the other folds; the columns of one factor are standardised, so each counts alike.

    Args:
        parts: What a fission's `transform` gave: vectors, of which rows may be missing. A part without columns scores 0.
        factors: Name -> (n,) or (n, k) numbers, or vector modalities, of the same rows. Classes go in as one column a class (0 or 1).
        method: "ridge" (linear; penalty by leave-one-out), "neighbours" (mean of 10 nearest rows) or "boosting" (gradient-boosted
            trees); the last two see bent relations too.
        n_folds: Parts that the rows are split into, at least 2.
        random_state: Of the split.

    Raises:
        ModalityError: different numbers of rows, values that are no vectors of finite numbers, or fewer than 2 n_folds rows that have both.
        ConfigError: an unknown method.

    Relations:
        * a part scores 1 on itself (ridge), and about 0 or a little less on what it knows nothing of.
        * "ridge": an invertible linear map of a part changes (almost) nothing.
    """
    columns, wanted = _vectors(parts, "parts"), _vectors(factors, "factors")
    lengths = {len(values) for values, _ in (*columns.values(), *wanted.values())}
    if len(lengths) != 1:
        raise ModalityError(
            f"part_scores needs parts and factors of the same rows, got lengths {sorted(lengths)}."
        )
    if method not in ("ridge", "neighbours", "boosting"):
        raise ConfigError(f'part_scores needs method "ridge", "neighbours" or "boosting", got {method!r}.')
    seed = seed_of(random_state) % 2**32
    r2 = np.zeros((len(columns), len(wanted)))
    for i, (part, (x, has_x)) in enumerate(columns.items()):
        for j, (factor, (y, has_y)) in enumerate(wanted.items()):
            rows = has_x & has_y
            if n_folds < 2 or rows.sum() < 2 * n_folds:
                raise ModalityError(
                    f"part_scores needs two folds or more, and twice as many rows that have both {part!r} and {factor!r}; "
                    f"got {n_folds} folds and {int(rows.sum())} rows."
                )
            r2[i, j] = _held_out_r2(x[rows], y[rows], method, n_folds, seed)
    return PartScores(r2, tuple(columns), tuple(wanted), method)


def leakage(
    parts: Modalities | Mapping[str, Any],
    data: Modalities | Mapping[str, Any],
    *,
    private: Mapping[str, Any] | None = None,
    method: Method = "ridge",
    random_state: RandomState = 0,
) -> Leakage:
    """What private parts tell of other modalities and of the shared part, and what the shared part tells of private factors.

    A private part that predicts another modality holds something that both have. Only R2 from `part_scores`: what the predictor cannot
    see is not counted, so a 0 by "ridge" may hide a bent relation.

    Args:
        parts: `"shared"` and private parts, as a fission's `transform` gives them.
        data: The modalities they came from, as vectors.
        private: Name -> true private factors (n, k), where they are known.
        method: As in `part_scores`.
        random_state: Of the folds.

    Raises:
        ModalityError: no part called "shared", or names in `private` that are not among the parts.
    """
    frame, modalities = Modalities.of(parts), Modalities.of(data)
    names = [name for name in frame.names if name != "shared"]
    unknown = sorted(set(private or {}) - set(names))
    if "shared" not in frame or unknown or not names:
        raise ModalityError(
            f'leakage needs a part "shared" and private ones, of the names in private; got parts {list(frame.names)}, unknown {unknown}.'
        )
    own = frame.select(*names)
    about = part_scores(own, modalities, method=method, random_state=random_state)
    back = part_scores(own, frame.select("shared"), method=method, random_state=random_state)
    truth: dict[str, float] = {}
    if private:
        found = part_scores(frame.select("shared"), dict(private), method=method, random_state=random_state)
        truth = {name: found["shared", name] for name in private}
    return Leakage(
        {(a, b): about[a, b] for a in names for b in modalities.names if a != b},
        {a: back[a, "shared"] for a in names},
        truth,
    )


def _vectors(given: Modalities | Mapping[str, Any], what: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (n, d) numbers with zeros where missing, and presence."""
    if not isinstance(given, Modalities):
        given = Modalities.of(
            {
                name: np.asarray(values)[:, None] if np.ndim(values) == 1 else values
                for name, values in given.items()
            }
        )
    found = {}
    for name, column in given.items():
        if column.kind != "vector":
            raise ModalityError(
                f"part_scores needs vectors as {what}, got {name!r} of kind {column.kind}. "
                "Turn it into vectors (polymodal.encoders.Vectorize)."
            )
        values = np.zeros((len(given), *column.shape))
        if column.present.any():
            values[column.present] = np.asarray(column.observed(), dtype=np.float64)
        found[name] = values, column.present
    return found


def _held_out_r2(x: np.ndarray, y: np.ndarray, method: Method, n_folds: int, seed: int) -> float:
    from sklearn.model_selection import KFold

    spread = y.std(axis=0)
    y = (y - y.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    total = float((y**2).sum())
    if not x.shape[1] or total == 0:
        return 0.0
    left = 0.0
    for learn, held in KFold(n_folds, shuffle=True, random_state=seed).split(x):
        centre, scale = x[learn].mean(axis=0), x[learn].std(axis=0)
        z = (x - centre) / np.where(scale > 0, scale, 1.0)
        left += float(((y[held] - _predict(z[learn], y[learn], z[held], method, seed)) ** 2).sum())
    return 1 - left / total


def _predict(x: np.ndarray, y: np.ndarray, new: np.ndarray, method: Method, seed: int) -> np.ndarray:
    """(m, k) predictions for new rows."""
    if method == "ridge":
        from sklearn.linear_model import RidgeCV

        return np.asarray(RidgeCV(np.logspace(-6, 4, 11)).fit(x, y).predict(new)).reshape(len(new), -1)
    if method == "neighbours":
        from sklearn.neighbors import KNeighborsRegressor

        near = KNeighborsRegressor(min(10, len(x))).fit(x, y)
        return np.asarray(near.predict(new)).reshape(len(new), -1)
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = [
        HistGradientBoostingRegressor(max_iter=60, random_state=seed).fit(x, column).predict(new)
        for column in y.T
    ]
    return np.stack(trees, axis=1)

"""How well a fitted model answers, on the rows as they are and on rows drawn again: what the readings of a model share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import check_target
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float, Shaped
from polymodal.evaluation.intervals import Interval

Scorer = Literal["auto", "accuracy", "r2"] | Callable[[np.ndarray, np.ndarray], float]


def check_inputs(
    who: str, model: Any, data: Any, y: Any, *, fewest: int = 2
) -> tuple[Modalities, np.ndarray]:
    """Data as `Modalities` and the target as an array; rows complete, one target a row, and a target that varies."""
    frame, target = Modalities.of(data), check_target(y)
    if not hasattr(model, "predict"):
        raise ModalityError(f"{who} needs a fitted model with predict(data), got {type(model).__name__}.")
    if len(frame.names) < fewest:
        raise ModalityError(f"{who} needs at least {fewest} modalities, got {list(frame.names)}.")
    if target.shape != (len(frame),) or len(frame) < 2:
        raise ModalityError(
            f"{who} needs one target a row and at least 2 rows: {len(frame)} rows, a target of shape {target.shape}."
        )
    missing = {name: int((~has).sum()) for name, has in frame.present.items() if not has.all()}
    if missing:
        raise ModalityError(
            f"{who} needs every modality on every row (missing rows: {missing}). Use data.complete()."
        )
    if len(np.unique(target)) < 2:
        raise ModalityError(f"{who} needs a target that varies, got {target[0]!r} on every row.")
    return frame, target


def name_scorer(scorer: Scorer, y: np.ndarray) -> str:
    """`"r2"` for quantities (floats), `"accuracy"` for anything else, the function's name for a function."""
    if callable(scorer):
        return getattr(scorer, "__name__", "score")
    if scorer not in ("auto", "accuracy", "r2"):
        raise ModalityError(
            f"scorer needs 'accuracy', 'r2' or a function of truth and prediction, got {scorer!r}."
        )
    return str(scorer) if scorer != "auto" else "r2" if y.dtype.kind == "f" else "accuracy"


def predictions(model: Any, data: Modalities) -> Shaped[np.ndarray, " n"]:
    """`model.predict(data)`, one answer a row."""
    answers = np.asarray(model.predict(data))
    if answers.shape != (len(data),):
        raise ModalityError(
            f"{type(model).__name__}.predict needs to give one answer a row ({len(data)}), got shape {answers.shape}."
        )
    return answers


def draw_counts(n: int, n_resamples: int, level: float, rng: np.random.Generator) -> Float[np.ndarray, "b n"]:
    """How often each row stands in the sample itself (once, first line) and in bootstrap samples."""
    if not 0 < level < 1 or n_resamples < 1:
        raise ModalityError(
            f"An interval needs 0 < level < 1 and n_resamples >= 1, got {level} and {n_resamples}."
        )
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return np.vstack([np.ones((1, n)), drawn])


def score_samples(
    scorer: Scorer, y: np.ndarray, answers: Shaped[np.ndarray, "d n"], counts: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, " b"]:
    """The score of each sample of rows, averaged over several draws of answers."""
    if callable(scorer):
        samples = [np.repeat(np.arange(len(y)), row.astype(int)) for row in counts]
        return np.array(
            [np.mean([float(scorer(y[rows], drawn[rows])) for drawn in answers]) for rows in samples]
        )
    if name_scorer(scorer, y) == "accuracy":
        right = (answers == y).mean(axis=0)
        return np.asarray(counts @ right / counts.sum(axis=1))
    centred = y - y.mean()
    squares = ((answers - y) ** 2).mean(axis=0)
    total = counts @ centred**2 - (counts @ centred) ** 2 / counts.sum(axis=1)
    return np.asarray(1 - counts @ squares / np.where(total > 0, total, np.nan))


def summarise(values: Float[np.ndarray, " b"], level: float) -> Interval:
    """The first value, and the percentile interval of the rest."""
    low, high = np.nanquantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[0]), float(low), float(high), level)


def constant_answer(scorer: Scorer, y: np.ndarray) -> Any:
    """The best answer that looks at nothing: the mean of quantities, the commonest class."""
    kind = name_scorer(scorer, y)
    if kind == "r2" or (y.dtype.kind == "f" and kind != "accuracy"):
        return y.mean()
    classes, counts = np.unique(y, return_counts=True)
    return classes[np.argmax(counts)]

r"""Does a fitted model need its modalities together? Its score against that of the additive model nearest to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Int, Shaped
from polymodal.evaluation.intervals import Interval
from polymodal.interactions._scoring import (
    Scorer,
    check_inputs,
    draw_counts,
    name_scorer,
    predictions,
    score_samples,
    summarise,
)
from polymodal.interactions._tables import markdown_table, with_interval

Output = Literal["auto", "decision", "logit", "probability", "prediction"]
BLOCK = 8192
N_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class AdditiveProjection:
    """What `empirical_additive_projection` found.

    Attributes:
        names: The modalities.
        output: What was projected: `"decision"`, `"logit"`, `"probability"` or `"prediction"`.
        scorer: What the scores are.
        score: Of the model.
        projected_score: Of its additive projection.
        difference: Score minus projected score, on the same resampled rows.
        residual_share: Mean square of what the projection leaves of the outputs, over their variance; 0 if the model is additive.
        outputs: Of the model, one line a row.
        projected: Of the projection.
        rows: The rows of the data that were used.
    """

    names: tuple[str, ...]
    output: str
    scorer: str
    score: Interval
    projected_score: Interval
    difference: Interval
    residual_share: float
    outputs: Float[np.ndarray, "n k"]
    projected: Float[np.ndarray, "n k"]
    rows: Int[np.ndarray, " n"]

    def sentence(self) -> str:
        """What was found, in words."""
        what = " and ".join([", ".join(self.names[:-1]), self.names[-1]])
        score, projected, gap = (_show(i) for i in (self.score, self.projected_score, self.difference))
        if self.difference.low > 0:
            verdict = f"The model gains from interactions of {what}"
        elif self.difference.high < 0:
            verdict = f"The model's interactions of {what} harm it on these rows"
        else:
            verdict = f"No gain from interactions of {what} was found"
        return f"{verdict}: {self.scorer} {score}, of its additive projection {projected}, difference {gap}."

    def table(self) -> str:
        """The scores as Markdown."""
        rows = [
            ["model", _show(self.score)],
            ["additive projection", _show(self.projected_score)],
            ["difference", _show(self.difference)],
        ]
        return markdown_table([f"n = {len(self.rows)}", self.scorer], rows)

    def __str__(self) -> str:
        return f"{self.sentence()}\n\n{self.table()}"


def empirical_additive_projection(
    model: Any,
    data: Modalities | Mapping[str, Any],
    y: Any,
    *,
    scorer: Scorer = "auto",
    output: Output = "auto",
    n_rows: int = 400,
    level: float = 0.95,
    report: Callable[[int, int], None] | None = None,
    random_state: RandomState = 0,
) -> AdditiveProjection:
    r"""Project a model's outputs on sums of one function a modality, and score model and projection on the same rows.

    $$ \tilde f(a_i, b_i) = \tfrac1n \sum_j f(a_i, b_j) + \tfrac1n \sum_j f(a_j, b_i) - \tfrac1{n^2} \sum_{jk} f(a_j, b_k) $$

    With more than two modalities: the main effects of the functional analysis of variance, $\sum_m E[f \mid x_m] - (M-1) E f$, where
    the other modalities are drawn independently of each other (one shuffle of the rows each, so that every value is used once).
    Where the projection scores as well as the model, what the model learned about modalities together is of no use on these rows:
    it may still be that the data call for it.

    Args:
        model: Anything fitted with `predict(data)`; `predict_proba`, `decision_function` and `classes_` are used where it has them.
        data: Rows to score on, best ones that training did not see, with every modality.
        y: One class or quantity a row.
        scorer: `"accuracy"`, `"r2"`, a function of truth and prediction, or by the type of y (floats: r2).
        output: What is projected. `"decision"`: decision_function; `"logit"`: log probabilities, centred over classes;
            `"probability"`; `"prediction"`: quantities, or 0/1 a class. `"auto"`: the first of these that the model has.
        n_rows: At most so many rows are used, drawn at random.
        level: Of the intervals (bootstrap over scored rows; the projection is not computed anew).
        report: Called after each block with the rows done and the rows in all.
        random_state: Seed of the choice of rows, shuffles and bootstrap.

    Raises:
        ModalityError: no `predict`, one modality, rows that lack one, a target that is constant or of another length.

    Relations:
        * an additive model: projected = outputs, residual_share = 0, difference = 0
        * the projection of a projection is itself
        * a model of a XOR b: the projection scores at chance
        * two modalities: least squares of the n x n grid of outputs on row and column effects, read on the diagonal

    References:
        Hessel & Lee 2020, Does my multimodal model learn cross-modal interactions? Hooker 2007 (functional ANOVA).

    Complexity:
        n^2 rows go through the model for two modalities, M n^2 for M > 2; O(n k) memory beyond one block.
    """
    frame, target = check_inputs("empirical_additive_projection", model, data, y)
    if n_rows < 2:
        raise ModalityError(f"n_rows needs at least 2, got {n_rows}.")
    kind = name_scorer(scorer, target)
    rng = generator(random_state)
    rows = np.sort(rng.permutation(len(frame))[:n_rows])
    frame, target = frame[rows], target[rows]
    chosen = _choose(model, output)
    classes = _classes(model, frame, target, kind)
    outputs = _outputs(model, frame, chosen, classes)
    effects, centre = _main_effects(
        lambda mixed: _outputs(model, mixed, chosen, classes), frame, outputs.shape[1], rng, report
    )
    projected = effects - (len(frame.names) - 1) * centre
    answers = np.stack([_decide(values, classes) for values in (outputs, projected)])
    counts = draw_counts(len(rows), N_RESAMPLES, level, rng)
    scores = [score_samples(scorer, target, a[None], counts) for a in answers]
    spread = float(((outputs - outputs.mean(axis=0)) ** 2).sum())
    left = float(((outputs - projected) ** 2).sum())
    return AdditiveProjection(
        frame.names,
        chosen,
        kind,
        summarise(scores[0], level),
        summarise(scores[1], level),
        summarise(scores[0] - scores[1], level),
        left / spread if spread > 0 else 0.0,
        outputs,
        projected,
        rows,
    )


def _main_effects(
    outputs: Callable[[Modalities], np.ndarray],
    frame: Modalities,
    width: int,
    rng: np.random.Generator,
    report: Callable[[int, int], None] | None,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " k"]]:
    """The sum over modalities of E[f | x_m], and E f."""
    n, names = len(frame), sorted(frame.names)
    two = len(names) == 2
    total, done, sums = n * n * (1 if two else len(names)), 0, np.zeros((n, width))
    step = max(1, BLOCK // n)
    for name in names[:1] if two else names:
        others = {k: np.arange(n) if two else rng.permutation(n) for k in names if k != name}
        for start in range(0, n, step):
            i = np.arange(start, min(start + step, n))
            index = {k: np.tile(order, len(i)) for k, order in others.items()} | {name: np.repeat(i, n)}
            mixed = Modalities({k: frame[k][index[k]] for k in frame.names})
            block = outputs(mixed).reshape(len(i), n, width)
            sums[i] += block.mean(axis=1)
            if two:
                sums += block.sum(axis=0) / n  # the other modality's turn on the same grid
            done += len(i) * n
            if report is not None:
                report(done, total)
    return sums, sums.mean(axis=0) / len(names)


def _choose(model: Any, output: Output) -> str:
    needs = {
        "decision": "decision_function",
        "logit": "predict_proba",
        "probability": "predict_proba",
        "prediction": "predict",
    }
    if output == "auto":
        return next(kind for kind, method in needs.items() if hasattr(model, method))
    if output not in needs:
        raise ModalityError(f"output needs one of {['auto', *needs]}, got {output!r}.")
    if not hasattr(model, needs[output]):
        raise ModalityError(
            f"output={output!r} needs a model with {needs[output]}, which {type(model).__name__} has not."
        )
    return output


def _classes(model: Any, frame: Modalities, y: np.ndarray, kind: str) -> np.ndarray | None:
    """The classes, in the order of the model's outputs; None where it predicts quantities."""
    if hasattr(model, "classes_"):
        return np.asarray(model.classes_)
    if kind == "r2" or (kind != "accuracy" and y.dtype.kind == "f"):
        return None
    return np.unique(np.concatenate([predictions(model, frame), y]))


def _outputs(
    model: Any, data: Modalities, chosen: str, classes: np.ndarray | None
) -> Float[np.ndarray, "n k"]:
    if chosen == "prediction":
        answers = predictions(model, data)
        values = answers[:, None] if classes is None else answers[:, None] == classes
    elif chosen == "decision":
        values = np.asarray(model.decision_function(data))
    else:
        values = np.asarray(model.predict_proba(data))
        if chosen == "logit":
            logs = np.log(np.maximum(values, np.finfo(values.dtype).tiny).astype(np.float64))
            values = logs - logs.mean(axis=1, keepdims=True)
    return np.asarray(values, dtype=np.float64).reshape(len(data), -1)


def _decide(values: np.ndarray, classes: np.ndarray | None) -> Shaped[np.ndarray, " n"]:
    if classes is None:
        return np.asarray(values[:, 0])
    best = (values[:, 0] > 0).astype(int) if values.shape[1] == 1 else values.argmax(axis=1)
    return np.asarray(classes[best])


def _show(interval: Interval) -> str:
    return with_interval(interval.value, interval.low, interval.high)

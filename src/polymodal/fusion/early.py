r"""Early fusion: the modalities become one vector, one picture or one sequence, and one model learns from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from sklearn.utils.metaestimators import available_if

from polymodal.core.errors import ConfigError, suggest
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import Predictor, gives_probabilities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Float, Shaped
from polymodal.fusion._filling import Filling, block_means, fill, patterns
from polymodal.fusion._joining import (
    channel_means,
    check_channels,
    check_tokens,
    join_tokens,
    stack_channels,
)
from polymodal.fusion._members import (
    Models,
    check_model,
    default_model,
    fit_members,
    fold_priors,
    is_own,
    member_decisions,
    member_probabilities,
    member_quantities,
    outputs_of,
)

Mode = Literal["features", "channels", "tokens"]
Missing = Literal["mean", "nearest", "regression", "patterns"]

JOINED = "joined"
"""The modality that a model of this package gets."""


def _says_probabilities(model: EarlyFusion) -> bool:
    return gives_probabilities(model) and _has(model, "predict_proba")


def _says_margins(model: EarlyFusion) -> bool:
    if model.missing == "patterns":
        raise AttributeError(
            "Margins of different models have no common scale: missing='patterns' has no decision_function."
        )
    return gives_probabilities(model) and _has(model, "decision_function")


def _has(model: EarlyFusion, method: str) -> bool:
    given = model._given_model()
    if not hasattr(given, method):
        raise AttributeError(f"{type(given).__name__} has no {method}, so this EarlyFusion has none.")
    return True


class EarlyFusion(Predictor, Fusion):
    r"""One model on all modalities side by side, $f([x_1; \dots; x_M])$: it sees what they mean together.

    Pictures, texts, sounds and sequences become vectors first (`polymodal.encoders.Vectorize`, which sees no target). Columns
    of vectors have mean 0 and variance 1; those of other kinds keep their proportions and have variance 1 on average.

    Args:
        model: A scikit-learn classifier or regressor or pipeline, one copy per label or quantity; an estimator of this package,
            which gets a single modality named `"joined"`; or an encoder, which is trained with a linear head
            (`AdditiveFusion`). Logistic or ridge regression on standardised columns where none is given.
        mode: What is joined. `"features"`: the vectors. `"channels"`: pictures of one size, or sequences of one length, as the
            channels of one. `"tokens"`: texts, or vectors and sequences of one width, one after the other, each marked with its
            modality.
        missing: What stands where a row lacks a modality. `"mean"`: the mean of the training rows. `"nearest"`: the mean of the 5
            training rows nearest by what both have. `"regression"`: its expectation given the modalities that are there, by ridge
            regression. `"patterns"`: nothing, but a model for each set of modalities, fitted on all rows that have at least these.
            The first three add a 0/1 column for each modality that some training row lacked. Modes `"channels"` (mean picture, mean
            step) and `"tokens"` (nothing is filled) take `"mean"` only.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        random_state: Seed of the vectors of more than 1,500 texts, and of an encoder's training. A model that you give has its own.

    Attributes:
        models_: Names of a set of modalities -> fitted models, one per output; a single set unless `missing="patterns"`, where they
            are fitted when first asked for.
        classes_: The classes in sorted order, or the label columns.
        task_: The task that was learned.

    Relations:
        * vectors, none missing: the model on the matrix of all standardised columns
        * `missing="patterns"`, a row that lacks a modality: what an EarlyFusion without this modality gives it
        * jointly normal modalities and quantity: `missing="regression"` with ridge regression tends to the best prediction from
          whatever is there
    """

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, unpaired=True, target="required")

    def __init__(
        self,
        model: Any = None,
        *,
        mode: Mode = "features",
        missing: Missing = "mean",
        task: Task = "auto",
        random_state: RandomState = 0,
    ) -> None:
        self.model = model
        self.mode = mode
        self.missing = missing
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[EarlyFusion]:
        return [cls(), cls(missing="patterns"), cls(missing="regression"), cls(missing="nearest")]

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        y = self._required(y, "fit")
        self._check_settings()
        self._check_some_present(data)
        target = Target.of(y, self.task)
        codes = target.encode(y)
        self._take_target(target)
        self._template = self._choose_model(target.task)
        check_model(self._template, "EarlyFusion", target, probabilities=False)
        self._columns = outputs_of(target, codes)
        self._priors = fold_priors(target, codes, self._columns.shape[1])
        self._names = sorted(data.names)
        self._marked = [name for name in self._names if not data[name].present.all()]
        self._learn_vectors(data)
        self.models_: dict[tuple[str, ...], Models] = {}
        if self.missing == "patterns":
            for _, has in patterns(data.present, self._names):
                self._models_of(has)
        else:
            inputs = self._inputs(data)
            self.models_[tuple(self._names)] = fit_members(self._template, inputs, self._columns, target)
            self._columns = self._columns[:0]

    def _learn_vectors(self, data: Modalities) -> None:
        """All that `_blocks` and `_inputs` need: means, scales, and training values where absent ones are filled from them."""
        self._means: dict[str, np.ndarray] = {}
        self._known: dict[str, np.ndarray] = {}
        self._known_present: dict[str, np.ndarray] = {}
        self._vectorizer: Any = None
        self._scales: dict[str, float] = {}
        self._learned: dict[Any, Any] = {}  # regressions, made when first needed and not saved
        whole = data
        if self.mode != "features":
            (check_channels if self.mode == "channels" else check_tokens)(data)
            if self.mode == "channels":
                self._means = {name: channel_means(data)[name] for name in self._names}
            whole = self._joined(data)
            if is_own(self._template):
                return
        from polymodal.encoders.vectorize import Vectorize

        self._vectorizer = Vectorize(random_state=self.random_state).fit(whole)
        self._scales = dict.fromkeys(whole.names, 1.0)
        blocks, present = self._blocks(whole)
        for name, values in blocks.items():
            spread = float(np.sqrt(values[present[name]].var(axis=0).mean()))
            if whole[name].kind != "vector" and spread > 0:
                self._scales[name] = spread
        if self.mode == "features":
            blocks, present = self._blocks(whole)
            self._means = block_means(blocks, present)
            if self.missing != "mean":
                self._known, self._known_present = blocks, present

    def _choose_model(self, task: str) -> Any:
        if self.model is None:
            return default_model(task)
        if hasattr(self.model, "prepare") and hasattr(self.model, "kinds"):
            from polymodal.fusion.additive import AdditiveFusion

            return AdditiveFusion(encoders={JOINED: self.model}, random_state=self.random_state)
        return self.model

    def _check_settings(self) -> None:
        for name, value, allowed in (
            ("mode", self.mode, get_args(Mode)),
            ("missing", self.missing, get_args(Missing)),
        ):
            if value not in allowed:
                raise ConfigError(
                    f"{name} must be one of {list(allowed)}, got {value!r}.{suggest(str(value), allowed)}"
                )
        if self.mode != "features" and self.missing != "mean":
            raise ConfigError(
                f"mode={self.mode!r} takes missing='mean' only, got {self.missing!r}: raw values are stacked or joined, not vectors. "
                "Take mode='features'."
            )

    # --- one matrix, or one modality ----------------------------------------------------------------------------------

    def _joined(self, data: Modalities) -> Modalities:
        column = (
            stack_channels(data, self._means) if self.mode == "channels" else join_tokens(data, self._names)
        )
        return Modalities({JOINED: column}, ids=data.ids)

    def _blocks(self, data: Modalities) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Vectors of each fitted modality, zeros where a row lacks it, and which rows have it."""
        made = self._vectorizer.transform(data)
        blocks, present = {}, {}
        for name in sorted(self._scales):
            state = self._vectorizer.state_[name]
            width = len(state["mean"]) if state["components"] is None else state["components"].shape[1]
            blocks[name] = np.zeros((len(data), width))
            present[name] = np.zeros(len(data), dtype=bool)
            if name in made:
                present[name] = made[name].present
                blocks[name][present[name]] = np.asarray(made[name].observed()) / self._scales[name]
        return blocks, present

    def _filled(self, data: Modalities) -> Float[np.ndarray, "n d"]:
        """Every row whole, and its marks of absence."""
        if self.mode == "features":
            blocks, present = self._blocks(data)
            strategy: Filling = "mean" if self.missing == "patterns" else self.missing
            full = fill(
                blocks,
                present,
                strategy=strategy,
                means=self._means,
                known=self._known,
                known_present=self._known_present,
                learned=self._learned,
            )
        else:
            full, _ = self._blocks(self._joined(data))
        absent = [
            ~data[name].present if name in data else np.ones(len(data), dtype=bool) for name in self._marked
        ]
        marks = [] if self.missing == "patterns" else [column[:, None].astype(float) for column in absent]
        return np.hstack([*(full[name] for name in sorted(full)), *marks])

    def _inputs(self, data: Modalities) -> np.ndarray | Modalities:
        if self.mode != "features" and is_own(self._template):
            return self._joined(data)
        return self._as_input(self._filled(data))

    def _as_input(self, X: np.ndarray) -> np.ndarray | Modalities:
        return Modalities({JOINED: X}) if is_own(self._template) else X

    def _models_of(self, has: tuple[str, ...]) -> Models | None:
        """The models for rows that have exactly these modalities; None where none were ever seen together."""
        if has not in self.models_:
            rows = np.logical_and.reduce([self._known_present[name] for name in has])
            if not rows.any():
                return None
            X = np.hstack([self._known[name][rows] for name in has])
            self.models_[has] = fit_members(
                self._template, self._as_input(X), self._columns[rows], self._target
            )
        return self.models_[has]

    # --- using ------------------------------------------------------------------------------------------------------

    def _by_models(self, data: Modalities, ask: Callable[[Models, Any], np.ndarray]) -> np.ndarray:
        """What `ask` gets from the models of each row's modalities, (n, ...)."""
        if self.missing != "patterns":
            return ask(self.models_[tuple(self._names)], self._inputs(data))
        blocks, present = self._blocks(data)
        result: np.ndarray | None = None
        for rows, has in patterns(present, self._names):
            models = self._models_of(has)
            sets = [has] if models is not None else [(name,) for name in has]
            said = [
                ask(self._models_of(s) or [], self._as_input(np.hstack([blocks[name][rows] for name in s])))
                for s in sets
            ]
            answer = np.mean(said, axis=0)
            if result is None:
                result = np.empty((len(data), *answer.shape[1:]))
            result[rows] = answer
        return np.empty((0, 1)) if result is None else result

    def _answers(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        if self.task_ == "regression":
            quantities: np.ndarray = self._by_models(data, member_quantities)
            return np.asarray(quantities * self._target.scale + self._target.mean)
        said = self._by_models(data, lambda models, X: member_probabilities(models, X, self._priors))
        answers: np.ndarray = said[:, :, 1] if self.task_ == "multilabel" else said[:, 0]
        return answers

    @available_if(_says_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def predict_proba(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """Probability of each class (rows sum to 1), in the order of `classes_`; or of each label."""
        return self._answers(self._ready(data))

    def predict(self, data: Modalities | Mapping[str, Any]) -> Shaped[np.ndarray, "n ..."]:
        """The class, labels or quantities that the model itself decides for."""
        if getattr(self, "task_", "regression") == "regression" or self.missing == "patterns":
            return super().predict(data)
        frame = self._ready(data)
        codes = self._by_models(frame, lambda models, X: member_decisions(models, X, self._priors))
        return codes if self.task_ == "multilabel" else self._target.classes[codes[:, 0]]

    def _transform(self, data: Modalities) -> np.ndarray:
        """The matrix that the model gets (`missing="patterns"`: with means where a row lacks a modality)."""
        inputs = self._inputs(data)
        if isinstance(inputs, Modalities):
            if self.mode != "features":
                return np.asarray(self.models_[tuple(self._names)][0].transform(inputs))
            return np.asarray(inputs[JOINED].values())
        return inputs

    def _given_model(self) -> Any:
        """A fitted model, or before `fit` what will be fitted; a default or an encoder has all methods of a classifier."""
        fitted = next(
            (m for models in getattr(self, "models_", {}).values() for m in models if m is not None), None
        )
        return self._choose_model("classification") if fitted is None else fitted

    @available_if(_says_margins)  # type: ignore[untyped-decorator, unused-ignore]
    def decision_function(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n ..."]:
        """The model's own margins: (n,) for two classes, else (n, classes); (n, labels)."""
        frame = self._ready(data)
        models, X = self.models_[tuple(self._names)], self._inputs(frame)
        if self.task_ != "multilabel" or is_own(models[0]):
            return np.asarray(models[0].decision_function(X))
        columns = [
            np.full(len(frame), 2 * prior[1] - 1) if model is None else model.decision_function(X)
            for model, prior in zip(models, self._priors, strict=True)
        ]
        return np.stack(columns, axis=1)

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        return {**super()._get_state(), **{name: getattr(self, name) for name in _STATE}}

    def _set_state(self, state: dict[str, Any]) -> None:
        super()._set_state(state)
        self._template, self._learned = self._choose_model(self.task_), {}


_STATE = (
    "_names",
    "_marked",
    "_means",
    "_known",
    "_known_present",
    "_columns",
    "_priors",
    "_vectorizer",
    "_scales",
)
"""What was learned and is nobody's business but this file's."""

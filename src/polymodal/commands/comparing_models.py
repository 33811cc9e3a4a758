"""Which models a comparison is made of: each modality alone, plain concatenation, and every public fusion that fits the data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metaestimators import available_if

from polymodal.commands.capabilities import find_method, list_methods
from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Estimator
from polymodal.core.modalities import Modalities
from polymodal.core.task import KnownTask, Task, resolve_task
from polymodal.core.typing import Float, Kind, Shaped
from polymodal.fusion import EarlyFusion, LateFusion

SINGLE, PLAIN = "best single modality", "concatenation"
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "EarlyFusion": {"concatenation": {}},
    "LateFusion": {
        "late-mean": {},
        "late-product": {"rule": "product"},
        "late-vote": {"rule": "vote"},
        "late-weighted": {"weights": "validation"},
        "late-stacking": {"rule": "stacking"},
    },
    "MoPoE": {"mopoe": {}},
    "MultiplicativeFusion": {"multiplicative": {}, "multiplicative-additive": {"additive": True}},
}
"""Methods that are several by a choice of words; every other stands once, with its own defaults."""
QUICK = ("late-mean", "late-product", "late-stacking", "additive", "low-rank", "gated")
EPOCHS, QUICK_EPOCHS = 40, 10


class Restricted(BaseEstimator):
    """A model that learns only from rows which have what it needs, and answers the rest as one who has seen nothing.

    Rows without it get the commonest class of the training rows (and the shares of the classes), or their mean. So a model of one
    modality, or one that takes complete rows only, can stand beside models that cope with missing modalities.

    Args:
        model: Anything with `fit` and `predict`.
        only: The modalities it is given; all by default.
        task: What y holds.
    """

    def __init__(self, model: Any, *, only: Sequence[str] | None = None, task: Task = "auto") -> None:
        self.model = model
        self.only = only
        self.task = task

    def fit(self, data: Modalities, y: Shaped[np.ndarray, "n ..."]) -> Restricted:
        """Learn from the rows that have every modality in `only`.

        Raises:
            ModalityError: fewer than two such rows.
        """
        whole = self._usable(data)
        if whole.sum() < 2:
            raise ModalityError(
                f"needs rows that have all of {list(self._names(data))}, got {int(whole.sum())} of {len(data)}."
            )
        self.task_ = resolve_task(y, self.task)
        seen = data.select(*self._names(data))[whole]
        self.model_ = clone(self.model).fit(seen, y[whole])
        if hasattr(self.model_, "decision_function"):
            self.margin_ = np.asarray(self.model_.decision_function(seen), dtype=float).mean(axis=0)
        if self.task_ == "classification":
            self.classes_, counts = np.unique(y, return_counts=True)
            self.prior_: np.ndarray = counts / counts.sum()
            self.blind_: Any = self.classes_[counts.argmax()]
        else:
            mean = y.mean(axis=0)
            self.blind_ = (mean > 0.5).astype(int) if self.task_ == "multilabel" else mean
        return self

    def predict(self, data: Modalities) -> Shaped[np.ndarray, "n ..."]:
        """The model's answer where it can give one."""
        whole = self._usable(data)
        answers = np.array([self.blind_] * len(data))
        if whole.any():
            said = np.asarray(self.model_.predict(data.select(*self._names(data))[whole]))
            answers = answers.astype(np.result_type(answers, said))
            answers[whole] = said
        return answers

    @available_if(lambda self: hasattr(self.model, "predict_proba"))  # type: ignore[untyped-decorator, unused-ignore]
    def predict_proba(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        """Probabilities of classes, in the order of `classes_`."""
        whole = self._usable(data)
        shares = np.tile(self.prior_, (len(data), 1))
        if whole.any():
            said = np.asarray(self.model_.predict_proba(data.select(*self._names(data))[whole]), dtype=float)
            known = np.searchsorted(self.classes_, self.model_.classes_)
            shares[whole] = 0.0
            shares[np.ix_(whole, known)] = said
        return shares

    @available_if(lambda self: hasattr(self.model, "decision_function"))  # type: ignore[untyped-decorator, unused-ignore]
    def decision_function(self, data: Modalities) -> Float[np.ndarray, "n ..."]:
        """The model's margins; where it can give none their mean over the training rows, which says nothing for either side."""
        whole = self._usable(data)
        margins = np.tile(self.margin_, (len(data), *(1,) * self.margin_.ndim))
        if whole.any():
            margins[whole] = self.model_.decision_function(data.select(*self._names(data))[whole])
        return margins

    def _names(self, data: Modalities) -> Sequence[str]:
        return data.names if self.only is None else self.only

    def _usable(self, data: Modalities) -> np.ndarray:
        usable: np.ndarray = np.logical_and.reduce([data[name].present for name in self._names(data)])
        return usable


class OnCode(BaseEstimator):
    """A fusion that learns without a target, and a linear model on its representation.

    Args:
        model: The fusion.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, data: Modalities, y: Shaped[np.ndarray, "n ..."]) -> OnCode:
        """Learn the representation, then the target from it."""
        self.model_ = clone(self.model).fit(data)
        self.head_ = LateFusion().fit({"code": self._code(data)}, y)
        return self

    def predict(self, data: Modalities) -> Shaped[np.ndarray, "n ..."]:
        """From whatever modalities the rows have."""
        said: np.ndarray = self.head_.predict({"code": self._code(data)})
        return said

    def predict_proba(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        """Probabilities of classes or labels."""
        shares: np.ndarray = self.head_.predict_proba({"code": self._code(data)})
        return shares

    def _code(self, data: Modalities) -> np.ndarray:
        return np.asarray(self.model_.transform(data), dtype=float)


@dataclass(frozen=True)
class Lineup:
    """What is compared.

    Args:
        models: Name -> unfitted model.
        references: Label -> candidates.
        notes: Methods that were left out, and why.
    """

    models: dict[str, Any]
    references: dict[str, list[str]]
    notes: tuple[str, ...]


def choose_models(
    data: Modalities,
    task: KnownTask,
    *,
    methods: Sequence[str] = (),
    quick: bool = False,
    raw: bool = False,
    epochs: int | None = None,
) -> Lineup:
    """Each modality alone, concatenation, and the fusions that can learn from these data, with their own defaults.

    Args:
        data: The modalities as they are.
        task: classification, regression or multilabel.
        methods: Names as in the table, or of classes; all by default. The references always take part.
        quick: A few methods, trained for a few epochs.
        raw: Whether methods get the values themselves where they can (their own encoders), not vectors.
        epochs: Passes over the rows of methods that are trained.

    Raises:
        ConfigError: an unknown method; fewer than two modalities.
    """
    if len(data.names) < 2:
        raise ConfigError(
            f"A comparison of fusions needs at least two modalities, got {list(data.names)}. "
            "Name what is a modality: --modality NAME=COLUMN for each."
        )
    length = QUICK_EPOCHS if quick and epochs is None else epochs
    known = _catalogue()
    wanted = _wanted(methods or (QUICK if quick else tuple(known)), known)
    missing = not all(has.all() for has in data.present.values())
    kinds: set[Kind] = {column.kind for _, column in data.items()} if raw else {"vector"}
    models: dict[str, Any] = {
        f"only {name}": Restricted(LateFusion(task=task), only=(name,), task=task) for name in data.names
    }
    models[PLAIN] = EarlyFusion(task=task)
    notes = []
    for name, (cls, settings) in known.items():
        if name not in wanted or name == PLAIN:
            continue
        why = _obstacle(cls, data, task, kinds, settings)
        if why:
            notes.append(f"{name} is left out: {why}")
        else:
            models[name] = _build(cls, settings, task, length, kinds, missing)
    singles = [f"only {name}" for name in data.names]
    return Lineup(models, {SINGLE: singles, PLAIN: [PLAIN]}, tuple(notes))


def _catalogue() -> dict[str, tuple[type[Estimator], Mapping[str, Any]]]:
    """Name in the table -> class and settings."""
    found: dict[str, tuple[type[Estimator], Mapping[str, Any]]] = {}
    for method in list_methods(family="fusion"):
        cls = find_method(method.name)
        for name, settings in VARIANTS.get(method.name, {slug(method.name): {}}).items():
            found[name] = (cls, settings)
    return found


def slug(name: str) -> str:
    """`LowRankFusion` -> `low-rank`."""
    return re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name.removesuffix("Fusion")
    ).lower()


def _wanted(methods: Collection[str], known: Mapping[str, tuple[type[Estimator], Any]]) -> set[str]:
    found: set[str] = set()
    for given in methods:
        plain = given.strip().lower().replace("_", "-")
        names = [
            name
            for name, (cls, _) in known.items()
            if plain in (name, slug(cls.__name__), cls.__name__.lower(), f"{slug(cls.__name__)}-fusion")
        ]
        if not names and given not in QUICK:
            raise ConfigError(
                f"There is no fusion {given!r}; there are {list(known)}.{suggest(plain, known)}"
            )
        found.update(names)
    return found


def _obstacle(
    cls: type[Estimator], data: Modalities, task: KnownTask, kinds: set[Kind], settings: Mapping[str, Any]
) -> str:
    """Why a method cannot take part, in words; empty where it can."""
    needs, count = cls.requires, len(data.names)
    if count < needs.min_modalities or (needs.max_modalities is not None and count > needs.max_modalities):
        return f"it takes {needs.min_modalities} to {needs.max_modalities} modalities, the data have {count}"
    if not kinds <= needs.kinds and "vector" not in needs.kinds:
        return f"it takes {', '.join(sorted(needs.kinds))} only (with --raw it may take part)"
    if settings.get("rule") == "vote" and task == "regression":
        return "a vote decides between classes"
    parameters = inspect.signature(cls).parameters.values()
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    return f"it needs {', '.join(required)}, which has no default" if required else ""


def _training(own: Any, epochs: int | None) -> Any:
    """The method's own options of training, without a bar; for as many epochs as were asked for."""
    from polymodal.training.options import Training

    found = own if isinstance(own, Training) else Training(max_epochs=EPOCHS, batch_size=64)
    return replace(found, progress=False, max_epochs=found.max_epochs if epochs is None else epochs)


def _build(
    cls: type[Estimator],
    settings: Mapping[str, Any],
    task: KnownTask,
    epochs: int | None,
    kinds: set[Kind],
    missing: bool,
) -> Any:
    given = dict(settings)
    parameters = inspect.signature(cls).parameters
    if "task" in parameters:
        given["task"] = task
    if "training" in parameters:
        given["training"] = _training(parameters["training"].default, epochs)
    model: Any = cls(**given)
    if not kinds <= cls.requires.kinds:
        from sklearn.pipeline import Pipeline

        from polymodal.encoders.vectorize import Vectorize

        model = Pipeline([("vectors", Vectorize(random_state=0)), ("model", model)])
    if cls.requires.target == "none":
        model = OnCode(model)
    return Restricted(model, task=task) if missing and not cls.requires.missing else model

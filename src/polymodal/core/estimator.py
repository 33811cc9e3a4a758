"""The estimator contract: scikit-learn's, over `Modalities`. Three families, told apart by what `transform` returns.

`fit`, `transform` and `score` validate here, once, for every method; a method writes `_fit`, `_transform` and `_score`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from polymodal.core.errors import ModalityError, NotFittedError, suggest
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged, array_of_rows
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float, Kind

E = TypeVar(
    "E", bound="Estimator"
)  # typing.Self, in the form that the run-time check of annotations understands


@dataclass(frozen=True)
class Spec:
    """What a fitted estimator knows of one modality: its kind, and the shape of one value."""

    kind: Kind
    shape: tuple[int, ...]


class Estimator(TransformerMixin, BaseEstimator, ABC):
    """Base of every method. Learned state ends in an underscore and is keyed by modality name.

    Attributes:
        modalities_: Name -> `Spec` of each fitted modality, in the fitted order.
    """

    family: ClassVar[Literal["fusion", "coordination", "fission"]]
    requires: ClassVar[Requirements] = Requirements()
    exempt: ClassVar[Mapping[str, str]] = {}
    """Contract checks that cannot hold for this method -> the reason."""

    modalities_: dict[str, Spec]

    # --- what a method writes ---------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        """Learn from validated data."""

    @abstractmethod
    def _transform(self, data: Modalities) -> Any:
        """Representations of validated data: any non-empty subset of the fitted modalities, rows may lack some."""

    @abstractmethod
    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """One number, higher is better."""

    # --- what a user calls ------------------------------------------------------------------------------------

    def fit(self: E, data: Modalities | Mapping[str, Any], y: Any = None) -> E:
        """Learn from `data` (and from `y` where the method takes a target); returns itself.

        Raises:
            ModalityError: the data do not meet `requires`; every reason is listed.
        """
        frame = Modalities.of(data)
        target = None if y is None else check_target(y)
        self.requires.check(type(self).__name__, frame, target)
        self.modalities_ = {name: Spec(column.kind, column.shape) for name, column in frame.items()}
        self._fit(frame, target)
        return self

    def transform(self, data: Modalities | Mapping[str, Any]) -> Any:
        """Representations of `data`, which may hold any non-empty subset of the fitted modalities.

        Raises:
            NotFittedError: before `fit`.
            ModalityError: a modality, kind or shape that was not fitted.
        """
        return self._transform(self._check_known(data))

    def score(self, data: Modalities | Mapping[str, Any], y: Any = None) -> float:
        """One number, higher is better; which one is said by the class."""
        return float(self._score(self._check_known(data), None if y is None else check_target(y)))

    # --- for methods and for saving ---------------------------------------------------------------------------

    def _check_fitted(self) -> None:
        if not hasattr(self, "modalities_"):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet. Call fit(data) first.")

    def _check_known(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        self._check_fitted()
        frame = Modalities.of(data)
        fitted = list(self.modalities_)
        unknown = [name for name in frame.names if name not in self.modalities_]
        if unknown:
            raise ModalityError(
                f"Unknown modalities {unknown}; fitted on {fitted}.{suggest(unknown[0], fitted)}"
            )
        for name, column in frame.items():
            spec = self.modalities_[name]
            if not column.present.any():
                continue  # a column without values has no kind or shape of its own
            if column.kind != spec.kind or (
                spec.kind in ("vector", "sequence") and column.shape != spec.shape
            ):
                raise ModalityError(
                    f"Modality {name!r} was fitted as {spec.kind} of shape {spec.shape}, got {column.kind} of shape {column.shape}."
                )
        return frame.select(*(name for name in fitted if name in frame))

    def _check_some_present(self, frame: Modalities) -> None:
        """Refuse rows that have nothing, by their ids."""
        nothing = ~np.logical_or.reduce(list(frame.present.values()))
        if nothing.any():
            ids = frame.ids[nothing][:3].tolist()
            raise ModalityError(
                f"{type(self).__name__} needs at least one of {list(self.modalities_)} on every row; "
                f"{int(nothing.sum())} of {len(frame)} rows have none (ids {ids}). Drop those rows."
            )

    @classmethod
    def _examples(cls) -> list[Estimator]:
        """Small constructions that the contract tests run on: quick to fit on forty rows."""
        return [cls()]

    def _get_state(self) -> dict[str, Any]:
        """Learned state to save: every attribute that ends in an underscore. Neural methods add their weights."""
        return {k: v for k, v in vars(self).items() if k.endswith("_") and not k.startswith("_")}

    def _set_state(self, state: dict[str, Any]) -> None:
        """Take back what `_get_state` gave."""
        for key, value in state.items():
            setattr(self, key, value)


def check_target(y: Any) -> np.ndarray:
    """A target as an array of one value per row (or several columns, for several labels); missing values are refused.

    A `Ragged`, or arrays of different lengths (labels of steps), become an array of arrays.
    """
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    try:
        array = array_of_rows(list(y)) if isinstance(y, Ragged) else np.asarray(y)
    except ValueError:  # lists of different lengths
        array = array_of_rows(y)
    if array.ndim == 0 or array.ndim > 2:
        raise ModalityError(f"A target needs one value per row, got shape {array.shape}.")
    missing = (
        np.array([v is None for v in array.ravel()]) if array.dtype == object else np.zeros(1, dtype=bool)
    )
    if missing.any() or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise ModalityError(
            "A target needs a value on every row, got missing or infinite ones. Drop those rows of data and y."
        )
    return (
        array.astype(str)
        if array.dtype == object and all(isinstance(v, str) for v in array.ravel())
        else array
    )


class Fusion(Estimator):
    """Fewer representations than modalities: `transform` gives one array (n, n_components)."""

    family = "fusion"

    def transform(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """One representation per row, from whatever modalities the row has.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        frame = self._check_known(data)
        self._check_some_present(frame)
        representation: np.ndarray = self._transform(frame)
        return representation


class Coordination(Estimator):
    """As many representations as modalities: `transform` gives `Modalities` of the same names, in one shared space."""

    family = "coordination"

    def transform(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """Each modality in the shared space, (n, n_components); a row that lacks one lacks its representation."""
        representations: Modalities = self._transform(self._check_known(data))
        return representations


class Fission(Estimator):
    """More representations than modalities: `"shared"` plus one private part per modality."""

    family = "fission"

    def transform(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """The shared part, and one private part per given modality; a private part is missing where its modality is."""
        representations: Modalities = self._transform(self._check_known(data))
        return representations


def last_step(model: Any) -> Any:
    """The method itself: a pipeline's last step, or the model."""
    steps = getattr(model, "steps", None)
    return steps[-1][1] if steps else model


def fitted_modalities(model: Any) -> dict[str, Spec]:
    """Name -> `Spec` of what a model, or the first fitted step of a pipeline, was fitted on; empty before `fit`."""
    for _, step in getattr(model, "steps", [("", model)]):
        if hasattr(step, "modalities_"):
            return dict(step.modalities_)
    return {}

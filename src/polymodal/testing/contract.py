"""The estimator contract as checks: metamorphic relations that every method keeps, whatever it computes.

Each check is a function of a `Case` (an unfitted model and data it must work on) and raises `AssertionError` with a
sentence. A method that cannot keep one says so, with the reason, in its class attribute `exempt`.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, train_test_split

from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.core.estimator import Coordination, Estimator, Fission, Fusion
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import ALL_KINDS
from polymodal.persistence import load, public_name, save
from polymodal.testing.examples import example_data

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """An unfitted model, and data (with a target where one is needed) on which it must work."""

    model: Estimator
    data: Modalities
    y: np.ndarray | None

    def fresh(self) -> Estimator:
        """An unfitted copy."""
        copy_of_model: Estimator = clone(self.model)
        return copy_of_model

    @cached_property
    def fitted(self) -> Estimator:
        """One fit shared by the checks that only read."""
        return self.fresh().fit(self.data, self.y)

    @cached_property
    def outputs(self) -> Outputs:
        """What `fitted` makes of all rows."""
        return outputs(self.fitted, self.data)


@dataclass(frozen=True)
class Check:
    """A named check of one model; `run` raises AssertionError, `skip` is the declared reason not to run."""

    name: str
    run: Callable[[], None]
    skip: str | None

    def __repr__(self) -> str:
        return self.name


def check_estimator(model: Estimator, data: Modalities | None = None, y: np.ndarray | None = None) -> None:
    """Raise on the first broken promise of the estimator contract.

    Args:
        model: An unfitted estimator, small enough to be fitted some twenty times.
        data: What it must work on; vectors made for the purpose by default.
        y: The target, where the method needs one.

    Raises:
        AssertionError: a sentence that says which promise was broken.
    """
    for check in checks_for(model, data, y):
        if check.skip is None:
            check.run()


def checks_for(model: Estimator, data: Modalities | None = None, y: np.ndarray | None = None) -> list[Check]:
    """The checks of `check_estimator`, one by one: for pytest's `parametrize`."""
    if data is None:
        data, y = example_data(model.requires)
    case = Case(model, data, y)
    unknown = set(model.exempt) - set(CHECKS)
    if unknown:
        raise AssertionError(
            f"{type(model).__name__}.exempt names checks that do not exist: {sorted(unknown)}."
        )
    return [
        Check(name, lambda function=function: function(case), model.exempt.get(name))
        for name, function in CHECKS.items()
    ]


def outputs(model: Any, data: Modalities | Mapping[str, Any]) -> Outputs:
    """`transform` as plain arrays by name; rows that lack a representation hold NaN."""
    result = model.transform(data)
    if isinstance(result, np.ndarray):
        return {"": np.asarray(result, dtype=float)}
    arrays = {}
    for name, column in result.items():
        observed = np.asarray(column.observed(), dtype=float)
        full = np.full((len(result), *observed.shape[1:]), np.nan)
        full[column.present] = observed
        arrays[name] = full
    return arrays


def same(a: Outputs, b: Outputs, what: str, *, atol: float = 1e-5) -> None:
    """Raise unless both hold the same names and, up to `atol` of the largest value, the same numbers."""
    assert set(a) == set(b), f"{what}: representations {sorted(a)} against {sorted(b)}."
    for name in a:
        scale = max(1.0, float(np.nanmax(np.abs(a[name]), initial=0.0)))
        assert a[name].shape == b[name].shape, (
            f"{what}: shape {a[name].shape} against {b[name].shape} for {name!r}."
        )
        assert np.array_equal(np.isnan(a[name]), np.isnan(b[name])), (
            f"{what}: other rows are missing in {name!r}."
        )
        gap = float(np.nanmax(np.abs(a[name] - b[name]), initial=0.0)) / scale
        assert gap <= atol, f"{what}: {name!r} differs by {gap:.2g} of its largest value."


# --- construction ---------------------------------------------------------------------------------------------


def _init_is_pure(case: Case) -> None:
    model = case.model
    for name, value in model.get_params(deep=False).items():
        assert vars(model).get(name, model) is value, (
            f"__init__ must store {name!r} as it is given, and nothing more."
        )
    extra = set(vars(case.fresh())) - set(inspect.signature(type(model).__init__).parameters)
    assert not extra, f"__init__ must only store its parameters, it also made {sorted(extra)}."


def _documents_itself(case: Case) -> None:
    cls = type(case.model)
    text = inspect.getdoc(cls) or ""
    for name in inspect.signature(cls).parameters:
        assert f"{name}:" in text, f"The docstring of {cls.__name__} must say what {name!r} is."
    assert "References:" in text or "Relations:" in text, (
        f"{cls.__name__} must state its relations or its source."
    )


def _refuses_before_fit(case: Case) -> None:
    try:
        case.fresh().transform(case.data)
    except NotFittedError:
        return
    raise AssertionError("transform before fit must raise NotFittedError.")


# --- fitting ---------------------------------------------------------------------------------------------------


def _fit_returns_self(case: Case) -> None:
    model = case.fresh()
    assert model.fit(case.data, case.y) is model, "fit must return self."
    assert list(model.modalities_) == list(case.data.names), (
        "modalities_ must be keyed by the fitted names, in order."
    )


def _fit_can_be_repeated(case: Case) -> None:
    model = case.fresh().fit(case.data[::2], None if case.y is None else case.y[::2])
    same(outputs(model.fit(case.data, case.y), case.data), case.outputs, "A second fit must forget the first")


def _same_seed_same_result(case: Case) -> None:
    same(
        outputs(case.fresh().fit(case.data, case.y), case.data),
        case.outputs,
        "Two fits with one random_state",
        atol=1e-7,
    )


def _dict_equals_modalities(case: Case) -> None:
    plain = {name: column.values() for name, column in case.data.items()}
    same(outputs(case.fresh().fit(plain, case.y), plain), case.outputs, "A dict against Modalities")


def _order_of_modalities_does_not_matter(case: Case) -> None:
    turned = case.data.select(*reversed(case.data.names))
    same(
        outputs(case.fresh().fit(turned, case.y), turned),
        case.outputs,
        "Modalities in another order",
        atol=1e-4,
    )


def _inputs_are_not_changed(case: Case) -> None:
    before = copy.deepcopy({name: column.values() for name, column in case.data.items()})
    case.fresh().fit(case.data, case.y).transform(case.data)
    for name, values in before.items():
        assert np.array_equal(values, case.data[name].values()), (
            f"fit or transform changed the modality {name!r}."
        )


def _float32_is_close(case: Case) -> None:
    single = Modalities({name: column.values().astype(np.float32) for name, column in case.data.items()})
    same(
        outputs(case.fresh().fit(single, case.y), single), case.outputs, "float32 against float64", atol=2e-2
    )


def _fit_with_missing(case: Case) -> None:
    name = case.data.names[-1]
    holes = case.data.without(name, slice(0, 6))
    _works_or_refuses(case, holes, case.model.requires.missing and len(case.data.names) > 1, name)


def _missing_values_never_enter(case: Case) -> None:
    if not case.model.requires.missing or len(case.data.names) == 1:
        return
    name = case.data.names[-1]
    clean = case.data.without(name, slice(0, 6))
    store = np.array(clean[name].store)
    store[:6] = 1e9
    poisoned = clean.assign({name: Modality(store, clean[name].index)})
    a, b = case.fresh().fit(clean, case.y), case.fresh().fit(poisoned, case.y)
    same(outputs(a, clean), outputs(b, poisoned), "A value that no row uses entered the fit", atol=1e-7)


def _kinds_outside_requires_are_refused(case: Case) -> None:
    refused = sorted(ALL_KINDS - case.model.requires.kinds)
    if "text" in refused:
        words = case.data.assign({case.data.names[0]: ["some words"] * len(case.data)})
        _works_or_refuses(case, words, False, case.data.names[0])


def _too_few_modalities_are_refused(case: Case) -> None:
    if case.model.requires.min_modalities > 1:
        _works_or_refuses(case, case.data.select(case.data.names[0]), False, case.data.names[0])


def _constant_feature(case: Case) -> None:
    name = case.data.names[0]
    values = np.array(case.data[name].values())
    values[:, 0] = 3.0
    _fits_finite_or_refuses(case, case.data.assign({name: values}), case.y)


def _one_feature(case: Case) -> None:
    name = case.data.names[0]
    _fits_finite_or_refuses(case, case.data.assign({name: case.data[name].values()[:, :1]}), case.y)


def _more_features_than_rows(case: Case) -> None:
    rng = np.random.default_rng(1)
    wide = Modalities({name: rng.normal(size=(12, 20)) for name in case.data.names})
    y = None if case.y is None else np.resize(np.unique(case.y), 12)
    _fits_finite_or_refuses(case, wide, y)


def _fits_finite_or_refuses(case: Case, data: Modalities, y: np.ndarray | None) -> None:
    model = case.fresh()
    try:
        model.fit(data, y)
    except ModalityError as error:
        assert any(repr(n) in str(error) or n in str(error) for n in data.names), (
            f"The refusal must name the modality: {error}"
        )
        return
    for name, values in outputs(model, data).items():
        assert np.isfinite(values).all(), f"The representation {name!r} must be finite."


def _works_or_refuses(case: Case, data: Modalities, works: bool, name: str) -> None:
    try:
        case.fresh().fit(data, case.y)
    except ModalityError as error:
        assert not works, f"`requires` promises this works, but fit said: {error}"
        assert name in str(error), f"The refusal must name the modality {name!r}: {error}"
        return
    assert works, f"`requires` says that this does not work, but fit accepted it ({data!r})."


# --- transforming ----------------------------------------------------------------------------------------------


def _cardinality(case: Case) -> None:
    result, model, names = case.fitted.transform(case.data), case.fitted, set(case.data.names)
    if isinstance(model, Fusion):
        assert isinstance(result, np.ndarray) and result.ndim == 2, (
            "A fusion gives one array (n, n_components)."
        )
    elif isinstance(model, Coordination):
        assert isinstance(result, Modalities) and set(result.names) == names, (
            "A coordination keeps the names."
        )
        assert len({c.shape for _, c in result.items()}) == 1, "A coordination gives one shared space."
    elif isinstance(model, Fission):
        assert isinstance(result, Modalities) and "shared" in result and len(result.names) > len(names), (
            "A fission gives 'shared' and more representations than modalities."
        )
    if isinstance(result, Modalities):
        assert np.array_equal(result.ids, case.data.ids), "Row ids must travel through transform."


def _rows_are_equivariant(case: Case) -> None:
    order = np.random.default_rng(2).permutation(len(case.data))
    turned = {name: values[order] for name, values in case.outputs.items()}
    same(outputs(case.fitted, case.data[order]), turned, "transform of permuted rows")


def _transform_is_per_row(case: Case) -> None:
    for row in (0, len(case.data) - 1):
        alone = {name: values[row : row + 1] for name, values in case.outputs.items()}
        same(outputs(case.fitted, case.data[[row]]), alone, "A row alone against the row in its batch")


def _any_subset(case: Case) -> None:
    for name in case.data.names:
        some = outputs(case.fitted, case.data.select(name))
        for key, values in some.items():
            assert len(values) == len(case.data), f"transform of {name!r} alone must give every row."
            assert np.isfinite(values).all(), f"transform of {name!r} alone must be finite ({key!r})."


def _missing_rows_in_transform(case: Case) -> None:
    if len(case.data.names) < 2:
        return
    name = case.data.names[0]
    got = outputs(case.fitted, case.data.without(name, [1, 3]))
    others = np.setdiff1d(np.arange(len(case.data)), [1, 3])
    expected = {key: values[others] for key, values in case.outputs.items()}
    same(
        {key: values[others] for key, values in got.items()},
        expected,
        "Rows that lack nothing, beside rows that do",
    )
    if isinstance(case.fitted, Coordination):
        assert np.isnan(got[name][[1, 3]]).all(), f"A row that lacks {name!r} must lack its representation."


def _unknown_modality_is_named(case: Case) -> None:
    odd = Modalities({"nobody": case.data[case.data.names[0]]})
    try:
        case.fitted.transform(odd)
    except ModalityError as error:
        assert "nobody" in str(error), f"The error must name the unknown modality: {error}"
        return
    raise AssertionError("transform of a modality that was not fitted must raise ModalityError.")


def _wrong_width_is_named(case: Case) -> None:
    name = case.data.names[0]
    values = case.data[name].values()
    try:
        case.fitted.transform({name: np.hstack([values, values])})
    except ModalityError as error:
        assert name in str(error), f"The error must name the modality {name!r}: {error}"
        return
    raise AssertionError("transform of vectors of another width must raise ModalityError.")


# --- around ----------------------------------------------------------------------------------------------------


def _score_is_one_number(case: Case) -> None:
    y = case.y if case.model.requires.target != "none" else None
    assert isinstance(case.fitted.score(case.data, y), float), "score must return a float."
    assert np.isfinite(case.fitted.score(case.data, y)), "score must be finite."


def _save_and_load(case: Case) -> None:
    if public_name(type(case.model)) is None:
        return  # a model file names classes of this package only: yours are saved by you
    with tempfile.TemporaryDirectory() as folder:
        again = load(save(case.fitted, Path(folder) / "model"))
    assert type(again) is type(case.fitted), "load must give the class that was saved."
    same(outputs(again, case.data), case.outputs, "A loaded model", atol=0.0)
    y = case.y if case.model.requires.target != "none" else None
    assert again.score(case.data, y) == case.fitted.score(case.data, y), "A loaded model must score the same."


def _works_in_scikit_learn(case: Case) -> None:
    if case.y is None:
        train, test = train_test_split(case.data, random_state=0)
        assert len(train) + len(test) == len(case.data), "train_test_split must keep all rows."
    search = GridSearchCV(case.fresh(), {}, cv=2, error_score="raise").fit(case.data, case.y)
    assert np.isfinite(search.best_score_), "GridSearchCV must get a finite score."


def _every_parameter_gets_a_gradient(case: Case) -> None:
    """Neural methods: one more epoch without weight decay moves every registered parameter; none hides in a list."""
    if "training" not in case.model.get_params(deep=False):
        return
    import torch

    short, long = (
        case.fresh()
        .set_params(
            training=replace(
                case.model.training, max_epochs=epochs, weight_decay=0.0, schedule="constant", warmup=0.0
            )
        )
        .fit(case.data, case.y)
        for epochs in (1, 2)
    )
    before = dict(short.module_.named_parameters())
    for name, parameter in long.module_.named_parameters():
        if parameter.requires_grad:
            moved = not torch.equal(parameter.detach().cpu(), before[name].detach().cpu())
            assert moved, f"The parameter {name!r} never moved: it gets no gradient."


CHECKS: Mapping[str, Callable[[Case], None]] = {
    function.__name__.lstrip("_"): function
    for function in (
        _init_is_pure,
        _documents_itself,
        _refuses_before_fit,
        _fit_returns_self,
        _fit_can_be_repeated,
        _same_seed_same_result,
        _dict_equals_modalities,
        _order_of_modalities_does_not_matter,
        _inputs_are_not_changed,
        _float32_is_close,
        _fit_with_missing,
        _missing_values_never_enter,
        _kinds_outside_requires_are_refused,
        _too_few_modalities_are_refused,
        _constant_feature,
        _one_feature,
        _more_features_than_rows,
        _cardinality,
        _rows_are_equivariant,
        _transform_is_per_row,
        _any_subset,
        _missing_rows_in_transform,
        _unknown_modality_is_named,
        _wrong_width_is_named,
        _score_is_one_number,
        _save_and_load,
        _works_in_scikit_learn,
        _every_parameter_gets_a_gradient,
    )
}

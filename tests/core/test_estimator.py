"""The estimator contract's own behaviour, on the smallest estimators."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from polymodal import Modalities, Ragged
from polymodal.core import Coordination, Fusion
from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.core.estimator import check_target, fitted_modalities, last_step


class Identity(Coordination):
    """Gives back what it gets. References: none."""

    def _fit(self, data, y) -> None:
        pass

    def _transform(self, data):
        return data

    def _score(self, data, y) -> float:
        return 0.0


class First(Fusion):
    def _fit(self, data, y) -> None:
        pass

    def _transform(self, data):
        return data[data.names[0]].values()

    def _score(self, data, y) -> float:
        return 0.0


@pytest.fixture
def data() -> Modalities:
    return Modalities({"a": np.zeros((3, 2)), "b": np.ones((3, 1))})


def test_fit_remembers_names_kinds_and_shapes(data: Modalities) -> None:
    model = Identity().fit(data)
    assert {n: (s.kind, s.shape) for n, s in model.modalities_.items()} == {
        "a": ("vector", (2,)),
        "b": ("vector", (1,)),
    }


def test_transform_puts_modalities_in_the_fitted_order(data: Modalities) -> None:
    assert Identity().fit(data).transform(data.select("b", "a")).names == ("a", "b")


def test_before_fit(data: Modalities) -> None:
    with pytest.raises(NotFittedError, match="Identity is not fitted"):
        Identity().transform(data)


def test_names_and_shapes_are_checked(data: Modalities) -> None:
    model = Identity().fit(data)
    with pytest.raises(ModalityError, match=r"\['c'\]; fitted on \['a', 'b'\]"):
        model.transform({"c": np.zeros((1, 2))})
    with pytest.raises(
        ModalityError, match=r"'a' was fitted as vector of shape \(2,\), got vector of shape \(5,\)"
    ):
        model.transform({"a": np.zeros((1, 5))})
    with pytest.raises(ModalityError, match="'a' was fitted as vector.*got text"):
        model.transform({"a": ["word"]})


def test_a_fusion_needs_something_on_every_row(data: Modalities) -> None:
    model = First().fit(data)
    with pytest.raises(ModalityError, match=r"1 of 3 rows have none \(ids \[1\]\)"):
        model.transform(data.without("a", [1]).without("b", [1]))


def test_targets() -> None:
    assert check_target(["a", "b"]).tolist() == ["a", "b"]
    assert check_target([[1, 0], [0, 1]]).shape == (2, 2)
    for bad in ([1.0, np.nan], ["a", None]):
        with pytest.raises(ModalityError, match="missing or infinite"):
            check_target(bad)
    with pytest.raises(ModalityError, match="one value per row"):
        check_target(3)


def test_a_pipeline_was_fitted_on_what_its_first_fitted_step_saw() -> None:
    data = {"a": np.arange(12.0).reshape(6, 2), "b": np.arange(6.0).reshape(6, 1)}
    model = Pipeline([("first", Identity()), ("second", Identity())])
    assert fitted_modalities(model) == {}
    assert last_step(model) is model.steps[1][1]
    assert set(fitted_modalities(model.fit(data))) == {"a", "b"}
    assert isinstance(last_step(Identity()), Identity)


def test_labels_of_steps_become_an_array_of_arrays() -> None:
    for y in ([["a"], ["b", "a"]], [np.array(["a"]), np.array(["b", "a"])]):
        assert [row.tolist() for row in check_target(y)] == [["a"], ["b", "a"]]
    assert [row.tolist() for row in check_target(Ragged.of([[1, 2], [3, 4]]))] == [[1, 2], [3, 4]]
    assert check_target([[1, 2], [3, 4]]).shape == (2, 2)

"""What all learned fusions share: scikit-learn's tools, saving, dotted names, shared values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, cross_val_score

import polymodal
from polymodal import AdditiveFusion, Modalities, TensorFusion, Training

FAST = Training(max_epochs=3, batch_size=16)


@pytest.fixture
def problem(rng: np.random.Generator) -> tuple[Modalities, np.ndarray]:
    hidden = rng.normal(size=60)
    columns = {name: hidden[:, None] + rng.normal(size=(60, 3)) for name in ("left.eye", "ear")}
    return Modalities(columns), np.where(hidden > 0, "up", "down")


def test_works_in_scikit_learn(problem) -> None:
    data, y = problem
    model = AdditiveFusion(2, training=FAST, random_state=0)
    assert is_classifier(model)
    assert is_regressor(AdditiveFusion(task="regression"))
    assert cross_val_score(model, data, y, cv=2).shape == (2,)
    assert cross_val_score(model, data, y, cv=2, scoring="roc_auc").shape == (2,)
    search = GridSearchCV(model, {"n_components": [2, 3]}, cv=2, scoring="neg_log_loss").fit(data, y)
    assert search.best_params_["n_components"] in (2, 3)


@pytest.mark.parametrize("cls", [AdditiveFusion, TensorFusion])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_saved_and_loaded_it_says_the_same(cls, task: str, problem, tmp_path: Path) -> None:
    data, y = problem
    target = y if task == "classification" else (y == "up") * 3.0 + 1
    model = cls(2, training=FAST, random_state=0).fit(data, target)
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(data), model.predict(data))
    np.testing.assert_array_equal(again.transform(data), model.transform(data))
    assert again.task_ == task


def test_log_odds_and_probabilities_agree(problem) -> None:
    data, y = problem
    model = AdditiveFusion(2, training=FAST, random_state=0).fit(data, y)
    odds, probability = model.decision_function(data), model.predict_proba(data)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), probability[:, 1])


def test_a_second_fit_forgets_the_first_task(problem) -> None:
    data, y = problem
    model = AdditiveFusion(2, training=FAST, random_state=0).fit(data, y)
    model.fit(data, (y == "up") * 1.5)
    assert model.task_ == "regression"
    assert not hasattr(model, "classes_")


def test_torch_s_random_numbers_are_left_as_they_were(problem) -> None:
    data, y = problem
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    AdditiveFusion(2, training=FAST, random_state=0).fit(data, y)
    assert torch.equal(torch.rand(2), expected)


def test_dropout_is_for_training_only(problem) -> None:
    data, y = problem
    model = AdditiveFusion(2, training=FAST, modality_dropout=1.0, random_state=0).fit(data, y)
    np.testing.assert_array_equal(model.transform(data), model.transform(data))
    np.testing.assert_allclose(model.transform(data[[4]])[0], model.transform(data)[4], atol=1e-6)

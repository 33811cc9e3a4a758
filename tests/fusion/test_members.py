"""One model per modality: what it says of unseen classes, and of rows out of fold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from polymodal import Modalities
from polymodal.core.target import Target
from polymodal.fusion import EarlyFusion
from polymodal.fusion._members import (
    Inputs,
    Member,
    class_priors,
    fit_members,
    gives_spread,
    member_decisions,
    member_probabilities,
    out_of_fold,
    spread,
)


def naive(*names: str) -> dict[str, Member]:
    return {name: Member(GaussianNB(), (name,)) for name in names}


def test_unseen_classes_keep_their_prior() -> None:
    full = spread(np.array([[0.25, 0.75]]), np.array([0, 2]), np.array([0.3, 0.5, 0.2]))
    np.testing.assert_allclose(full, [[0.125, 0.5, 0.375]])


def test_a_single_class_leaves_the_prior() -> None:
    target = Target.of(np.array([0, 1, 1, 1]))
    models = fit_members(GaussianNB(), np.ones((2, 1)), np.ones((2, 1)), target)
    assert models == [None]
    prior = class_priors(target, np.array([0, 1, 1, 1]))
    np.testing.assert_allclose(
        member_probabilities(models, np.ones((3, 1)), prior), np.tile(prior, (3, 1, 1))
    )


def test_answers_out_of_fold_never_use_their_own_fold(rng: np.random.Generator) -> None:
    """Changing a fold's targets changes no answer inside that fold."""
    data, y = Modalities({"a": rng.normal(size=(40, 2))}), np.arange(40) % 2
    folds, target = np.repeat([0, 1], 20), Target.of(np.array([0, 1]))
    changed = np.where(folds == 0, 1 - y, y)
    first = out_of_fold(naive("a"), Inputs(data, data), y, target, folds)
    second = out_of_fold(naive("a"), Inputs(data, data), changed, target, folds)
    np.testing.assert_array_equal(first[folds == 0], second[folds == 0])
    assert not np.array_equal(first[folds == 1], second[folds == 1])


def test_rows_without_the_modality_have_no_answer(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(12, 2)), "b": rng.normal(size=(12, 2))}).without("b", [1, 5])
    y = np.arange(12) % 2
    answers = out_of_fold(naive("a", "b"), Inputs(data, data), y, Target.of(y), np.arange(12) % 3)
    assert np.isnan(answers[[1, 5], 1]).all()
    assert np.isfinite(answers[:, 0]).all()
    with pytest.raises(ValueError, match="two rows"):
        out_of_fold(naive("a"), Inputs(data[:2], data[:2]), y[:2], Target.of(y), np.array([0, 1]))


def test_a_member_of_several_modalities_answers_whole_rows_or_any(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(6, 2))})
    holes = data.without("a", [0]).without("b", [1])
    inputs = Inputs(holes, holes)
    whole, any_of = Member(EarlyFusion(), ("a", "b")), Member(EarlyFusion(), ("a", "b"), whole=False)
    assert whole.answers(inputs).tolist() == [False, False, True, True, True, True]
    assert any_of.answers(inputs).all()
    alone = Inputs(data.select("a"), data.select("a"))
    assert not whole.answers(alone).any()
    assert any_of.answers(alone).all()
    assert any_of.values(alone, np.array([0, 2])).names == ("a",)


def test_decisions_are_the_models_own(rng: np.random.Generator) -> None:
    y = np.arange(60) % 3
    X = rng.normal(y[:, None], size=(60, 2))
    target = Target.of(y)
    models = fit_members(SVC(), X, y[:, None], target)
    prior = class_priors(target, y)
    np.testing.assert_array_equal(member_decisions(models, X, prior)[:, 0], SVC().fit(X, y).predict(X))
    np.testing.assert_array_equal(member_decisions([None], X, np.array([[0.2, 0.5, 0.3]])), np.ones((60, 1)))


def test_which_models_say_how_sure_they_are() -> None:
    assert gives_spread(BayesianRidge())
    assert gives_spread(make_pipeline(StandardScaler(), BayesianRidge()))
    assert not gives_spread(Ridge())

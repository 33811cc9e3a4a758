"""One fit, measured."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.encoders.vectorize import Vectorize
from polymodal.evaluation.model_runs import PeakMemory, Run, count_numbers, run_models, seeded_copy
from polymodal.evaluation.splits import Split
from polymodal.fusion import LateFusion


class Majority(ClassifierMixin, BaseEstimator):
    """The commonest class; keeps what it saw, and may fail or warn."""

    def __init__(self, trouble="", random_state=None):
        self.trouble = trouble
        self.random_state = random_state

    def fit(self, data, y):
        if self.trouble == "warn":
            warnings.warn("odd data\nat length", UserWarning, stacklevel=1)
        elif self.trouble:
            raise {"value": ValueError, "ours": ModalityError}[self.trouble]("no good")
        self.seen_ = data
        values, counts = np.unique(y, return_counts=True)
        self.answer_ = values[counts.argmax()]
        return self

    def predict(self, data):
        return np.repeat(self.answer_, len(data))


DATA = Modalities({"a": np.arange(8.0)[:, None]})
Y = np.array([0, 0, 0, 1, 1, 0, 1, 2])
SPLITS = [Split(np.arange(4), np.arange(4, 8), 5), Split(np.arange(4, 8), np.arange(4), 6)]


def test_a_run_of_each_model_on_each_split():
    runs = list(run_models({"m": Majority(), "n": Majority()}, DATA, Y, SPLITS))
    assert [(r.model, r.split) for r in runs] == [("m", 0), ("n", 0), ("m", 1), ("n", 1)]
    assert runs[0].scores["accuracy"] == 0.25
    assert runs[2].scores["accuracy"] == 0.25
    assert runs[0].seconds >= 0


def test_what_is_done_is_not_done_again():
    runs = run_models(
        {"m": Majority(), "n": Majority()}, DATA, Y, SPLITS, done={("m", 0), ("n", 0), ("n", 1)}
    )
    assert [(r.model, r.split) for r in runs] == [("m", 1)]


@pytest.mark.parametrize(("trouble", "said"), [("value", "ValueError: no good"), ("ours", "no good")])
def test_a_failure_is_a_row(trouble, said):
    bad, good = run_models({"bad": Majority(trouble), "good": Majority()}, DATA, Y, SPLITS[:1])
    assert bad.error == said
    assert bad.scores == {}
    assert good.error == ""


def test_warnings_are_kept_and_not_shown():
    (run,) = run_models({"m": Majority("warn")}, DATA, Y, SPLITS[:1])
    assert run.warnings == ("odd data",)


def test_every_seed_is_the_splits_own():
    copy = seeded_copy(Pipeline([("v", Vectorize()), ("m", Majority())]), 9)
    assert (copy.named_steps["v"].random_state, copy.named_steps["m"].random_state) == (9, 9)
    assert seeded_copy(Majority("value"), 3).trouble == "value"


def test_what_observe_gives_is_kept():
    def observe(name, split, fitted, test, y):
        return {
            "name": name,
            "seed": split.seed,
            "rows": len(test),
            "y": y.tolist(),
            "saw": len(fitted.seen_),
        }

    (run,) = run_models({"m": Majority()}, DATA, Y, SPLITS[:1], observe=observe)
    assert run.observed == {"name": "m", "seed": 5, "rows": 4, "y": [1, 0, 1, 2], "saw": 4}


def test_preparation_sees_training_rows_only():
    seen = []

    def observe(name, split, fitted, test, y):
        seen.append(np.asarray(fitted.seen_["a"].values()))

    list(run_models({"m": Majority()}, DATA, Y, SPLITS[:1], prepare=Vectorize(), observe=observe))
    np.testing.assert_allclose(seen[0].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(seen[0].std(), 1)


def test_json_and_back():
    (run,) = run_models({"m": Majority()}, DATA, Y, SPLITS[:1])
    (bad,) = run_models({"m": Majority("value")}, DATA, Y, SPLITS[:1])
    for one in (run, bad):
        back = Run.from_dict(json.loads(json.dumps(one.to_dict())))
        assert back.to_dict() == one.to_dict()
        assert back.answers.predicted.shape[0] == one.answers.predicted.shape[0]


def test_memory_of_a_block():
    with PeakMemory() as memory:
        block = np.ones(50 * 2**20 // 8)
        del block
    if np.isfinite(memory.mib):
        assert 40 < memory.mib < 80


def test_numbers_kept(rng):
    X, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    assert count_numbers(LogisticRegression().fit(X, y)) >= 3 * 5
    late = LateFusion().fit({"a": X}, y)
    assert 15 <= count_numbers(late) < 60
    assert count_numbers(LateFusion().fit({"a": np.c_[X, X]}, y)) > count_numbers(late)

"""Several models, one data set."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.evaluation import compare_models
from polymodal.evaluation.answers import Truth
from polymodal.evaluation.model_comparison import summarise_runs
from polymodal.evaluation.model_runs import run_models
from polymodal.evaluation.splits import given_split, honest_splits
from polymodal.fusion import LateFusion


class Knows(ClassifierMixin, BaseEstimator):
    """Right on a share of rows that is planted in the data; fails where asked to."""

    def __init__(self, column=0, fails=False):
        self.column = column
        self.fails = fails

    def fit(self, data, y):
        if self.fails:
            raise ValueError("cannot")
        return self

    def predict(self, data):
        return np.asarray(data["said"].values())[:, self.column].astype(int)


@pytest.fixture
def planted(rng):
    """1,000 rows of three classes; the columns hold answers that are right on 90, 70 and 70 % of them."""
    y = np.arange(1000) % 3
    said = np.stack([np.where(np.arange(1000) % 10 < k, y, (y + 1) % 3) for k in (9, 7, 7)], axis=1)
    order = rng.permutation(1000)
    return Modalities({"said": said[order].astype(float)}), y[order]


def test_planted_shares_come_back(planted):
    found = compare_models(
        {"good": Knows(0), "poor": Knows(1), "same": Knows(2), "bad": Knows(fails=True)},
        *planted,
        references={"best single": ["poor", "same"], "concatenation": ["good"]},
    )
    assert [m.name for m in found.models] == ["good", "poor", "same", "bad"]
    assert found["good"].score.value == pytest.approx(0.9, abs=0.03)
    assert found["good"].against["best single"].value == pytest.approx(0.2, abs=0.04)
    assert found["good"].against["best single"].verdict == "better"
    assert found["same"].against["best single"].value == 0.0
    assert found["same"].against["best single"].verdict == "no difference shown"
    assert found["poor"].against["concatenation"].verdict == "worse"
    assert found.references == {"best single": "poor", "concatenation": "good"}
    assert "concatenation" not in found["good"].against
    assert found["bad"].error == "ValueError: cannot"
    assert np.isnan(found["bad"].score.value)
    assert "Nadeau" in found.interval
    assert found.rows == pytest.approx((750, 250), abs=2)


def test_a_given_split_is_honoured(planted):
    data, y = planted
    found = compare_models({"good": Knows(0)}, data, y, splits=given_split(np.arange(1000) < 600))
    truth = y[600:] == np.asarray(data["said"].values())[600:, 0]
    assert found["good"].score.value == pytest.approx(truth.mean())
    assert found["good"].score.low < truth.mean() < found["good"].score.high
    assert "One given split (600 rows to learn from, 400 to test on, mean over 3 seeds)" in found.interval


def test_words_and_tables(planted):
    found = compare_models(
        {"good": Knows(0), "p|q": Knows(1), "bad": Knows(fails=True)},
        *planted,
        splits=3,
        references={"floor": ["p|q"]},
    )
    text = str(found)
    assert re.search(r"\| good \| 0\.(89|90|91)", text)
    assert "p\\|q" in text
    assert "| bad | failed |" in text
    assert "Against the floor (p|q): better good; worse none" in text
    heads, rows = found.table()
    assert heads[:3] == ["model", "accuracy [95 %]", "macro F1"]
    assert [len(row) for row in rows] == [len(heads)] * 3
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["models"][0]["against"]["floor"]["verdict"] == "better"
    assert "answers" not in plain["runs"][0]
    with pytest.raises(ModalityError, match="no model 'nobody'"):
        found["nobody"]


def test_a_part_of_the_runs_compares_what_is_there(planted):
    data, y = planted
    splits = honest_splits(data, y, n_splits=3)
    runs = list(run_models({"good": Knows(0), "poor": Knows(1)}, data, y, splits))[:3]
    found = summarise_runs(runs, Truth.of(y), splits, references={"floor": ["poor"]})
    assert (found["good"].n_splits, found["poor"].n_splits) == (2, 1)
    assert found["good"].against["floor"].low == float("-inf")
    assert "on 2 of 3 splits" in str(found)


def test_tasks_and_seeds(rng):
    x = rng.normal(size=(80, 3))
    data = {"a": x, "b": rng.normal(size=(80, 2))}
    quantities = compare_models({"late": LateFusion()}, data, x[:, 0] + 0.1 * rng.normal(size=80), splits=2)
    assert quantities.metric == "R2"
    assert quantities["late"].score.value > 0.5
    labels = compare_models({"late": LateFusion()}, data, (x[:, :2] > 0).astype(int), splits=2)
    assert labels.metric == "macro F1"
    assert labels["late"].score.value > 0.7
    two = compare_models({"late": LateFusion(), "vote": LateFusion("vote")}, data, x[:, 0] > 0, splits=2)
    assert two.metric == "AUC"
    again = compare_models({"late": LateFusion(), "vote": LateFusion("vote")}, data, x[:, 0] > 0, splits=2)
    assert two["vote"].score == again["vote"].score


def test_what_is_refused(planted):
    data, y = planted
    with pytest.raises(ModalityError, match="at least one model"):
        compare_models({}, data, y)
    with pytest.raises(ModalityError, match=r"References \['none'\]"):
        compare_models({"a": Knows()}, data, y, references={"x": ["none"]})
    with pytest.raises(ModalityError, match="one target per row"):
        compare_models({"a": Knows()}, data, y[:5])

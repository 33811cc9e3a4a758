"""`diagnose`: the whole answer, its JSON and its page."""

import dataclasses
import json

import numpy as np
import pytest

from polymodal.cli.answering import plain
from polymodal.commands.diagnosing import Diagnosis, Effort, diagnose, diagnose_data
from polymodal.commands.sources import Source
from polymodal.core.errors import ConfigError, StoreError
from polymodal.datasets.dataset import Dataset

QUICK = Effort(steps=10, permutations=19, resamples=10, folds=2)


@pytest.fixture(scope="module")
def found(planted):
    said = []
    return diagnose(planted("three").dataset, "y", effort=QUICK, say=said.append), said


def test_every_part_is_there(found):
    answer, said = found
    assert isinstance(answer, Diagnosis)
    assert {p.names for p in answer.pairs} == {("a", "b"), ("a", "c"), ("b", "c")}
    assert [t.modality for t in answer.told] == ["a", "b", "c"]
    assert answer.entropy == pytest.approx(1, abs=0.02)
    assert set(answer.use.shares) == {"a", "b", "c"}
    assert len(answer.scores.beyond) == 3
    assert answer.recommendation.reasons
    assert answer.cannot_tell
    assert said[0] == "understanding the data"
    assert any("pair 3 of 3" in line for line in said)


def test_json_holds_all_of_it(found):
    answer = plain(found[0].to_dict())
    again = json.loads(json.dumps(answer, allow_nan=False))
    assert again["recommendation"]["verdict"] == found[0].recommendation.verdict
    assert again["pairs"][0]["parts"][0]["synergy"].keys() == {"value", "low", "high", "level"}


def test_the_order_of_modalities_does_not_matter(planted, found):
    dataset = planted("three").dataset
    turned = Dataset(dataset.data.select("c", "a", "b"), dataset.metadata, name=dataset.name)
    other = diagnose(turned, "y", effort=QUICK)
    first = {s.name: s.score.value for s in (*found[0].scores.alone, *found[0].scores.fusions)}
    second = {s.name: s.score.value for s in (*other.scores.alone, *other.scores.fusions)}
    assert first == pytest.approx(second)


def test_one_modality_is_measured_alone(planted):
    dataset = planted("unique").dataset
    constant = dataset.data.assign({"b": np.ones((len(dataset), 2))})
    answer = diagnose(Dataset(constant, dataset.metadata), "y", effort=QUICK)
    assert answer.understanding.constant == ("b",)
    assert (answer.pairs, answer.use, answer.scores.fusions) == ((), None, ())
    assert answer.recommendation.use == ("a",)
    from polymodal.commands.diagnosis_report import report_of

    assert "constant, left out" in str(report_of(answer))


def test_data_on_disk_and_a_page(planted, tmp_path):
    dataset = planted("sum").dataset
    table = np.c_[dataset.data["a"].values(), dataset.data["b"].values(), dataset["y"]]
    place = tmp_path / "t.csv"
    np.savetxt(place, table, delimiter=",", header="a1,a2,b1,b2,y", comments="", fmt="%.6f")
    source = Source(place, modalities={"a": ["a1", "a2"], "b": ["b1", "b2"]}, target="y")
    output = tmp_path / "r.html"
    answer = diagnose_data(source, output=output, effort=dataclasses.replace(QUICK, rows=80))
    assert (answer.name, answer.output) == ("t.csv", str(output))
    assert answer.understanding.used == 80
    assert answer.scores.metric == "R2"
    page = output.read_text(encoding="utf-8")
    assert "What tells y?" in page
    assert page.count("<img") == 4
    with pytest.raises(ConfigError, match="exists"):
        diagnose_data(source, output=output)
    with pytest.raises(ConfigError, match="would be written into"):
        diagnose_data(source, output=place, overwrite=True)


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match="--target COLUMN"):
        diagnose_data(Source(tmp_path))
    with pytest.raises(ConfigError, match="permutations of at least 19, got 3; folds of at least 2, got 1"):
        Effort(permutations=3, folds=1)
    assert issubclass(StoreError, Exception)

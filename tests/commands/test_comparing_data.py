"""What a comparison is made on."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.commands.comparing_data import Division, labels_of, read_material
from polymodal.commands.sources import Source
from polymodal.core.errors import ConfigError, DataError


@pytest.fixture
def csv(tmp_path):
    """Forty rows: two groups of numbers, classes, quantities, labels, a speaker, a split."""
    draws = np.random.default_rng(0)
    lines = ["kind,x_0,x_1,z_0,z_1,mass,tags,speaker,split,flat"]
    for i in range(40):
        numbers = ",".join(f"{v:.3f}" for v in draws.normal(size=4))
        part = "train" if i < 24 else "valid" if i < 30 else "test"
        kind = "" if i == 3 else "äöü"[i % 3]
        lines.append(f"{kind},{numbers},{i / 7:.2f},{'a; b' if i % 2 else 'b'},s{i % 8},{part},1")
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "rows.csv"


def test_classes(csv):
    found = read_material(Source(csv, target="kind"), Division(groups="speaker", n=4))
    assert found.task == "classification"
    assert len(found.data) == 39
    assert len(found.splits) == 4
    assert set(found.data.names) == {"x", "z", "table", "tags"}
    assert any("left out 1 rows without a kind" in note for note in found.notes)
    assert any("8 groups" in note for note in found.notes)
    speaker = np.array([i % 8 for i in range(40) if i != 3])
    for s in found.splits:
        assert not set(speaker[s.train]) & set(speaker[s.test])


def test_the_target_is_no_feature(csv):
    found = read_material(Source(csv, target="mass"), Division())
    assert found.task == "regression"
    assert set(found.data.names) == {"x", "z", "table", "tags"}
    columns = " ".join(found.notes)
    assert "'mass'" not in columns


def test_a_given_split(csv):
    found = read_material(Source(csv, target="mass"), Division(split="split", n=2, seed=3))
    assert [s.seed for s in found.splits] == [3, 4]
    assert (len(found.splits[0].train), len(found.splits[0].test)) == (24, 10)
    assert any("['valid'] are used neither" in note for note in found.notes)


def test_labels(csv):
    found = read_material(Source(csv, target="tags"), Division(), task="multilabel")
    assert found.y.shape == (40, 2)
    assert found.y.sum(axis=0).tolist() == [20, 40]
    empty = read_material(Source(csv, target="kind"), Division(), task="multilabel")
    assert empty.y.sum(axis=1).tolist() == [int(i != 3) for i in range(40)]
    y, names = labels_of(np.array(["red; large", "red|blue", ""]))
    assert names == ["blue", "large", "red"]
    assert y.tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 0]]
    with pytest.raises(ConfigError, match="several labels"):
        labels_of(np.array(["a", "a"]))


def test_a_limit_of_rows(csv):
    found = read_material(Source(csv, target="mass"), Division(limit=30))
    assert len(found.data) == 30
    assert any("took 30 of 40 rows" in note for note in found.notes)


def test_classes_whose_column_has_empty_cells(tmp_path):
    lines = ["label,x_0,x_1,z_0,z_1", *(f"{'' if i == 0 else i % 2},{i},{i + 1},{i},{-i}" for i in range(30))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    assert read_material(Source(tmp_path / "t.csv", target="label"), Division()).task == "classification"


@pytest.mark.parametrize(
    ("source", "division", "said"),
    [
        ({}, {}, "needs a target.*'kind'"),
        ({"target": "flat"}, {}, "'flat'.*target that varies"),
        ({"target": "kind"}, {"groups": "speeker"}, "Did you mean 'speaker'"),
        ({"target": "kind"}, {"split": "speaker"}, "needs rows of value 'train'"),
        ({"target": "kind"}, {"split": "x_0"}, "--modality table="),
        (
            {"target": "mass", "modalities": {"a": ["x_0", "mass"], "z": ["z_0"]}},
            {},
            "'mass' says what is predicted",
        ),
        ({"target": "kind"}, {"test_size": 2.0}, "test_size"),
    ],
)
def test_what_is_refused(csv, source, division, said):
    with pytest.raises((ConfigError, ValueError), match=said):
        read_material(Source(csv, **source), Division(**division))


def test_what_cannot_be_a_target(csv, tmp_path):
    with pytest.raises(DataError, match="Did you mean 'kind'"):
        read_material(Source(csv, target="knd"), Division())
    lines = ["name,x_0,x_1,z_0,z_1", *(f"n{i},{i},{i + 1},{i},{-i}" for i in range(30))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match="most classes have a single row"):
        read_material(Source(tmp_path / "t.csv", target="name"), Division())
    (tmp_path / "t.csv").write_text("\n".join(lines[:9]) + "\n")
    with pytest.raises(ConfigError, match="at least 20 rows"):
        read_material(Source(tmp_path / "t.csv", target="name"), Division())

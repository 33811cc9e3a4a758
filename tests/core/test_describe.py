"""What `describe` understands."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from polymodal.core import describe as module
from polymodal.core.describe import describe
from polymodal.core.files import Files
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged


@pytest.fixture
def data(rng):
    return Modalities(
        {
            "image": Modality(rng.random((2, 4)), np.array([0, 0, 1, -1])),
            "text": ["a cat", "the cat", None, "x"],
            "curve": [rng.random((3, 2)), rng.random((5, 2)), rng.random((4, 2)), None],
        }
    )


def test_kinds_shapes_lengths_ranges(data) -> None:
    d = describe(data)
    assert d.rows == 4
    assert d.complete == 2
    by_name = {m.name: m for m in d.modalities}
    assert by_name["image"].shape == (4,)
    assert by_name["image"].missing == 1
    assert by_name["image"].values == 2
    assert by_name["text"].lengths == (1, 5, 7)
    assert by_name["curve"].lengths == (3, 4, 5)
    low, high = by_name["curve"].range
    assert 0 <= low < high <= 1
    assert d.patterns[0] == (("image", "text", "curve"), 2)
    assert d.shared == {"image": 2}
    assert d.pairing == "partly paired (2 rows have everything)"


def test_text_for_people_and_json_for_programs(data) -> None:
    d = describe(data, metadata={"label": np.array(["a", "a", "b", ""])}, notes=["image: column 'file'"])
    text = str(d)
    for part in (
        "4 rows, 3 modalities",
        "image + text + curve",
        "label",
        "'a' (2)",
        "column 'file'",
        "1 empty",
    ):
        assert part in text
    back = json.loads(json.dumps(d.to_dict()))
    assert back["rows"] == 4
    assert back["patterns"][0] == {"present": ["image", "text", "curve"], "rows": 2}


def test_relations_a_mapping_is_described_like_modalities(data) -> None:
    assert describe(dict(data)) == data.describe()


@pytest.mark.parametrize(
    ("columns", "pairing"),
    [
        ({"a": np.eye(3), "b": np.eye(3) + 1}, "paired"),
        ({"a": [[1.0, 2], None], "b": [None, [3.0, 4]]}, "unpaired (no row has two modalities)"),
        ({"a": np.eye(3)}, "one modality"),
        ({"a": Modality(np.eye(2), np.array([0, 0, 1])), "b": np.eye(3)}, "paired, several rows share one a"),
    ],
)
def test_pairing(columns, pairing) -> None:
    assert describe(columns).pairing == pairing


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (np.ones((5, 2)), "every row is the same vector"),
        (np.column_stack([np.ones(5), [1, 2, 4, 3, 0]]), "1 of 2 features are constant"),
        (np.column_stack([[1e6, 2e6, 1e6, 5e6], [1, 2, 4, 3]]), "scales differ"),
        (np.column_stack([np.arange(20), np.sin(np.arange(20))]), "feature 0 counts the rows"),
        (np.array([[1.0, 2], [-999, 3], [4, 5]]), "stand for missing"),
        (["same"] * 5, "every text is the same"),
        (["a", "b"] * 20, "only 2 different texts"),
        (np.zeros((3, 4, 4), np.uint8), "every picture is the same"),
        (np.stack([np.zeros((4, 4)), np.eye(4)]), "1 of 2 pictures looked at are of one colour"),
        (Ragged(np.ones(4), np.array([0, 2, 4])), "every step of every sequence is the same"),
        ([[1.0, 2], *[None] * 19], "95% of rows lack it"),
        ([None, None], "all rows lack it"),
        ([[1.0, 2]], "one row only"),
    ],
)
def test_oddities_are_named(column, sentence) -> None:
    found = describe({"odd": column}).warnings
    assert any(sentence in w for w in found), found


def test_duplicates_equal_modalities_and_repeated_keys(rng) -> None:
    x = rng.random((4, 3))[[0, 1, 2, 0]]
    d = describe(Modalities({"a": x, "b": x.copy()}, ids=["u", "u", "v", "w"]))
    assert d.duplicates == 1
    assert any("a and b hold the same numbers" in w for w in d.warnings)
    assert any("row keys repeat" in w for w in d.warnings)


def test_clean_data_give_no_warning(rng) -> None:
    d = describe({"a": rng.normal(size=(30, 3)), "text": [f"word {i}" for i in range(30)]})
    assert d.warnings == ()
    assert "Nothing suspicious" in str(d)


def test_large_data_are_sampled(rng, monkeypatch) -> None:
    monkeypatch.setattr(module, "SAMPLED_ROWS", 100)
    d = describe({"a": rng.normal(size=(1000, 2))})
    assert d.sampled == 100
    assert "100 of 1,000 rows" in str(d)


def test_files_are_looked_at_and_a_broken_one_is_told(tmp_path) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{name}.png")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    d = describe({"image": Files(paths)})
    assert d.modalities[0].shape == (64, 64, 3)
    assert d.modalities[0].on_disk
    assert d.modalities[0].example == "a.png"
    paths[1].write_bytes(b"no")
    assert any("b.png cannot be read" in w for w in describe({"image": Files(paths)}).warnings)


def test_no_rows() -> None:
    assert describe({"a": np.empty((0, 2))}).rows == 0

"""Any modality to any other, composed queries, filters and changes: on a space whose geometry is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.pipeline import Pipeline

from polymodal.core.errors import ModalityError, NotFittedError, StoreError
from polymodal.core.files import Files
from polymodal.core.modalities import Modalities, Modality
from polymodal.retrieval import DiskIndex, Layout, MemoryIndex, Retriever

KIND = {"kind": ["flower", "plant", None, "star"], "size": [1, 2, 3, 4]}


@pytest.fixture(params=["memory", "disk"])
def retriever(request: pytest.FixtureRequest, model, colours: Modalities, tmp_path: Path) -> Retriever:
    folder = tmp_path / "index" if request.param == "disk" else None
    return Retriever.build(model, colours, folder, metadata=KIND)


def test_one_modality_to_another(retriever: Retriever) -> None:
    assert retriever.search({"text": "red"}, k=1, target="image").ids.tolist() == [["rose"]]
    assert retriever.search({"image": np.array([0, 0, 2.0])}, k=1, target="text").ids.tolist() == [["sky"]]
    both = retriever.search({"text": ["green", "blue"]}, k=2)
    assert both.ids.tolist() == [["leaf", "leaf"], ["sky", "sky"]]
    assert both.modality.tolist() == [["text", "image"]] * 2
    assert retriever.search({"text": "blue"}).ids.shape == (1, 8)
    assert json.dumps(both.to_dict())
    assert retriever.modalities == ("image", "text")


def test_composed_queries_are_sums_in_the_space(retriever: Retriever) -> None:
    query = {"text": "red", "image": np.array([0, 1.0, 0])}
    assert retriever.search(query, k=1, target="text").ids.tolist() == [["sun"]]
    np.testing.assert_allclose(retriever.embed(query), [[2**-0.5, 2**-0.5, 0]], atol=1e-6)
    heavier = retriever.embed(query, weights={"text": 3})
    np.testing.assert_allclose(heavier, [[3 / 10**0.5, 1 / 10**0.5, 0]], atol=1e-6)
    without = retriever.search({"image": np.array([1, 1.0, 0]), "text": "red"}, k=1, weights={"text": -0.7})
    assert without.ids.tolist() == [["leaf"]]
    np.testing.assert_allclose(
        retriever.embed(query, weights={"image": 0}), retriever.embed({"text": "red"}), atol=1e-7
    )
    arithmetic = retriever.embed({"text": "red green"}) * 2**0.5 - retriever.embed({"text": "red"})
    assert retriever.search(arithmetic, k=1, target="image").ids.tolist() == [["leaf"]]


def test_a_batch_may_lack_a_modality_on_some_rows(retriever: Retriever) -> None:
    query = {"text": ["red", None], "image": [None, np.array([0, 0, 1.0])]}
    assert retriever.search(query, k=1, target="text").ids.tolist() == [["rose"], ["sky"]]
    with pytest.raises(ModalityError, match=r"queries \[1\] have none"):
        retriever.search({"text": ["red", None]})


def test_like_a_row(retriever: Retriever) -> None:
    hits = retriever.search(row="sun", k=2, target="image")
    assert set(hits.ids[0]) == {"rose", "leaf"}
    assert "sun" not in retriever.search(row="sun", k=20).ids
    assert retriever.search(row="rose", weights={"text": 1}, k=1).ids.tolist() == [["sun"]]
    with pytest.raises(ModalityError, match="no entry with id 'moon'"):
        retriever.search(row="moon")
    with pytest.raises(ModalityError, match="'sound'.*'image', 'text'"):
        retriever.search(row="sun", weights={"sound": 1})
    with pytest.raises(ModalityError, match="one of the two"):
        retriever.search()


def test_filters(retriever: Retriever) -> None:
    hits = retriever.search({"text": "red"}, target="image", where="size >= 2 AND kind IS NOT NULL")
    assert hits.ids.tolist() == [["sun", "leaf"]]
    assert hits.metadata["kind"].tolist() == [["star", "plant"]]
    assert retriever.search({"text": "red"}, target="image", where={"kind": "plant"}).ids.tolist() == [
        ["leaf"]
    ]
    with pytest.raises(ModalityError, match="'knd'.*'kind'"):
        retriever.search({"text": "red"}, where={"knd": "plant"})


def test_add_update_delete(retriever: Retriever) -> None:
    new = Modalities({"image": np.array([[0, 1.0, 1]]), "text": ["green blue"]}, ids=["sea"])
    retriever.add(new, metadata={"kind": ["water"]})
    assert retriever.search({"text": "blue green"}, k=2).ids.tolist() == [["sea", "sea"]]
    with pytest.raises(ModalityError, match="'sea'.*update"):
        retriever.add(new)
    retriever.update(Modalities({"text": ["red red green"]}, ids=["sea"]))
    assert retriever.search({"text": "red red green"}, k=1).ids.tolist() == [["sea"]]
    assert "sea" not in retriever.search({"text": "blue green"}, k=3, target="text").ids[:, :2]
    gone = Modalities({"text": [None, "blue"]}, ids=["sea", "pool"])
    retriever.update(gone)  # a row that lacks the modality now keeps no stale vector of it
    assert list(retriever.index.vectors("sea")) == ["image"]
    assert retriever.delete(["sea", "pool"]) == 2
    assert len(retriever.index) == 8


def test_five_captions_are_five_entries_and_one_picture(model) -> None:
    data = Modalities.join(
        {"image": np.eye(3)[:2], "text": ["red", "red red", "red", "green"]},
        on={"image": ["r", "g"], "text": ["r", "r", "r", "g"]},
    )
    found = Retriever.build(model, data)
    assert {name: len(v) for name, v in found.index.vectors("r").items()} == {"image": 1, "text": 2}
    assert len(found.index) == 5
    assert found.search(row="r", k=9).ids.tolist() == [["g", "g"]]


def test_pipelines_and_pandas_metadata(model, colours: Modalities) -> None:
    steps = Pipeline([("colours", model)])
    found = Retriever.build(steps, colours, metadata=pd.DataFrame({"n": [1, 2, 3, 4]}))
    assert found.search({"text": "blue"}, k=1, where="n > 2", target="image").ids.tolist() == [["sky"]]


def test_pictures_from_files(tmp_path: Path, model) -> None:
    for name in ("red", "blue"):
        Image.new("RGB", (8, 8), name).save(tmp_path / f"{name}.png")
    paths = [tmp_path / "red.png", tmp_path / "blue.png"]
    data = Modalities({"image": Files(paths), "text": ["red", "blue"]})
    from_files = type(model)().fit(data)
    found = Retriever.build(from_files, data)
    for query in (
        paths[1],
        str(paths[1]),
        [str(paths[1])],
        Image.open(paths[1]).copy() and np.asarray(Image.open(paths[1])),
    ):
        assert found.search({"image": query}, k=1, target="text").ids.tolist() == [[1]]


def test_euclidean_sums_are_means(model, colours: Modalities) -> None:
    found = Retriever.build(model, colours, metric="euclidean")
    query = {"text": "red", "image": np.array([0, 1.0, 0])}
    np.testing.assert_allclose(found.embed(query), [[0.5, 0.5, 0]])
    np.testing.assert_allclose(found.embed(query, weights={"text": 1, "image": -1}), [[1, -1, 0]])


def test_unpaired_rows(model) -> None:
    data = Modalities.join(
        {"image": np.eye(3), "text": ["red"]}, on={"image": ["a", "b", "c"], "text": ["t"]}
    )
    found = Retriever.build(model, data)
    assert found.search({"text": "blue"}, k=1, target="image").ids.tolist() == [["c"]]


def test_commits_never_split_an_id(model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polymodal.retrieval.retriever.COMMIT_ROWS", 2)
    monkeypatch.setattr("polymodal.retrieval.retriever.EMBED_ROWS", 1)
    ids = ["a", "b", "a", "c", "a", "d"]
    data = Modalities({"image": np.arange(18.0).reshape(6, 3)}, ids=ids)
    found = Retriever.build(model, data)
    assert found.index.vectors("a")["image"].shape == (3, 3)
    np.testing.assert_allclose(
        found.index.vectors("c")["image"], found.index.layout.prepare_vectors(data["image"].store[[3]])
    )


def test_a_text_query_to_a_model_without_text(model, colours: Modalities) -> None:
    blind = type(model)().fit(Modalities({"image": colours["image"], "sound": colours["image"]}))
    found = Retriever.build(blind, Modalities({"image": colours["image"], "sound": colours["image"]}))
    with pytest.raises(ModalityError, match=r"no modality 'text'; it has \['image', 'sound'\]"):
        found.search({"text": "a cat"})
    with pytest.raises(ModalityError, match="Did you mean 'image'"):
        found.search({"imgae": np.ones(3)})
    with pytest.raises(ModalityError, match="mapping.*'image', 'sound'"):
        type(found).embed.__wrapped__(found, "a cat")


def test_bad_input(model, colours: Modalities, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="not fitted"):
        Retriever.build(type(model)(), colours)
    with pytest.raises(ModalityError, match="no modality 'sound'"):
        Retriever.build(model, {"sound": np.eye(3)})
    with pytest.raises(ModalityError, match="at least one value"):
        Retriever.build(model, colours.without("text").without("image"))
    with pytest.raises(ModalityError, match="metadata needs one value per row"):
        Retriever.build(model, colours, metadata={"a": [1]})
    with pytest.raises(ModalityError, match="weights name.*'image'"):
        Retriever.build(model, colours).search({"text": "red"}, weights={"image": 1})
    with pytest.raises(ModalityError, match="cancel"):
        Retriever.build(model, colours).search(
            {"text": "red", "image": np.array([1.0, 0, 0])}, weights={"image": -1}
        )
    with pytest.raises(ModalityError, match="another model"):
        Retriever(model, MemoryIndex(Layout(7))).search({"text": "red"})
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(StoreError, match="left as it is"):
        Retriever.build(model, colours, tmp_path)
    with pytest.raises(StoreError, match="DiskIndex.open"):
        Retriever.build(model, colours, tmp_path / "a")
        Retriever.build(model, colours, tmp_path / "a")


def test_an_interrupted_build_leaves_nothing(model, colours: Modalities, tmp_path: Path) -> None:
    class Impatient(type(model)):
        def _transform(self, data: Modalities) -> Modalities:
            if "text" in data:
                raise KeyboardInterrupt
            return super()._transform(data)

    with pytest.raises(KeyboardInterrupt):
        Retriever.build(Impatient().fit(colours), colours, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []
    Retriever.build(model, colours, tmp_path / "index")
    opened = Retriever(model, DiskIndex.open(tmp_path / "index"))
    assert opened.search({"text": "red"}, k=1, target="image").ids.tolist() == [["rose"]]


def test_of_two_that_build_in_one_folder_the_first_stays(model, colours: Modalities, tmp_path: Path) -> None:
    class Slow(type(model)):
        def _transform(self, data: Modalities) -> Modalities:
            if len(data) == 4 and not (tmp_path / "index").exists():
                Retriever.build(model, colours[:2], tmp_path / "index")
            return super()._transform(data)

    with pytest.raises(StoreError, match="holds an index already"):
        Retriever.build(Slow().fit(colours), colours, tmp_path / "index")
    assert len(DiskIndex.open(tmp_path / "index")) == 4


def test_rows_that_share_a_value(model) -> None:
    captions = Modality(np.eye(3), np.array([0, 0, 2]))
    found = Retriever.build(model, Modalities({"image": captions}, ids=["a", "b", "c"]))
    assert len(found.index) == 3  # an entry for every id, so that each can be updated and deleted alone


def test_arithmetic_as_a_query_language(retriever: Retriever) -> None:
    """red green - red = green, asked in words, by entries, and with weights."""
    hits = retriever.search("row:sun - image:rose + 0.1 * text:green", k=8)
    assert not {"sun", "rose"} & set(hits.ids[0])  # what was asked with is not an answer
    assert hits.ids[0, 0] == "leaf"
    np.testing.assert_allclose(
        retriever.compose("text:blue")[0], retriever.embed({"text": "blue"}), atol=1e-7
    )
    same = retriever.search("row:sun", k=3)
    np.testing.assert_array_equal(same.ids, retriever.search(row="sun", k=3).ids)
    vector, rows = retriever.compose("2 * text:#rose - 0.5 * image:1,0,0")
    np.testing.assert_allclose(vector, [[1, 0, 0]], atol=1e-6)
    assert rows == ["rose"]
    with pytest.raises(ModalityError, match="Did you mean 'image'"):
        retriever.search("imag:rose - text:red")
    with pytest.raises(ModalityError, match="no entry with id 'rise'"):
        retriever.search("image:rise")
    with pytest.raises(ModalityError, match="cancel"):
        retriever.search("text:red - text:red")
    with pytest.raises(ModalityError, match="0.5 \\* text:red, without weights"):
        retriever.search("text:red", weights={"text": 2})

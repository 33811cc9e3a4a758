"""`index` of data on disk."""

from __future__ import annotations

import shutil

import pytest

from polymodal.commands import Source, Term, build_index, embed_data, search_index
from polymodal.commands.indexing import open_index
from polymodal.core.errors import ConfigError, DataError, ModalityError


def test_an_index_holds_its_model_and_can_be_moved(index, tmp_path) -> None:
    shutil.copytree(index, tmp_path / "moved")
    store, model = open_index(tmp_path / "moved")
    assert len(store) == 120
    assert model is not None
    assert search_index(tmp_path / "moved", [Term("text", "a red circle")], k=3).hits


def test_vectors_alone(model, shapes, tmp_path) -> None:
    embed_data(model, Source(shapes), tmp_path / "v.npz")
    result = build_index(Source(tmp_path / "v.npz"), tmp_path / "i")
    assert result.vectors == 120
    assert result.searchable_by == []
    hits = search_index(tmp_path / "i", [Term("row", "3")], k=2).hits
    assert all(hit["id"] != 3 for hit in hits)
    with pytest.raises(ModalityError, match=r"holds no model.*--row ID"):
        search_index(tmp_path / "i", [Term("text", "red")])
    assert search_index(tmp_path / "i", [Term("text", "red")], model=model, k=1).hits


def test_refused(model, shapes, index, tmp_path) -> None:
    with pytest.raises(ConfigError, match="--overwrite"):
        build_index(Source(shapes), index, model=model)
    with pytest.raises(ConfigError, match="folder of something else"):
        build_index(Source(shapes), model, model=model, overwrite=True)
    with pytest.raises(ModalityError, match="needs vectors"):
        build_index(Source(shapes, only=("image",)), tmp_path / "i")
    with pytest.raises(DataError, match="does not exist"):
        open_index(tmp_path / "no")
    with pytest.raises(DataError, match="is a model, not an index"):
        open_index(model)
    assert not list(tmp_path.iterdir())


def test_overwriting_replaces(model, shapes, tmp_path) -> None:
    build_index(Source(shapes), tmp_path / "i", model=model)
    result = build_index(Source(shapes, only=("text",)), tmp_path / "i", model=model, overwrite=True)
    assert result.modalities == {"text": 60}
    assert len(open_index(tmp_path / "i")[0]) == 60

"""pandas for real; Hugging Face datasets and MuData by objects that look the same, and for real where installed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from polymodal.core.errors import DataError, MissingDependencyError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.datasets import (
    Dataset,
    adapters,
    from_huggingface,
    from_mudata,
    from_pandas,
    to_huggingface,
    to_mudata,
    to_pandas,
)


@pytest.fixture
def dataset(rng):
    data = Modalities(
        {"x": [rng.random(3), None, rng.random(3)], "text": ["a b", "c d", None]}, ids=["u", "v", "w"]
    )
    return Dataset(data, {"label": np.array([1, 0, 1])})


def test_pandas_round_trip(dataset) -> None:
    pytest.importorskip("pandas")
    frame = to_pandas(dataset)
    assert frame.index.tolist() == ["u", "v", "w"]
    assert frame["label"].tolist() == [1, 0, 1]
    back = from_pandas(frame)
    assert back.data.ids.tolist() == ["u", "v", "w"]
    assert back.data["x"].present.tolist() == [True, False, True]
    np.testing.assert_array_equal(back.data["x"].observed(), dataset.data["x"].observed())
    assert back.data["text"].observed() == ["a b", "c d"]
    assert back["label"].tolist() == [1, 0, 1]


def test_a_frame_of_ones_own() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"height": [1.5, 2.5], "weight": [3.0, 4], "label": ["a", "b"]})
    d = from_pandas(frame)
    assert d.data.names == ("table",)
    assert d.data.ids.tolist() == [0, 1]
    with pytest.raises(DataError, match="mixed types"):
        from_pandas(pd.DataFrame({"a": [1, "x"]}))
    with pytest.raises(DataError, match="got list"):
        from_pandas([1])


class FakeHuggingFace:
    """What `from_huggingface` uses of a `datasets.Dataset`."""

    def __init__(self, table, features=None):
        self.table, self.features = table, features or {}
        self.column_names = table.column_names

    def with_format(self, name):
        assert name == "arrow"
        return self

    def __getitem__(self, rows):
        return self.table


def test_huggingface_by_its_looks() -> None:
    import pyarrow as pa

    table = pa.table({"text": ["a", "b"], "vector": [[1.0, 2], [3, 4]], "label": [1, 0]})
    d = from_huggingface(FakeHuggingFace(table, {"label": SimpleNamespace(names=["cat", "dog"])}))
    assert set(d.data.names) == {"text", "vector"}
    assert d["label"].tolist() == ["dog", "cat"]
    with pytest.raises(DataError, match=r"needs one split, got \['train'\]"):
        from_huggingface(SimpleNamespace(with_format=None, column_names={"train": []}))


def test_huggingface_for_real(dataset) -> None:
    pytest.importorskip("datasets")
    back = from_huggingface(to_huggingface(dataset))
    assert back.data["text"].observed() == ["a b", "c d"]


class FakeFrame(dict):
    @property
    def columns(self):
        return list(self)


def fake_mudata():
    rna = SimpleNamespace(X=np.eye(2), obs_names=["c1", "c2"])
    protein = SimpleNamespace(X=np.ones((2, 3)), obs_names=["c2", "c3"])
    return SimpleNamespace(
        mod={"rna": rna, "protein": protein},
        obs_names=["c1", "c2", "c3"],
        obs=FakeFrame(kind=np.array(["t", "b", "t"], dtype=object)),
    )


def test_mudata_by_its_looks() -> None:
    d = from_mudata(fake_mudata())
    assert d.data.ids.tolist() == ["c1", "c2", "c3"]
    assert d.data["rna"].present.tolist() == [True, True, False]
    assert d.data["protein"].present.tolist() == [False, True, True]
    assert d["kind"].tolist() == ["t", "b", "t"]
    with pytest.raises(ModalityError, match=r"\.mod"):
        from_mudata(SimpleNamespace(mod={}))


def test_mudata_for_real(rng) -> None:
    pytest.importorskip("mudata")
    back = from_mudata(
        to_mudata(Modalities({"a": rng.random((3, 2)), "b": [None, rng.random(2), rng.random(2)]}))
    )
    assert back.data["b"].present.tolist() == [False, True, True]


def test_to_mudata_refuses_texts(dataset) -> None:
    with pytest.raises(ModalityError, match="'text': 'text'"):
        to_mudata(dataset)


def test_missing_libraries_are_named_with_the_command(dataset, monkeypatch) -> None:
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(adapters.importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match="python -m pip install datasets"):
        to_huggingface(dataset)
    with pytest.raises(MissingDependencyError, match="python -m pip install pandas"):
        to_pandas(dataset)
    with pytest.raises(MissingDependencyError, match="python -m pip install mudata"):
        to_mudata(dataset.data.select("x"))

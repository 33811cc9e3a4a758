"""The data contract, by behaviour."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline

from polymodal import Files, Modalities, Modality, Ragged, Texts
from polymodal.core.errors import ModalityError


@pytest.fixture
def data() -> Modalities:
    return Modalities(
        {"image": np.arange(8.0).reshape(4, 2), "text": ["a", None, "b", "a"]}, ids=list("wxyz")
    )


class TestReading:
    def test_kinds_are_read_off_the_store(self, tmp_path) -> None:
        data = Modalities(
            {
                "vector": np.zeros((2, 3)),
                "number": np.zeros(2),
                "grid": np.zeros((2, 4, 4), np.uint8),
                "sequence": [np.zeros((2, 3)), np.zeros((5, 3))],
                "sound": Ragged.of([np.zeros(3), np.zeros(5)], rate=8000.0),
                "text": ["a", "b"],
                "file": [tmp_path / "a.png", tmp_path / "b.png"],
            }
        )
        kinds = {name: column.kind for name, column in data.items()}
        assert kinds == {
            "vector": "vector", "number": "vector", "grid": "grid", "sequence": "sequence",
            "sound": "sound", "text": "text", "file": "grid",
        }  # fmt: skip
        assert data["number"].shape == (1,)
        assert data["sequence"].shape == (3,)

    def test_none_is_missing(self, data: Modalities) -> None:
        assert data["text"].index.tolist() == [0, -1, 1, 2]
        assert data["text"].observed() == ["a", "b", "a"]
        assert data.complete().ids.tolist() == ["w", "y", "z"]

    def test_nan_raises_and_says_how_to_mean_missing(self) -> None:
        values = np.array([[1.0, 2.0], [np.nan, 1.0]])
        with pytest.raises(ModalityError, match=r"'pulse'.*NaN in 1 of 2 rows.*nan=\"missing\""):
            Modalities({"pulse": values})
        assert Modalities({"pulse": values}, nan="missing")["pulse"].present.tolist() == [True, False]

    @pytest.mark.parametrize("nan", ["raise", "missing"])
    def test_infinity_always_raises(self, nan) -> None:
        with pytest.raises(ModalityError, match="'pulse'.*infinite"):
            Modalities({"pulse": np.array([1.0, np.inf])}, nan=nan)

    def test_other_libraries(self) -> None:
        import pandas as pd
        import pyarrow as pa
        import torch

        frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "t": ["x", None]})
        data = Modalities(
            {
                "table": frame[["a", "b"]],
                "series": frame["t"],
                "tensor": torch.ones(2, 3),
                "arrow": pa.array(["u", "v"]),
                "lists": pa.array([[1.0, 2.0], None]),
            }
        )
        assert data["table"].values().tolist() == [[1, 3], [2, 4]]
        assert data["series"].present.tolist() == [True, False]
        assert data["tensor"].shape == (3,)
        assert data["arrow"].values() == ["u", "v"]
        assert data["lists"].present.tolist() == [True, False]

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({}, "at least one"),
            ({"a": np.zeros(3), "b": np.zeros(5)}, r"\{'a': 3, 'b': 5\}.*join"),
            ({"a": ["x", 1.0]}, "'a'.*one kind"),
            ({"a": np.zeros((3, 0))}, "'a'.*at least one feature"),
            ({"a": 3.0}, "'a'.*one value per row"),
            ({"a": "hello"}, "'a'.*one value per row"),
            ({"a": [np.zeros((2, 3)), np.zeros((2, 4))]}, "'a'.*shapes agree"),
            ({"a": np.array(["2020-01-01"], dtype="datetime64[D]")}, "'a'.*Convert"),
            ({"": np.zeros(3)}, "non-empty"),
            ({"a": [{"x": 1}]}, "'a'"),
        ],
    )
    def test_bad_input_is_a_sentence(self, columns, words) -> None:
        with pytest.raises(ModalityError, match=words):
            Modalities(columns)

    def test_a_list_of_arrays_has_no_names(self) -> None:
        with pytest.raises(ModalityError, match="has no names"):
            Modalities.of([np.zeros(3)])

    def test_an_index_outside_the_store(self) -> None:
        with pytest.raises(ModalityError, match=r"-1\.\.2"):
            Modality(np.zeros((3, 1)), np.array([0, 3]))


class TestRowsAndColumns:
    def test_ids_travel(self, data: Modalities) -> None:
        assert data[[2, 0]].ids.tolist() == ["y", "w"]
        assert data[1:][np.array([False, True, True])].ids.tolist() == ["y", "z"]

    def test_slicing_copies_no_values(self, data: Modalities) -> None:
        assert data[::2]["image"].store is data["image"].store

    def test_unknown_names_are_suggested(self, data: Modalities) -> None:
        with pytest.raises(ModalityError, match=r"\['txt'\].*Did you mean 'text'"):
            data["txt"]

    def test_rows_out_of_range(self, data: Modalities) -> None:
        with pytest.raises(IndexError, match="4 rows"):
            data[[7]]
        with pytest.raises(ModalityError, match="mask"):
            data[np.array([True])]
        with pytest.raises(ModalityError, match="chosen by"):
            data[[0.5]]

    def test_select_drop_assign_without(self, data: Modalities) -> None:
        assert data.drop("text").names == ("image",)
        assert data.assign({"more": np.ones(4)}).names == ("image", "text", "more")
        assert data.without("image", [0])["image"].present.tolist() == [False, True, True, True]
        assert data["image"].present.all(), "the original is not changed"

    def test_values_refuses_missing(self, data: Modalities) -> None:
        with pytest.raises(ModalityError, match="1 missing"):
            data["text"].values()

    def test_dict_of_it(self, data: Modalities) -> None:
        assert list(dict(data)) == ["image", "text"]

    def test_used_gives_each_value_once_and_rows_their_place_in_it(self) -> None:
        column = Modality(np.arange(6.0).reshape(6, 1), np.array([4, -1, 1, 4]))
        used, index = column.used()
        assert used.tolist() == [1, 4]
        assert index.tolist() == [1, -1, 0, 1]

    def test_used_of_nothing_is_nothing(self) -> None:
        used, index = Modality(np.zeros((3, 1)), np.array([-1, -1])).used()
        assert used.tolist() == []
        assert index.tolist() == [-1, -1]

    def test_compact_forgets_unused_values(self, data: Modalities) -> None:
        small = data["image"][[3, 3]].compact()
        assert len(small.store) == 1
        assert small.values().tolist() == [[6, 7], [6, 7]]

    @settings(derandomize=True, deadline=None, max_examples=30)
    @given(st.lists(st.integers(0, 5), min_size=1), st.data())
    def test_slicing_composes(self, rows, draw) -> None:
        data = Modalities({"a": np.arange(6.0), "t": list("uvwxyz")})
        more = draw.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1))
        twice, once = data[rows][more], data[np.array(rows)[more]]
        assert twice["a"].values().tolist() == once["a"].values().tolist()
        assert twice.ids.tolist() == once.ids.tolist()


class TestJoin:
    def test_five_captions_share_one_picture(self) -> None:
        data = Modalities.join(
            {"image": np.eye(2), "text": ["a", "b", "c"]}, on={"image": ["p", "q"], "text": ["p", "p", "q"]}
        )
        assert data["image"].index.tolist() == [0, 0, 1]
        assert data.ids.tolist() == ["p", "p", "q"]

    def test_outer_keeps_unpaired_rows_and_inner_does_not(self) -> None:
        columns, keys = {"a": np.zeros(2), "b": np.zeros(2)}, {"a": [1, 2], "b": [2, 3]}
        outer = Modalities.join(columns, on=keys)
        assert outer.ids.tolist() == [1, 2, 3]
        assert {n: p.tolist() for n, p in outer.present.items()} == {
            "a": [True, True, False],
            "b": [False, True, True],
        }
        assert Modalities.join(columns, on=keys, how="inner").ids.tolist() == [2]

    def test_keys_that_repeat_differently_are_named(self) -> None:
        with pytest.raises(ModalityError, match="key 'p'"):
            Modalities.join({"a": np.zeros(2), "b": np.zeros(3)}, on={"a": ["p", "p"], "b": ["p", "p", "p"]})

    def test_keys_for_every_modality(self) -> None:
        with pytest.raises(ModalityError, match="keys for every modality"):
            Modalities.join({"a": np.zeros(2)}, on={})


class TestConcat:
    def test_slices_share_their_store(self, data: Modalities) -> None:
        again = Modalities.concat([data[:1], data[1:]])
        assert again["image"].store is data["image"].store
        assert again["text"].index.tolist() == data["text"].index.tolist()

    def test_a_modality_that_a_part_lacks_is_missing(self, data: Modalities) -> None:
        both = Modalities.concat([data.select("image"), Modalities({"text": ["c"]})])
        assert both["text"].present.tolist() == [False] * 4 + [True]

    def test_stores_of_every_kind(self) -> None:
        parts = [
            Modalities(
                {"v": np.zeros((1, 2)), "s": Ragged.of([[[i]]]), "t": [str(i)], "f": Files([f"{i}.png"])}
            )
            for i in range(2)
        ]
        both = Modalities.concat(parts)
        assert len(both) == 2
        assert both["t"].values() == ["0", "1"]
        assert both["s"].store[1].tolist() == [[1]]

    def test_shapes_must_agree(self) -> None:
        with pytest.raises(ModalityError, match="'v'.*one kind and shape"):
            Modalities.concat([Modalities({"v": np.zeros((1, 2))}), Modalities({"v": np.zeros((1, 3))})])


class TestIdentity:
    def test_equal_values_share_a_number(self) -> None:
        data = Modalities(
            {"x": np.array([[1.0], [2.0], [1.0]]), "t": ["a", None, "a"], "s": Ragged.of([[1], [1, 2], [1]])}
        )
        assert data["x"].identity.tolist() == [0, 1, 0]
        assert data["t"].identity.tolist() == [0, -1, 0]
        assert data["s"].identity.tolist() == [0, 1, 0]


class TestScikitLearn:
    class Model(BaseEstimator):
        def __init__(self, k=1):
            self.k = k

        def fit(self, data, y=None):
            assert isinstance(data, Modalities)
            self.n_ = len(data)
            return self

        def transform(self, data):
            return data

        def score(self, data, y=None):
            return float(self.k)

    def test_splits_search_pipeline_clone(self) -> None:
        data = Modalities({"a": np.arange(20.0), "t": ["x"] * 20})
        train, test, y_train, _ = train_test_split(data, np.arange(20), random_state=0)
        assert train["a"].values()[:, 0].tolist() == y_train.tolist()
        assert len(test) == 5
        assert GridSearchCV(self.Model(), {"k": [1, 3]}, cv=2).fit(data).best_params_ == {"k": 3}
        assert cross_val_score(
            self.Model(), data, cv=GroupKFold(2), groups=data["t"].identity + np.arange(20)
        ).tolist() == [1, 1]
        assert (
            len(Pipeline([("a", self.Model()), ("b", clone(self.Model()))]).fit(data).transform(data)) == 20
        )


def test_texts_in_an_arrow_column() -> None:
    import pyarrow as pa

    texts = Texts(pa.chunked_array([["a", "b"], ["c"]]))
    assert len(texts) == 3
    assert texts[2] == "c"
    assert texts[[2, 0]] == ["c", "a"]
    assert list(texts) == ["a", "b", "c"]


def test_repr_says_what_it_is(data: Modalities) -> None:
    assert repr(data) == "Modalities(4 rows; image: vector 2; text: text, 1 missing)"

"""Arrow columns as stores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from polymodal.datasets.readers_values import lists_column, metadata_column, numbers_column, texts_column


def test_metadata_keeps_types() -> None:
    assert metadata_column(pa.chunked_array([[1, 2]])).dtype.kind == "i"
    assert np.isnan(metadata_column(pa.chunked_array([[1, None]]))[1])
    assert metadata_column(pa.chunked_array([["a", None]])).tolist() == ["a", ""]
    assert metadata_column(pa.chunked_array([[["a", "b"], []]])).tolist() == ["a, b", ""]
    assert metadata_column(pa.chunked_array([[True, False]])).tolist() == [True, False]
    assert metadata_column(pa.chunked_array([["x" * 100]])).dtype == object


def test_a_row_without_any_number_lacks_the_modality() -> None:
    columns = {"a": pa.chunked_array([[1.0, None, 3.0]]), "b": pa.chunked_array([[1, None, 2]])}
    assert numbers_column("t", columns, where="t").present.tolist() == [True, False, True]


def test_texts_join_and_spaces_are_empty() -> None:
    column = texts_column(
        [pa.chunked_array([["a ", "  ", None]]), pa.chunked_array([[["x", "y"], [], None]])]
    )
    assert column.present.tolist() == [True, False, False]
    assert column.observed() == ["a x y"]


def test_lists_of_one_length_are_vectors_without_a_copy_per_row() -> None:
    column = lists_column("x", pa.chunked_array([[[1, 2]], [[3, 4]]]), "raise")
    assert column.kind == "vector"
    assert column.values().tolist() == [[1, 2], [3, 4]]

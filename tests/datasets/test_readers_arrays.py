"""The parts that `write` adds to an NPZ; the rest is in test_readers.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.core.errors import DataError
from polymodal.datasets.readers_arrays import read_arrays


def test_parts(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        **{"text.utf8": np.frombuffer("aüb".encode(), np.uint8), "text.offsets": np.array([0, 3, 4])},
        **{
            "text.index": np.array([1, -1, 0]),
            "line": np.arange(3.0),
            "line.offsets": np.array([0, 1, 1, 3]),
        },
    )
    d = read_arrays(tmp_path / "a.npz").data
    assert d["text"].observed() == ["b", "aü"]
    assert d["line"].store.lengths.tolist() == [1, 0, 2]


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"line": np.arange(3.0), "line.offsets": np.array([0, 9])})
    with pytest.raises(DataError, match="'line' do not fit together"):
        read_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **{"line.offsets": np.array([0, 9])})
    with pytest.raises(DataError, match="'line' but not its values"):
        read_arrays(tmp_path / "a.npz")

from __future__ import annotations

import numpy as np
import pytest

from polymodal.datasets.cache import cache_folder, recall, remember

ARRAYS = {"x": np.arange(5), "y": np.ones((2, 3), np.float32)}


def test_what_is_remembered_is_recalled():
    assert recall("things", "key") is None
    assert remember("things", "key", ARRAYS)
    found = recall("things", "key")
    assert set(found) == {"x", "y"}
    np.testing.assert_array_equal(found["y"], ARRAYS["y"])
    assert recall("things", "other key") is None
    assert [p.suffix for p in cache_folder().iterdir()] == [".npz"]


@pytest.mark.parametrize(
    "break_it", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no zip at all" * 9]
)
def test_a_broken_file_is_as_none(break_it):
    remember("things", "key", ARRAYS)
    (path,) = cache_folder().iterdir()
    path.write_bytes(break_it(path.read_bytes()))
    assert recall("things", "key") is None


def test_pickles_are_never_read():
    remember("things", "key", ARRAYS)
    (path,) = cache_folder().iterdir()
    with path.open("wb") as file:
        np.savez(file, x=np.array([{"a": 1}], dtype=object))
    assert recall("things", "key") is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "file" / "below"))
    assert not remember("things", "key", ARRAYS)
    assert recall("things", "key") is None


def test_platform_folders(monkeypatch, tmp_path):
    monkeypatch.delenv("POLYMODAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "polymodal"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "polymodal")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_folder() == tmp_path / "polymodal" / "Cache"

"""Whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polymodal.core.atomic import atomic_file, atomic_folder, recover
from polymodal.core.errors import StoreError


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "m") as temporary:
        (temporary / "x").write_text("old")
    with pytest.raises(StoreError, match="No space"), atomic_folder(tmp_path / "m") as temporary:
        (temporary / "x").write_text("half")
        raise OSError(28, "No space left on device")
    assert (tmp_path / "m" / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["m"]


def test_a_folder_is_replaced_as_one(tmp_path: Path) -> None:
    for content in ("a", "b"):
        with atomic_folder(tmp_path / "m") as temporary:
            (temporary / content).write_text(content)
    assert os.listdir(tmp_path / "m") == ["b"]


def test_recover_puts_back_only_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / ".m.previous").mkdir()
    recover(tmp_path / "m")
    assert (tmp_path / "m").is_dir()
    (tmp_path / ".m.previous").mkdir()
    recover(tmp_path / "m")
    assert (tmp_path / ".m.previous").is_dir()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Cannot write"), atomic_folder(tmp_path / "file" / "m"):
        pass
    with pytest.raises(StoreError, match="Cannot write"), atomic_file(tmp_path / "nowhere" / "a.txt"):
        pass

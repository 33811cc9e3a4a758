"""Which table of a folder is read; the rest is in test_readers.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from polymodal.core.errors import DataError
from polymodal.datasets.readers_folders import read_folder


def test_the_table_that_names_files_is_taken(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("file,text\na.png,one two\n")
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    assert "captions.csv" in read_folder(tmp_path).where


def test_files_that_no_row_names_are_counted(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (2, 2)).save(tmp_path / f"{name}.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,one\n")
    assert any("1 of 2" in note for note in read_folder(tmp_path).notes)


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(DataError, match=r"got 1 files of \['\.doc'\]"):
        read_folder(tmp_path)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        Image.new("RGB", (2, 2)).save(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match="two image files of one name"):
        read_folder(tmp_path)

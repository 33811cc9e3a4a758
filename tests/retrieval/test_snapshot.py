"""Snapshots hold what the table holds, appear whole, and are made again when they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.retrieval import DiskIndex, Layout, snapshot


@pytest.fixture
def index(tmp_path: Path) -> DiskIndex:
    made = DiskIndex.create(tmp_path / "index", Layout(3, "dot", ids="int"))
    for i in range(6):
        made.add("ab"[i % 2], [i], np.full((1, 3), i))
    return made


def test_mapped_and_in_the_order_written(index: DiskIndex) -> None:
    shelves, place = snapshot.take(index.folder, index._table, index.layout)
    assert place is not None
    assert sorted(p.name for p in place.iterdir()) == [
        "0.arrow", "0.vectors", "1.arrow", "1.vectors", "manifest.json",
    ]  # fmt: skip
    assert isinstance(shelves["a"].vectors, np.memmap)
    assert shelves["a"].vectors[:, 0].tolist() == [0, 2, 4]
    assert shelves["b"].table["id"].to_pylist() == [1, 3, 5]


def test_rows_that_come_in_another_order_are_put_right(
    index: DiskIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards = snapshot.scan
    monkeypatch.setattr(snapshot, "scan", lambda *a: reversed(list(forwards(*a))))
    for make in (
        lambda: snapshot.take(index.folder, index._table, index.layout)[0],
        lambda: snapshot._in_memory(index._table, index.layout),
    ):
        shelf = make()["b"]
        assert shelf.vectors[:, 0].tolist() == shelf.table["id"].to_pylist() == [1, 3, 5]


@pytest.mark.parametrize("file", ["manifest.json", "0.vectors", "1.arrow"])
def test_a_damaged_snapshot_is_made_again(index: DiskIndex, file: str) -> None:
    _, place = snapshot.take(index.folder, index._table, index.layout)
    assert place is not None
    whole = (place / file).read_bytes()
    (place / file).write_bytes(whole[: len(whole) // 2])
    assert DiskIndex.open(index.folder).search(np.ones((1, 3)), 9).ids.tolist() == [[5, 4, 3, 2, 1, 0]]
    assert (place / file).read_bytes() == whole


def test_what_a_killed_process_left_is_swept(index: DiskIndex) -> None:
    (index.folder / "cache" / ".7.left").mkdir(parents=True)
    _, place = snapshot.take(index.folder, index._table, index.layout)
    assert [p for p in (index.folder / "cache").iterdir() if p.is_dir()] == [place]

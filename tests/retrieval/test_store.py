"""The index on disk: it survives kills, full disks, other processes, and tells what is wrong with a folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from polymodal.core.errors import ModalityError, StoreError
from polymodal.retrieval import DiskIndex, Layout

PRELUDE = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np
from polymodal.retrieval import DiskIndex, Layout
folder = sys.argv[1]
index = DiskIndex.open(folder)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def index(tmp_path: Path) -> DiskIndex:
    made = DiskIndex.create(tmp_path / "index", Layout(4, ids="int", metadata={"batch": "int"}))
    made.add("image", np.arange(4), np.eye(4), {"batch": [0, 0, 1, 1]})
    return made


def test_what_is_written_is_there_for_the_next_process(index: DiskIndex) -> None:
    again = DiskIndex.open(index.folder)
    assert again.layout == index.layout
    assert again.search([[0, 0, 1, 0]], k=1, where="batch = 1").ids.tolist() == [[2]]
    assert "4 vectors" in repr(again)
    child = start("print(index.search(np.eye(4)[:1], k=1).ids, index.modalities)", index.folder)
    assert child.communicate()[0].split() == ["[[0]]", "('image',)"]


@pytest.mark.slow
def test_a_change_by_another_process_is_seen_at_once(index: DiskIndex) -> None:
    assert index.search([[1, 1, 1, 1]]).ids.shape == (1, 4)
    child = start(
        "index.update('image', [0], [[-1, 0, 0, 0]]); index.add('text', [9], [[1, 1, 1, 1]])", index.folder
    )
    assert child.communicate() == ("", "")
    hits = index.search([[1, 1, 1, 1]])
    assert hits.ids[0, 0] == 9
    assert index.search([[1, 0, 0, 0]], target="image").ids[0, -1] == 0  # no stale vector


@pytest.mark.slow
def test_two_writers_lose_nothing(index: DiskIndex) -> None:
    code = """
    start = int(sys.argv[2])
    for i in range(start, start + 4):
        index.add("image", [i], np.random.default_rng(i).normal(size=(1, 4)), {"batch": [i]})
        index.update("text", [1], np.eye(4)[:1] * i + 1)
    """
    writers = [start(code, index.folder, first) for first in (100, 200)]
    for writer in writers:
        assert writer.communicate() == ("", "")
    assert sorted(index.search(np.eye(4)[:1], 99, target="image").ids[0]) == sorted(
        [*range(4), *range(100, 104), *range(200, 204)]
    )
    assert len(index.vectors(1)["text"]) == 1


@pytest.mark.slow
def test_a_writer_that_does_not_let_go_is_named(index: DiskIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polymodal.retrieval.lance.LOCK_SECONDS", 0.1)
    code = """
    from pathlib import Path
    from polymodal.retrieval.lance import locked
    with locked(Path(folder), ".lock"):
        print("held", flush=True)
        sys.stdin.read()
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(index.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match="Another process is writing"):
        index.add("image", [7], np.ones((1, 4)))
    holder.kill()  # the system lets go of a dead process's lock
    holder.communicate()
    index.add("image", [7], np.ones((1, 4)))


@pytest.mark.slow
def test_a_kill_in_the_middle_of_appending_leaves_whole_commits(index: DiskIndex) -> None:
    code = """
    i = int(sys.argv[2])
    print("go", flush=True)
    while True:
        index.add("image", np.arange(i, i + 5), np.full((5, 4), float(i)), {"batch": [i] * 5})
        print(i, flush=True)
        i += 5
    """
    first = 1000
    for delay in (0.03, 0.08):
        writer = start(code, index.folder, first)
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        told = [int(line) for line in writer.communicate()[0].split()]
        found = DiskIndex.open(index.folder)
        ids = found.search(np.ones((1, 4)), 10_000).ids[0]
        assert len(ids) == len(set(ids)) == len(found)
        written = sorted(i for i in ids if i >= first)
        assert len(written) % 5 == 0  # a commit is there whole or not at all
        assert set(told) <= set(written)  # what was reported is there
        first = max([first - 5, *ids]) + 1000
    found.add("image", [5], np.ones((1, 4)))
    assert found.delete([5]) == 1


@pytest.mark.slow
def test_a_kill_while_the_approximate_index_is_built(index: DiskIndex, rng: np.random.Generator) -> None:
    index.add("text", np.arange(3000), rng.normal(size=(3000, 4)))
    code = """
    print("go", flush=True)
    index.build_approximate("hnsw")
    print("done", flush=True)
    """
    for delay in (0.0, 0.05):
        builder = start(code, index.folder)
        builder.stdout.readline()
        time.sleep(delay)
        builder.send_signal(signal.SIGKILL)
        builder.communicate()
        found = DiskIndex.open(index.folder)
        assert found.search(np.ones((1, 4)), 3, exact=True).recall == 1
        assert len(found) == 3004
    assert found.build_approximate("hnsw", min_recall=0.9)["text"].recall >= 0.9


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_changes_nothing(index: DiskIndex) -> None:
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    from polymodal.core.errors import StoreError
    try:
        index.add("image", np.arange(10, 20010), np.ones((20000, 4)))
    except StoreError as error:
        print(error)
    """
    writer = start(code, index.folder)
    out, err = writer.communicate()
    assert "disk is full" in out, err
    assert str(index.folder) in out
    assert len(DiskIndex.open(index.folder)) == 4


def test_a_cache_that_cannot_be_written_does_not_stop_a_search(index: DiskIndex) -> None:
    (index.folder / "cache").write_text("in the way")
    assert index.search([[0, 1, 0, 0]], k=1).ids.tolist() == [[1]]
    index.build_approximate("ivf")
    assert index.search([[0, 1, 0, 0]], k=1).ids.tolist() == [[1]]


def test_folders_that_are_no_index_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no index at .*none"):
        DiskIndex.open(tmp_path / "none")
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(StoreError, match=r"not an index.*thesis\.txt"):
        DiskIndex.open(tmp_path)
    with pytest.raises(StoreError, match="left as it is"):
        DiskIndex.create(tmp_path, Layout(2))
    with pytest.raises(StoreError, match="left as it is"):
        DiskIndex.create(tmp_path / "thesis.txt", Layout(2))
    with pytest.raises(StoreError, match="Cannot create"):
        DiskIndex.create(tmp_path / "thesis.txt" / "index", Layout(2))
    (tmp_path / "f" / "entries.lance").mkdir(parents=True)
    with pytest.raises(StoreError, match="Cannot open the index"):
        DiskIndex.open(tmp_path / "f")
    with pytest.raises(StoreError, match=r"DiskIndex\.open"):
        DiskIndex.create(tmp_path / "f", Layout(2))


def test_a_table_of_another_program_is_named(tmp_path: Path) -> None:
    import lancedb
    import pyarrow as pa

    lancedb.connect(tmp_path).create_table("entries", pa.table({"a": [1]}))
    with pytest.raises(StoreError, match="another program"):
        DiskIndex.open(tmp_path)


def test_truncated_folders_are_named(index: DiskIndex) -> None:
    index.search(np.eye(4))
    table = index.folder / "entries.lance"
    for part in ("data", "_versions"):
        copy = index.folder.parent / part
        shutil.copytree(index.folder, copy)
        shutil.rmtree(copy / "cache")
        for file in (copy / table.name / part).iterdir():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(StoreError, match=f"the index .*{part}"):
            DiskIndex.open(copy).search(np.eye(4))
        shutil.rmtree(copy)
    shutil.rmtree(table / "data")
    shutil.rmtree(index.folder / "cache")
    with pytest.raises(StoreError, match="restore a copy or build the index again"):
        DiskIndex.open(index.folder).search(np.eye(4))


def test_approximate_is_kept_beside_and_follows_changes(index: DiskIndex, rng: np.random.Generator) -> None:
    assert index.build_approximate()["image"].kind == "exact"
    vectors = rng.normal(size=(3000, 4))
    index.add("text", np.arange(3000), vectors)
    built = index.build_approximate("ivf", min_recall=0.9)["text"]
    assert (built.kind, built.n) == ("ivf", 3000)
    again = DiskIndex.open(index.folder)
    assert again.search(vectors[:2], target="text").recall == built.recall
    file = next((index.folder / "cache").glob("*/1-*.faiss"))
    file.write_bytes(b"")
    assert DiskIndex.open(index.folder).search(vectors[:2], target="text").recall == built.recall
    index.add("text", [5000], [[9, 9, 9, 9]])
    hits = again.search([[9, 9, 9, 9]], k=1, target="text")
    assert hits.ids.tolist() == [[5000]]
    assert len(list((index.folder / "cache").glob("[0-9]*"))) == 1  # the stale one is gone
    index.build_approximate("exact")
    assert index.search(vectors[:2], target="text").recall == 1
    (index.folder / "approximate.json").write_text("{")
    with pytest.raises(StoreError, match=r"approximate\.json is damaged"):
        DiskIndex.open(index.folder).search(vectors[:2])


def test_compacting_changes_nothing(index: DiskIndex) -> None:
    for i in range(10, 14):
        index.add("image", [i], np.ones((1, 4)) * i)
    index.delete([11])
    before = index.search(np.eye(4), 9).ids.tolist()
    index.compact()
    assert index.search(np.eye(4), 9).ids.tolist() == before


def test_many_small_commits_are_merged(index: DiskIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polymodal.retrieval.store.SMALL_FILES", 3)
    for i in range(10, 19):
        index.add("image", [i], np.ones((1, 4)), {"batch": [i]})
    assert index._table.stats()["fragment_stats"]["num_fragments"] <= 4
    assert index.search(np.ones((1, 4)), 9).ids.tolist() == [[*range(10, 19)]]


def test_keys_that_need_quoting(tmp_path: Path) -> None:
    made = DiskIndex.create(tmp_path / "index", Layout(2))
    odd = ["o'clock", 'a "quote"', "line\nbreak", "back\\slash", "ω", "'; DROP TABLE entries; --", ""]
    made.add("it's", odd, np.ones((7, 2)))
    made.update("it's", odd, -np.ones((7, 2)))
    assert len(made) == 7
    assert list(made.vectors("o'clock")) == ["it's"]
    with pytest.raises(ModalityError, match="already"):
        made.add("it's", odd[:1], np.ones((1, 2)))
    assert made.delete(odd) == 7
    assert len(made) == made.delete([]) == 0
    assert made.search([[1, 1]]).ids.shape == (1, 0)


def test_nothing_is_pickled(index: DiskIndex) -> None:
    index.build_approximate("ivf")
    for file in index.folder.rglob("*"):
        if file.is_file():
            assert file.suffix in {
                ".lance",
                ".manifest",
                ".txn",
                ".arrow",
                ".vectors",
                ".json",
                ".faiss",
                ".lock",
                "",
            }


def test_lancedb_is_imported_late() -> None:
    code = "import sys, polymodal.retrieval.retriever; print([m for m in ('lancedb', 'faiss', 'torch') if m in sys.modules])"
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert out.stdout.strip() == "[]"

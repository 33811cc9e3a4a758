"""The demo from end to end on one script, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polymodal.commands.demo import BOTH, MARK, DemoResult, demo, fusion_rows, retrieval_rows
from polymodal.core.errors import StoreError
from polymodal.persistence import load
from polymodal.retrieval import DiskIndex, Retriever

SCRIPTS = ("hebrew", "currency")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return demo(tmp_path_factory.mktemp("demo") / "out", epochs=2, scripts=SCRIPTS, progress=False)


def test_everything_is_on_disk(result: DemoResult) -> None:
    assert {p.name for p in result.folder.iterdir()} == {MARK, "model", "index", "report.html"}
    numbers = json.loads((result.folder / MARK).read_text("utf-8"))
    assert numbers["retrieval"]["scores"]
    assert numbers == json.loads(json.dumps(result.to_dict()))


def test_the_saved_model_and_index_answer(result: DemoResult) -> None:
    hits = Retriever(load(result.model), DiskIndex.open(result.index)).search(
        {"name": "hebrew letter alef"}, k=3, target="name"
    )
    assert hits.metadata["name"][0, 0] == "hebrew letter alef"


def test_training_never_saw_what_is_measured(result: DemoResult) -> None:
    from polymodal.datasets import held_out_characters, load_glyphs

    glyphs = load_glyphs(scripts=SCRIPTS)
    held_out = len(np.unique(glyphs["codepoint"])) // 8
    train, test = held_out_characters(glyphs, test_size=held_out, random_state=0)
    assert not set(train["codepoint"]) & set(test["codepoint"])
    assert result.retrieval["name", "picture"].n_queries == held_out


def test_tables(result: DemoResult) -> None:
    pairs = [row[0] for row in retrieval_rows(result.retrieval)]
    assert f"name -> {BOTH}" in pairs
    assert f"picture -> {BOTH}" not in pairs, "what holds the query is no answer to it"
    told = {(row.learned_from, row.asked_with) for row in result.fusion}
    names = ("picture", "outline", "name")
    assert told == {
        *(((n,), (n,)) for n in names),
        (names, names),
        *((names, tuple(m for m in names if m != n)) for n in names),
    }
    assert len(fusion_rows(result.fusion)) == 7


def test_five_answers(result: DemoResult) -> None:
    assert len(result.answers) == 5
    for answer in result.answers:
        assert answer.found
        assert len(answer.found) == len(answer.names) == len(answer.scores)
        assert list(answer.scores) == sorted(answer.scores, reverse=True)


def test_a_second_demo_takes_over_the_folder(result: DemoResult) -> None:
    (result.folder / "note.txt").write_text("mine")
    again = demo(result.folder, epochs=2, scripts=SCRIPTS, progress=False)
    assert again.retrieval.to_dict() == result.retrieval.to_dict(), "the same seed gives the same result"
    assert (result.folder / "note.txt").read_text() == "mine"
    (result.folder / "note.txt").unlink()


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="not made by the demo"):
        demo(tmp_path, scripts=SCRIPTS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]

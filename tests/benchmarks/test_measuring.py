from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = """
from measuring import best_of, command_line, contend, difference, interpreter, present, row

def contender(who, work, sizes):
    if who == "missing":
        import a_package_that_nobody_has
    if who == "failing":
        raise ValueError(f"no {work} for {sizes[0]}")
    found = best_of(lambda: bytearray(sizes[0] << 20), repeats=2)
    return found.figures() | {"answer": len(found.answer) + (who == "peer"), "sizes_are": type(sizes).__name__}

def run(works=(("bytes", (8, 1)), ("more", (16, 1)))):
    return [
        row(
            work=name,
            ours=present(contend(__file__, "ours", name, sizes)),
            peer_name="a peer",
            peer=contend(__file__, "missing", name, sizes, python=interpreter()),
            agreement=difference("answer"),
        )
        for name, sizes in works
    ]

if __name__ == "__main__":
    command_line(run, contender, (("bytes", (8, 1)), ("more", (16, 1))))
"""


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    return importlib.import_module("measuring")


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "bench_nothing.py"
    file.write_text(SCRIPT, encoding="utf-8")
    return str(file)


def test_a_contender_measures_itself(measuring: Any, script: str) -> None:
    found = measuring.contend(script, "ours", "bytes", (64, 1))
    assert found["answer"] == 64 << 20
    assert found["sizes_are"] == "tuple"
    assert 0 <= found["seconds"] < 5
    assert 60 < found["mib"] < 100  # one array at a time, though it ran twice


def test_who_has_no_figures_says_why(measuring: Any, script: str) -> None:
    assert measuring.contend(script, "missing", "bytes", (1,)) == measuring.Absent("not installed")
    failed = measuring.contend(script, "failing", "bytes", (3,))
    assert failed.reason == "ValueError: no bytes for 3"
    nowhere = measuring.contend(script, "ours", "bytes", (1,), python="/no/such/python")
    assert nowhere.reason == "no interpreter at /no/such/python"
    late = measuring.contend(script, "ours", "bytes", (1,), limit=1e-3)
    assert late.reason == "took over 0.001 s"
    with pytest.raises(RuntimeError, match="no bytes for 3"):
        measuring.present(failed)


def test_the_interpreter_of_peers(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYMODAL_BENCH_PYTHON", raising=False)
    assert measuring.interpreter() == sys.executable
    monkeypatch.setenv("POLYMODAL_BENCH_PYTHON", "/elsewhere/python")
    assert measuring.interpreter() == "/elsewhere/python"


def test_best_of_stops_when_it_took_enough(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 5.0, 10.0, 14.0, 20.0, 23.0])
    monkeypatch.setattr(measuring.time, "process_time", lambda: next(times))
    found = measuring.best_of(lambda: "made", repeats=5, enough=8.0)
    assert (found.seconds, found.answer) == (
        4.0,
        "made",
    )  # runs of 5 and 4; the third would have been the best
    assert next(times) == 20.0


def test_a_row_of_both(measuring: Any) -> None:
    ours = {"seconds": 2.0, "mib": 10.0, "parts": [1.0, 2.0]}
    peer = {"seconds": 5.0, "mib": 30.0, "parts": [1.5, 4.0], "version": "1.2"}
    found = measuring.row(
        work="w", ours=ours, peer_name="p", peer=peer, agreement=measuring.difference("parts")
    )
    assert tuple(found) == measuring.COLUMNS
    assert list(found.values()) == ["w", 2.0, "p 1.2", 5.0, 2.5, 10.0, 30.0, 2.0]
    relative = measuring.difference("parts", relative=True)
    assert relative(ours, peer) == 0.5
    assert measuring.difference("seconds")(ours, peer) == 3.0


def test_a_row_without_the_peer(measuring: Any) -> None:
    ours = {"seconds": 2.0, "mib": 10.0}
    rows = [
        measuring.row(
            work="w",
            ours=ours,
            peer_name=name,
            peer=measuring.Absent(why),
            agreement=measuring.difference("a"),
        )
        for name, why in (("p", "not installed"), ("", ""))
    ]
    assert list(rows[0].values()) == ["w", 2.0, "p: not installed", None, None, 10.0, None, None]
    assert rows[1]["peer"] == ""
    assert measuring.table(rows, ("work", "peer", "peer_s", "ours_s")) == (
        "| work | peer | peer_s | ours_s |\n|---|---|---|---|\n| w | p: not installed | – | 2 |\n| w |  | – | 2 |"
    )


def test_the_script_prints_its_table_or_one_work(
    measuring: Any, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "bench_nothing", "__file__": script}
    exec(SCRIPT, names)  # the file's functions, in this process
    works = (("bytes", (8, 1)), ("more", (16, 1)))
    for arguments, expected in (([], ["bytes", "more"]), (["mine", "[1, 1]"], ["mine"])):
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        measuring.command_line(names["run"], names["contender"], works)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "| " + " | ".join(measuring.COLUMNS) + " |"
        assert [line.split(" | ")[0][2:] for line in lines[2:]] == expected
        assert all("a peer: not installed" in line for line in lines[2:])
    monkeypatch.setattr(sys, "argv", [script, "--contender", json.dumps(["peer", "mine", [1, 1]])])
    measuring.command_line(names["run"], names["contender"], works)
    assert json.loads(capsys.readouterr().out)["answer"] == (1 << 20) + 1


def test_every_benchmark_is_in_the_table_of_all(measuring: Any) -> None:
    del measuring
    parts = {file.stem.removeprefix("bench_") for file in BENCHMARKS.glob("bench_*.py")}
    listed = set(importlib.import_module("run").PARTS)
    assert listed == parts, (
        f"PARTS of benchmarks/run.py: lacks {parts - listed}, has no file for {listed - parts}"
    )


def test_measuring_is_written_once() -> None:
    for file in BENCHMARKS.glob("bench_*.py"):
        found = re.search(r"clear_refs|ru_maxrss|--contender|ONE_THREAD", file.read_text("utf-8"))
        assert found is None or file.stem in ("bench_demo", "bench_import_time"), f"{file.name}: {found}"

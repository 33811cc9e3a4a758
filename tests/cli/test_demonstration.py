"""How the demo is told; the demo itself is tested with the commands."""

from __future__ import annotations

from types import SimpleNamespace

from polymodal.cli.demonstration import run_demo
from polymodal.commands import demo as module


def result():
    return SimpleNamespace(
        retrieval=None,
        fusion=(),
        answers=(SimpleNamespace(query="a text", names=("one", "two"), scores=(0.9, 0.8)),),
        report="demo/report.html",
        next_commands=("polymodal methods",),
    )


def test_parts_go_to_stderr_and_results_to_stdout(capsys, monkeypatch) -> None:
    def fake(folder, *, scripts, random_state, say):
        say("Training")
        return result()

    monkeypatch.setattr(module, "demo", fake)
    monkeypatch.setattr(module, "retrieval_rows", lambda _: [("name -> picture", "0.5", "0.8", "0.9", "1")])
    monkeypatch.setattr(module, "fusion_rows", lambda _: [("all", "all", "0.9")])
    run_demo("demo", epochs=None, scripts=None, seed=0, quiet=False)
    written = capsys.readouterr()
    assert written.err == "Training\n"
    for part in ("name -> picture", "a text", "0.90  one", "demo/report.html", "polymodal methods"):
        assert part in written.out
    run_demo("demo", epochs=None, scripts=None, seed=0, quiet=True)
    assert capsys.readouterr().out == ""

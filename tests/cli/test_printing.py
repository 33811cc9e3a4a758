"""Tables and lines."""

from __future__ import annotations

from polymodal.cli.printing import command, line, notes, table


def test_tables_hold_their_cells_even_with_markup_in_them(capsys) -> None:
    table(("name", "score"), [("[red]x[/red]", 0.5), ("b", "-1")])
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "score" in out


def test_commands_are_quoted(capsys) -> None:
    assert command("fit", "my data", "-o", "m") == "polymodal fit 'my data' -o m"
    line("x")
    notes(["y"])
    assert capsys.readouterr().out == "x\n  y\n"

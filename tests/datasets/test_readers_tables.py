"""Tables as Arrow; the bad files are in test_readers.py."""

from __future__ import annotations

from polymodal.datasets.readers_tables import read_table


def test_csv_keeps_commas_and_lines_in_quotes(tmp_path) -> None:
    (tmp_path / "a.csv").write_text('text,n\n"one, two\nthree",1\nNA,2\n')
    table = read_table(tmp_path / "a.csv")
    assert table["text"].to_pylist() == ["one, two\nthree", None]


def test_jsonl_rows_may_lack_keys(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text('\ufeff{"a": 1}\n\n{"b": "x"}\n', encoding="utf-8")
    assert read_table(tmp_path / "a.jsonl").to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]

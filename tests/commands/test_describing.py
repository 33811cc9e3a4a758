"""`describe` of data on disk."""

from __future__ import annotations

from polymodal.commands import Source, describe_data


def test_what_was_understood(shapes) -> None:
    d = describe_data(Source(shapes))
    assert d.rows == 60
    assert {m.name: m.kind for m in d.modalities} == {"image": "grid", "text": "text", "table": "vector"}
    assert {m.name for m in d.metadata} == {"shape", "split"}
    assert "column 'file_name'" in str(d)

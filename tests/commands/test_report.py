"""One page that holds everything, and believes nothing it is given."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from polymodal.commands.report import Report, png_of
from polymodal.core.errors import StoreError


@pytest.fixture
def report() -> Report:
    report = Report("Glyphs & <names>", "A lead.")
    report.heading("Part")
    report.paragraph('He said "<script>alert(1)</script>"')
    report.table(["name", "value"], [["<b>", 1.5]])
    report.code("polymodal search --text 'a < b'")
    return report


def test_texts_cannot_become_markup(report: Report) -> None:
    page = str(report)
    assert "<script>" not in page
    assert "<td>&lt;b&gt;</td>" in page
    assert "Glyphs &amp; &lt;names&gt;" in page


def test_pictures_are_held_in_the_page(report: Report, tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2])
    png = png_of(figure)
    report.figure(png, "two points")
    page = report.write(tmp_path / "report.html").read_text("utf-8")
    held = re.search(r"data:image/png;base64,([^\"]+)", page)
    assert held is not None
    assert base64.b64decode(held.group(1)) == png
    assert not re.search(r"(src|href)=\"(?!data:)", page), "nothing is fetched from elsewhere"
    assert not plt.get_fignums(), "the figure is closed"


def test_every_tag_is_closed(report: Report) -> None:
    open_tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs) -> None:
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag) -> None:
            assert open_tags.pop() == tag

    Tags().feed(str(report))
    assert not open_tags


def test_a_place_that_cannot_be_written(report: Report, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot write"):
        report.write(tmp_path / "nowhere" / "report.html")

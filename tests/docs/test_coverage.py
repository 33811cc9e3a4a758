"""docs/coverage.md names every capability, and what it says of each is true."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from polymodal.testing import public_packages

ROOT = Path(__file__).parents[2]
ROWS = {"F": 19, "C": 14, "S": 9, "A": 9, "I": 5, "R": 8}
PACKAGES = public_packages()


def table() -> dict[str, list[str]]:
    lines = (ROOT / "docs" / "coverage.md").read_text("utf-8").splitlines()
    cells = [
        [c.strip() for c in line.strip("|").split("|")] for line in lines if re.match(r"\| [FCSAIR]\d", line)
    ]
    return {row[0]: row[1:] for row in cells}


def test_every_row_stands_once() -> None:
    expected = [f"{letter}{i}" for letter, count in ROWS.items() for i in range(1, count + 1)]
    assert list(table()) == expected


def test_what_is_claimed_exists() -> None:
    for row, (capability, state, names, tests, page) in table().items():
        assert capability, row
        assert state in ("whole", "core", "planned"), f"{row}: {state}"
        if state == "planned":
            assert names == tests == page == "", f"{row} is planned, and claims something"
            continue
        for name in re.findall(r"`([\w.]+)`", names):
            package, _, attribute = name.rpartition(".")
            module = importlib.import_module(f"polymodal.{package}" if package else "polymodal")
            assert hasattr(module, attribute), f"{row}: polymodal.{name} does not exist"
        for test in re.findall(r"`([^`]+)`", tests):
            assert (ROOT / "tests" / test).exists(), f"{row}: tests/{test} does not exist"
        for target in re.findall(r"\(([^)]+)\)", page):
            assert (ROOT / "docs" / target).is_file(), f"{row}: docs/{target} does not exist"
        assert re.findall(r"`", names), f"{row} names no class"
        assert re.findall(r"`", tests), f"{row} names no test"
        assert "(" in page, f"{row} names no page"


def test_every_public_name_has_its_api_page() -> None:
    for package in PACKAGES:
        page = (ROOT / "docs" / "api" / f"{package}.md").read_text("utf-8")
        for name in importlib.import_module(f"polymodal.{package}").__all__:
            assert f"::: polymodal.{package}.{name}\n" in page, (
                f"docs/api/{package}.md lacks {name}: run docs/write_api.py"
            )

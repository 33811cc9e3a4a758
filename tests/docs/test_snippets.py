"""Every code block of the README and the docs runs, top to bottom, page by page, in an empty folder.

`python` blocks of a page share their names; in a `console` block every line that begins with `$` must succeed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_BY_CI = (
    "make ",
    "git clone",
    "cd polymodal",
    "pip install",
    "polymodal demo",
)  # whole programs with tests of their own
OTHER_LANGUAGES = {"text", "toml", "bibtex", "json", "csv"}


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if BLOCK.search(p.read_text("utf-8"))], ids=page_id)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, object] = {"__name__": "__main__"}
    text = page.read_text("utf-8")
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        line = text[: block.start()].count("\n") + 2
        if language == "python":
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
        elif language == "console":
            run_console(code, f"{page_id(page)}:{line}")
        else:
            assert language in OTHER_LANGUAGES, (
                f"{page_id(page)}:{line}: a {language} block is not run by anyone"
            )


def run_console(code: str, place: str) -> None:
    for command in re.sub(r"\\\n\s*", " ", code).splitlines():
        if not command.startswith("$ ") or command[2:].startswith(RUN_BY_CI):
            continue
        done = subprocess.run(
            command[2:], shell=True, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{place}: {command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_pictures_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).resolve().is_file(), (
                f"{page_id(page)} shows {target}, which does not exist"
            )


def test_links_inside_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)", page.read_text("utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).resolve().exists(), (
                    f"{page_id(page)} links to {target}, which does not exist"
                )

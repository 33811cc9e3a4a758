"""tests/ mirrors src/ exactly: a method's test is found by the method's name."""

from __future__ import annotations

import importlib
from pathlib import Path

import polymodal
from polymodal.testing import public_packages

ROOT = Path(polymodal.__file__).parent
TESTS = Path(__file__).parents[1]
TESTED_ELSEWHERE = {
    "_lazy.py": "tests/architecture/test_imports.py",
    "core/typing.py": "every test: the annotations are checked at run time",
    "core/convert.py": "tests/core/test_modalities.py, by behaviour",
    "core/concat.py": "tests/core/test_modalities.py, by behaviour",
    "core/texts.py": "tests/core/test_modalities.py, by behaviour",
    "testing/contract.py": "tests/contracts",
    "testing/discovery.py": "tests/contracts",
    "testing/examples.py": "tests/contracts",
}


def test_every_module_has_its_test_and_every_test_its_module() -> None:
    modules = {
        p.relative_to(ROOT).as_posix()
        for p in ROOT.rglob("*.py")
        if p.name not in ("__init__.py", "__main__.py")
    }
    expected = {
        m: (Path(m).parent / f"test_{Path(m).name}").as_posix().replace("test__", "test_") for m in modules
    }
    missing = [
        f"{m}: no tests/{t}"
        for m, t in expected.items()
        if m not in TESTED_ELSEWHERE and not (TESTS / t).is_file()
    ]
    assert not missing, "\n".join(sorted(missing))
    folders = {p.name for p in ROOT.iterdir() if p.is_dir()}
    stray = [
        p.relative_to(TESTS).as_posix()
        for folder in folders
        for p in (TESTS / folder).rglob("test_*.py")
        if p.relative_to(TESTS).as_posix() not in expected.values()
    ]
    assert not stray, f"tests without a module: {stray}"
    assert set(TESTED_ELSEWHERE) <= modules


def test_no_public_name_is_hidden_by_its_file() -> None:
    """After `import polymodal.a.b`, `polymodal.a.b` is the file: a function of that name could not be reached any more."""
    for package in public_packages():
        names = set(importlib.import_module(f"polymodal.{package}").__all__)
        files = {file.stem for file in (ROOT / package).glob("*.py")}
        assert not names & files, f"polymodal.{package}: {sorted(names & files)}"

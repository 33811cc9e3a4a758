"""What type checkers and editors are told is what the packages give."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import polymodal
from polymodal.testing import public_packages

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_api", ROOT / "docs" / "write_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", ["", *public_packages()])
def test_the_stub_of_a_package_says_its_names(writer: ModuleType, package: str) -> None:
    folder = Path(polymodal.__file__).parent / package
    written = (folder / "__init__.pyi").read_text("utf-8")
    assert written == writer.stub(folder), "run docs/write_api.py"
    for line in written.splitlines():
        if line.startswith("from "):
            _, module, _, name, _, again = line.split()
            assert name == again
            place = f"polymodal.{package}" if package else "polymodal"
            assert getattr(importlib.import_module(place), name) is getattr(
                importlib.import_module(module), name
            )

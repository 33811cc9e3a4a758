"""`import polymodal` costs next to nothing, and the public names are what they say."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import polymodal
from polymodal._lazy import attach
from polymodal.testing import public_packages

PACKAGES = public_packages()
HEAVY = ("torch", "sklearn", "scipy", "pandas", "matplotlib", "lancedb", "numba", "pyarrow")


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, polymodal, polymodal.cli; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["", *(f".{p}" for p in PACKAGES)])
def test_every_public_name_exists_and_is_documented(package: str) -> None:
    module = importlib.import_module(f"polymodal{package}")
    assert (module.__doc__ or "").strip(" ."), f"polymodal{package} says nothing of itself"
    assert module.__all__
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert value.__doc__, f"polymodal{package}.{name} has no docstring"


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="polymodal.*Frobnicate"):
        polymodal.Frobnicate  # noqa: B018


def test_lazy_names_are_listed() -> None:
    _, names, public = attach("polymodal.core", {"Ragged": "ragged"})
    assert names() == public == ["Ragged"]

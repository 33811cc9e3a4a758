"""Shared fixtures, and the run-time check of every shape annotation in the package."""

from __future__ import annotations

import os
from pathlib import Path

import jaxtyping

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers run side by side: one thread each
os.environ.setdefault("MPLBACKEND", "Agg")
jaxtyping.install_import_hook("polymodal", "beartype.beartype")

import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator: the same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("POLYMODAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data are not at {folder} (set POLYMODAL_DATA)")
    return folder

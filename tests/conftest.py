"""Shared fixtures, and the run-time check of every shape annotation in the package."""

from __future__ import annotations

import os
from pathlib import Path

# Workers run side by side, one thread each; and no progress bars, pictures on screens, or user caches.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import sys  # noqa: E402
import types  # noqa: E402

import beartype  # noqa: E402
import hypothesis  # noqa: E402
import jaxtyping  # noqa: E402

_checker = types.ModuleType(
    "polymodal_checker"
)  # beartype, with int accepted where float is annotated (PEP 484)
_checker.check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # type: ignore[attr-defined]
sys.modules[_checker.__name__] = _checker
jaxtyping.install_import_hook("polymodal", "polymodal_checker.check")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,  # no test measures time
    database=None,
    max_examples=30,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("suite")


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


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 pictures of coloured shapes, their descriptions, labels and a split: small, and learnable."""
    from PIL import Image, ImageDraw

    folder = tmp_path_factory.mktemp("data") / "shapes"
    (folder / "pictures").mkdir(parents=True)
    draws = np.random.default_rng(0)
    lines = ["file_name,text,shape,size,split"]
    for i in range(60):
        colour, shape = (
            ("red", "green", "blue", "orange", "purple")[i % 5],
            ("circle", "square", "bar")[i % 3],
        )
        half, x, y = int(draws.integers(5, 9)), int(draws.integers(10, 22)), int(draws.integers(10, 22))
        picture = Image.new("RGB", (32, 32), "white")
        draw = ImageDraw.Draw(picture)
        box = (x - half, y - (2 if shape == "bar" else half), x + half, y + (2 if shape == "bar" else half))
        (draw.ellipse if shape == "circle" else draw.rectangle)(box, fill=colour)
        picture.save(folder / "pictures" / f"{i:02d}.png")
        part = "test" if i % 6 == 5 else "train"
        lines.append(f"pictures/{i:02d}.png,a {colour} {shape} number {i},{shape},{half / 2},{part}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder

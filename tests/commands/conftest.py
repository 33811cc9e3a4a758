"""One small model, fitted once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from polymodal.commands.fitting import HoldOut, fit_model
from polymodal.commands.indexing import build_index
from polymodal.commands.sources import Source


@pytest.fixture(scope="session")
def model(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CCA of pictures and texts; rows of split `test` held out."""
    place = tmp_path_factory.mktemp("made") / "model"
    fit_model(
        Source(shapes, only=("image", "text"), image_size=16),
        place,
        method="cca",
        parameters={"n_components": 4, "reg": 0.5},
        hold_out=HoldOut(split="split"),
    )
    return place


@pytest.fixture(scope="session")
def index(model: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All rows, as the model sees them."""
    place = tmp_path_factory.mktemp("made") / "index"
    build_index(Source(shapes), place, model=model)
    return place

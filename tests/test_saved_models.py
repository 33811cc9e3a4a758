"""A model saved by an earlier version loads today and answers as it did then."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from polymodal import load
from polymodal.testing.contract import outputs

FIXTURES = Path(__file__).parent / "fixtures"
SAVED = sorted(p.parent for p in FIXTURES.glob("models-*/*/model.json"))


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_models", FIXTURES / "make_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_kind_of_model_was_saved(maker) -> None:
    assert {folder.name for folder in SAVED} >= set(maker.models())


@pytest.mark.parametrize("folder", SAVED, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_it_answers_as_it_did(folder: Path, maker) -> None:
    model = load(folder)
    _, columns, _ = maker.models()[folder.name]
    now = outputs(model, maker.data_for(columns, maker.example()[0]))
    with np.load(folder / "answers.npz") as then:
        assert {f"z_{name}" for name in now} == set(then.files)
        for name, values in now.items():
            np.testing.assert_allclose(values, then[f"z_{name}"], rtol=1e-4, atol=1e-5)

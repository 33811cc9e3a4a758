"""One small model, and rows of known truth, fitted once for all tests of this folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.commands.diagnosis_answers import Answers, cross_fit
from polymodal.commands.diagnosis_interactions import Ladder, Products
from polymodal.commands.diagnosis_pairs import Pair
from polymodal.commands.diagnosis_scores import Scores, score_models
from polymodal.commands.diagnosis_understanding import Question, Understanding, understand
from polymodal.commands.fitting import HoldOut, fit_model
from polymodal.commands.indexing import build_index
from polymodal.commands.sources import Source
from polymodal.datasets.dataset import Dataset


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


@pytest.fixture(scope="session")
def planted() -> Callable[[str], Planted]:
    """`planted("xor")`: rows whose truth is known, with the answers of all models on them; computed once."""
    return functools.cache(_planted)


def _planted(kind: str) -> Planted:
    rng = np.random.default_rng(0)
    n = {"tiny": 12, "three": 320}.get(kind, 150)
    a, b, c = rng.normal(size=(3, n, 2))
    y = rng.integers(2, size=n)
    if kind == "xor":
        y = (a[:, 0] * b[:, 0] > 0).astype(int)
    elif kind in ("unique", "tiny"):
        a[:, 0] += 2.5 * y
    elif kind == "redundant":
        a[:, 0] += 2.5 * y
        b = a @ rng.normal(size=(2, 2)) + 0.01 * b
    elif kind == "identical":
        a[:, 0] += 2.5 * y
        b = a.copy()
    elif kind == "leak":
        b[:, 1] = 3 - 2 * y
    elif kind == "three":
        a[:, 0] += 1.5 * y
        b[:, 0] += 1.5 * y
    data = {"a": a, "b": b} | ({"c": c} if kind == "three" else {})
    target = a[:, 0] + b[:, 1] + 0.3 * c[:, 0] if kind == "sum" else np.where(y > 0, "yes", "no")
    dataset = Dataset(Modalities(data), {"y": target}, name=kind)
    question, facts = understand(dataset, "y", n_folds=3)
    answers = cross_fit(question, say=lambda text: None, steps=120 if kind == "xor" else 30)
    return Planted(dataset, question, facts, answers, score_models(answers))


@dataclass(frozen=True)
class Planted:
    """Rows of known truth, and what models said of them."""

    dataset: Dataset
    question: Question
    facts: Understanding
    answers: Answers
    scores: Scores

    def pair(self, **changes: Any) -> Pair:
        """What could be said of a and b, with parts of it as given."""
        ladder = Ladder(("a", "b"), "y", {}, 0.5, 0.5, "", False)
        products = Products(("a", "b"), (2, 2), (0.1, 0.1, 0.1), 0.5, "", True)
        plain = Pair(
            ("a", "b"), ("redundant",), None, "", self.scores.gains[0], (), ladder, products, (), None
        )
        return replace(plain, **changes)

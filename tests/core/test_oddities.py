"""Sentences about odd data; most are asked for in test_describe.py."""

from __future__ import annotations

import numpy as np

from polymodal.core.oddities import about_values
from polymodal.core.ragged import Ragged


def test_nothing_to_say_about_nothing() -> None:
    assert about_values("x", "vector", None) == []
    assert about_values("x", "text", ["one"]) == []


def test_sequences_without_steps_and_far_too_long() -> None:
    lengths = np.array([0, 1, 1, 1, 500])
    values = Ragged(np.arange(503.0), np.concatenate([[0], np.cumsum(lengths)]))
    found = about_values("x", "sequence", values)
    assert any("1 sequences have no steps" in f for f in found)
    assert any("500 steps, the median 1" in f for f in found)


def test_nearly_empty_feature(rng) -> None:
    x = rng.random((200, 2))
    x[1:, 1] = 0
    assert any("zero in more than 99 %" in f for f in about_values("x", "vector", x))


def test_empty_texts() -> None:
    assert any("1 texts are empty" in f for f in about_values("x", "text", ["a", " "]))

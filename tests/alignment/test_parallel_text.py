"""Sentence pairs as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment._parallel_text import ParallelText, link_keys, words_of
from polymodal.core.errors import ModalityError


def test_words() -> None:
    assert words_of("Das Haus, l'été!") == ["das", "haus", ",", "l'été", "!"]
    assert words_of(["Das", "x y"], lowercase=False) == ["Das", "x y"]
    assert words_of("") == []
    with pytest.raises(ModalityError, match="holds 3"):
        words_of(["a", 3])  # type: ignore[list-item]


def test_every_possible_link_has_an_entry() -> None:
    corpus = ParallelText.of(["b a", "a"], ["x x", "y"])
    assert corpus.vocabulary_a == {"a": 1, "b": 2}
    assert corpus.vocabulary_b == {"x": 0, "y": 1}
    # (empty, x) (empty, y) (a, x) (a, y) (b, x), two words of b's vocabulary
    assert corpus.keys.tolist() == [0, 1, 2, 3, 4]
    t = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_array_equal(corpus.table(0, t), [[0.1, 0.5, 0.3], [0.1, 0.5, 0.3]])
    np.testing.assert_array_equal(corpus.table(1, t), [[0.2, 0.4]])
    assert link_keys([2], [1], 2).tolist() == [1, 5]


def test_pairs_with_an_empty_side_are_left_out() -> None:
    assert len(ParallelText.of(["a", "", "b"], ["x", "y", " "])) == 1
    with pytest.raises(ModalityError, match="got none of 1"):
        ParallelText.of([""], ["x"])
    with pytest.raises(ModalityError, match="as many of a as of b were required, got 2 and 1"):
        ParallelText.of(["a", "b"], ["x"])
    with pytest.raises(ModalityError, match="one text of 3 characters"):
        ParallelText.of("a b", ["x"])

"""Sentence pairs as word alignment models count them: words as numbers, and every pair of words that meets as one table entry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int

_WORD = re.compile(r"\w+(?:[-'’]\w+)*|[^\w\s]")


def words_of(sentence: Any, *, lowercase: bool = True) -> list[str]:
    """The words of a text (signs are words too), or the words given as a list (or array), in order.

    Raises:
        ModalityError: neither a text nor a list of texts.
    """
    words = _WORD.findall(sentence) if isinstance(sentence, str) else list(sentence)
    wrong = next((w for w in words if not isinstance(w, str)), None)
    if wrong is not None:
        raise ModalityError(
            f"A sentence is a text or a list of words, got a list that holds {wrong!r} ({type(wrong).__name__})."
        )
    return [w.lower() for w in words] if lowercase else words


@dataclass(frozen=True, eq=False)
class ParallelText:
    """Sentence pairs, flattened for the compiled loops.

    Attributes:
        vocabulary_a: Word of a -> number, from 1; 0 is the empty word.
        vocabulary_b: Word of b -> number, from 0.
        keys: (number in a) * (size of b's vocabulary) + number in b, of every pair that meets; sorted.
        entries: Where in `keys` each possible link stands: by sentence, word of b, word of a (the empty word first).
        begins: Where in `entries` each sentence begins.
        lengths_a: Words of a in each sentence.
        lengths_b: Words of b.
    """

    vocabulary_a: dict[str, int]
    vocabulary_b: dict[str, int]
    keys: Int[np.ndarray, " e"]
    entries: Int[np.ndarray, " l"]
    begins: Int[np.ndarray, " s"]
    lengths_a: Int[np.ndarray, " s"]
    lengths_b: Int[np.ndarray, " s"]

    @classmethod
    def of(cls, a: Sequence[Any], b: Sequence[Any], *, lowercase: bool = True) -> ParallelText:
        """Count what meets; pairs with an empty side teach nothing and are left out.

        Raises:
            ModalityError: unequal numbers of sentences, or no pair with words on both sides.

        Complexity:
            O(sum of products of the lengths) memory: 8 bytes for each possible link.
        """
        if isinstance(a, str) or isinstance(b, str) or len(a) != len(b):
            sizes = [f"one text of {len(x)} characters" if isinstance(x, str) else len(x) for x in (a, b)]
            raise ModalityError(
                f"Word alignment learns from sentence pairs: as many of a as of b were required, got {sizes[0]} and {sizes[1]}."
            )
        pairs = [(words_of(x, lowercase=lowercase), words_of(y, lowercase=lowercase)) for x, y in zip(a, b, strict=True)]  # fmt: skip
        pairs = [(x, y) for x, y in pairs if x and y]
        if not pairs:
            raise ModalityError(
                f"Word alignment needs at least one pair with words on both sides, got none of {len(a)}."
            )
        to_a = {word: i for i, word in enumerate(sorted({w for x, _ in pairs for w in x}), start=1)}
        to_b = {word: i for i, word in enumerate(sorted({w for _, y in pairs for w in y}))}
        found = [link_keys([to_a[w] for w in x], [to_b[w] for w in y], len(to_b)) for x, y in pairs]
        keys, entries = np.unique(np.concatenate(found), return_inverse=True)
        widths = np.array([len(k) for k in found])
        return cls(
            to_a, to_b, keys, entries.astype(np.int64), np.cumsum(widths) - widths,
            np.array([len(x) for x, _ in pairs]), np.array([len(y) for _, y in pairs]),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.begins)

    def table(self, k: int, t: Float[np.ndarray, " e"]) -> Float[np.ndarray, "m n"]:
        """T of every possible link of sentence pair k: (words of b, 1 + words of a)."""
        shape = self.lengths_b[k], self.lengths_a[k] + 1
        begin = self.begins[k]
        return np.asarray(t[self.entries[begin : begin + shape[0] * shape[1]]].reshape(shape))


def link_keys(a: Any, b: Any, size_b: int) -> Int[np.ndarray, " l"]:
    """The keys of every possible link of a sentence pair, word of b by word of b, the empty word of a first."""
    numbers_a, numbers_b = np.array([0, *a], dtype=np.int64), np.array([*b], dtype=np.int64)
    return np.asarray((numbers_a[None, :] * size_b + numbers_b[:, None]).ravel())

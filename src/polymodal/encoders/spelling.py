"""Words and what they are made of: a rare word shares its letters' trigrams with words that are not rare."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from polymodal.core.typing import Int

UNKNOWN = 1
_WORD = re.compile(r"\w+|[^\w\s]+")
_MOST_GRAMS = 16  # of a word; longer words are mostly compounds or noise


def words_of(text: str) -> list[str]:
    """Lower-cased words and marks, after NFKC."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def trigrams(word: str) -> list[str]:
    """Runs of three characters of the word between `<` and `>`, in order: `cat` gives `<ca`, `cat`, `at>`."""
    framed = f"<{word}>"
    return [framed[i : i + 3] for i in range(min(len(framed) - 2, _MOST_GRAMS))]


class Speller:
    """Numbers of words and of their trigrams (Bojanowski et al. 2017); 0 is nothing, 1 an unknown word.

    Args:
        words: Known words; the i-th has number 2 + i.
        grams: Known trigrams, numbered after the words; unknown ones are left out.
    """

    def __init__(self, words: Sequence[str], grams: Sequence[str]) -> None:
        self._words = {word: 2 + i for i, word in enumerate(words)}
        self._grams = {gram: 2 + len(words) + i for i, gram in enumerate(grams)}
        self._known: dict[str, list[int]] = {}

    @classmethod
    def train(cls, texts: Iterable[str], *, vocabulary: int) -> Speller:
        """The most frequent words and trigrams, at most `vocabulary` of each. The order of the texts does not matter."""
        words = Counter(word for text in texts for word in words_of(text))
        grams = Counter[str]()
        for word, count in words.items():
            for gram in trigrams(word):
                grams[gram] += count
        return cls(_frequent(words, vocabulary), _frequent(grams, vocabulary))

    def __len__(self) -> int:
        """Rows that a table of vectors needs, nothing and the unknown word included."""
        return 2 + len(self._words) + len(self._grams)

    def to_str(self) -> str:
        """As JSON."""
        return json.dumps({"words": list(self._words), "trigrams": list(self._grams)}, ensure_ascii=False)

    @classmethod
    def from_str(cls, text: str) -> Speller:
        """What `to_str` gave."""
        lists = json.loads(text)
        return cls(lists["words"], lists["trigrams"])

    def __call__(self, texts: Sequence[str], max_length: int) -> Int[np.ndarray, "u t g"]:
        """Of each text and word: the word's number, then those of its trigrams; 0 fills up."""
        spelled = [[self._spell(word) for word in words_of(text)[:max_length]] for text in texts]
        steps = max([len(s) for s in spelled] + [1])
        width = max([len(numbers) for s in spelled for numbers in s] + [2])
        ids = np.zeros((len(texts), steps, width), dtype=np.int64)
        for i, numbers_of_words in enumerate(spelled):
            for j, numbers in enumerate(numbers_of_words):
                ids[i, j, : len(numbers)] = numbers
        return ids

    def _spell(self, word: str) -> list[int]:
        if word not in self._known:
            grams = [self._grams[gram] for gram in trigrams(word) if gram in self._grams]
            self._known[word] = [self._words.get(word, UNKNOWN), *grams]
        return self._known[word]


def _frequent(counts: Counter[str], most: int) -> list[str]:
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]]

"""What word alignment models share: learning from sentence pairs, and linking the words of new ones. Abstract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from polymodal.alignment._parallel_text import ParallelText, link_keys, words_of
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError
from polymodal.core.typing import Float, Int

UNSEEN = 1e-9
"""t of a pair of words that never met: small, and the same for all, so that a new word takes its place from the others."""

M = TypeVar("M", bound="WordModel")


class WordModel(ABC):
    """Base of word alignment models: each word of b comes from one word of a, or from the empty word.

    A method writes `_learn` (the rounds of expectation-maximisation) and `_posterior`, `_best` (the links of one pair).
    """

    n_iter: int
    smoothing: float
    lowercase: bool

    t_: Float[np.ndarray, " e"]
    log_likelihoods_: list[float]

    @abstractmethod
    def _learn(self, corpus: ParallelText) -> None:
        """Fill `t_`, `log_likelihoods_` and what else the method learns."""

    @abstractmethod
    def _posterior(self, t: Float[np.ndarray, "m n"]) -> tuple[Float[np.ndarray, "m n"], float]:
        """p(word of a | word of b and both sentences), the empty word first, and the log-likelihood of b given a."""

    @abstractmethod
    def _best(self, t: Float[np.ndarray, "m n"]) -> Int[np.ndarray, " m"]:
        """The likeliest links: for each word of b the word of a from 1, or 0 for the empty word."""

    # --- learning ---------------------------------------------------------------------------------------------------

    def fit(self: M, a: Sequence[Any], b: Sequence[Any]) -> M:
        """Learn from sentence pairs; returns itself.

        Args:
            a: Sentences, texts or lists of words.
            b: Their translations, as many.

        Raises:
            ModalityError: unequal numbers, or no pair with words on both sides.
            ConfigError: a parameter out of range.
        """
        self._check_parameters()
        corpus = ParallelText.of(a, b, lowercase=self.lowercase)
        self.vocabulary_a_, self.vocabulary_b_ = corpus.vocabulary_a, corpus.vocabulary_b
        self.keys_ = corpus.keys
        self._learn(corpus)
        return self

    def _check_parameters(self) -> None:
        if self.n_iter < 1 or self.smoothing < 0:
            raise ConfigError(
                f"{type(self).__name__} needs n_iter >= 1 and smoothing >= 0, got {self.n_iter} and {self.smoothing}."
            )

    def _table_of_counts(self, counts: Float[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
        r"""The maximisation: $t(b|a) \propto$ the expected count; with a Dirichlet prior, exp of the expected log of t."""
        from scipy.special import digamma

        owner = self.keys_ // len(self.vocabulary_b_)
        total = np.bincount(owner, weights=counts)[owner]
        if not self.smoothing:
            used = np.maximum(total, np.finfo(float).tiny)
            return np.asarray(counts / used)
        kinds = np.bincount(owner)[owner]
        return np.asarray(np.exp(digamma(counts + self.smoothing) - digamma(total + self.smoothing * kinds)))

    def _start(self) -> Float[np.ndarray, " e"]:
        """Uniform over the words of b that meet each word of a."""
        owner = self.keys_ // len(self.vocabulary_b_)
        return np.asarray(1.0 / np.bincount(owner)[owner])

    # --- using ------------------------------------------------------------------------------------------------------

    def align(self, a: str | Sequence[str], b: str | Sequence[str]) -> Alignment:
        """Which word of a each word of b comes from. The path is the likeliest set of links, the coupling p(link | both sentences).

        Words of b that come from the empty word are in no pair. The cost is -log p(b | a), in nats.

        Raises:
            NotFittedError: before `fit`.
            ModalityError: a sentence without words.
        """
        x, y = (words_of(s, lowercase=self.lowercase) for s in (a, b))
        if not x or not y:
            raise ModalityError(
                f"Aligning words needs at least one word on each side, got {len(x)} and {len(y)}."
            )
        return self._answer(self._lookup(x, y))

    def align_costs(self, costs: Any) -> Alignment:
        """The same with costs (words of a, words of b) as -log t; the empty word's t is `UNSEEN`."""
        given = np.asarray(costs, dtype=np.float64)
        if given.ndim != 2 or not given.size or np.isnan(given).any():
            raise ModalityError(
                f"align_costs needs a matrix of costs without NaN, (words of a, words of b), got shape {given.shape}."
            )
        self._check_fitted()
        return self._answer(np.column_stack([np.full(given.shape[1], UNSEEN), np.exp(-given.T).clip(UNSEEN)]))

    def _answer(self, t: Float[np.ndarray, "m n"]) -> Alignment:
        posterior, log_likelihood = self._posterior(t)
        best = self._best(t)
        linked = np.flatnonzero(best)
        path = np.stack([best[linked] - 1, linked], axis=1).astype(np.int64)
        path = path[np.lexsort((path[:, 1], path[:, 0]))]
        return Alignment.of_coupling(
            posterior[:, 1:].T,
            self,
            cost=-log_likelihood,
            path=path,
            normalised_cost=-log_likelihood / len(t),
        )

    def translation_probability(self, word_a: str | None, word_b: str) -> float:
        """t(word_b | word_a); the empty word is None. 0 for words that never met."""
        self._check_fitted()
        numbers = [0 if word_a is None else self.vocabulary_a_.get(word_a, -1), self.vocabulary_b_.get(word_b, -1)]  # fmt: skip
        if min(numbers) < 0:
            return 0.0
        key = numbers[0] * len(self.vocabulary_b_) + numbers[1]
        at = int(np.searchsorted(self.keys_, key))
        return float(self.t_[at]) if at < len(self.keys_) and self.keys_[at] == key else 0.0

    def _lookup(self, a: Sequence[str], b: Sequence[str]) -> Float[np.ndarray, "m n"]:
        """T of every possible link of a new pair, `UNSEEN` where the words never met: (words of b, 1 + words of a)."""
        self._check_fitted()
        size_a, size_b = len(self.vocabulary_a_) + 1, len(self.vocabulary_b_)
        x = np.array([self.vocabulary_a_.get(w, size_a) for w in a])
        y = np.array([self.vocabulary_b_.get(w, -1) for w in b])
        keys = link_keys(x, np.maximum(y, 0), size_b).reshape(len(y), len(x) + 1)
        at = np.minimum(np.searchsorted(self.keys_, keys), len(self.keys_) - 1)
        seen = (self.keys_[at] == keys) & (y >= 0)[:, None]
        return np.asarray(np.where(seen, np.maximum(self.t_[at], UNSEEN), UNSEEN))

    def _check_fitted(self) -> None:
        if not hasattr(self, "t_"):
            raise NotFittedError(
                f"This {type(self).__name__} has learned no words yet. Call fit(sentences_a, sentences_b) first."
            )

"""IBM models 1 and 2: which word of a sentence each word of its translation comes from."""

from __future__ import annotations

import numpy as np

from polymodal.alignment._parallel_text import ParallelText
from polymodal.alignment._translation_kernels import lexical_expectation
from polymodal.alignment._word_model import WordModel
from polymodal.core.errors import ConfigError
from polymodal.core.typing import Float, Int

_NONE = np.empty(0)
_NO_PLACE = np.empty(0, dtype=np.int64)


class IBM1(WordModel):
    r"""Every word of a is as likely as any other to give a word of b; what it gives is learned.

    $$ p(b \mid a) = \prod_j \frac{1}{l + 1} \sum_{i=0}^{l} t(b_j \mid a_i), \qquad a_0 \text{ the empty word} $$

    Learned by expectation-maximisation, whose optimum is unique in the likelihood; words that never meet have t = 0. Of equally likely
    words (a word that stands twice) the one nearest to the diagonal is linked.

    Args:
        n_iter: Rounds.
        p_empty: Probability that a word comes from the empty word, in [0, 1); None is 1 / (l + 1), as for every other.
        smoothing: Parameter of a Dirichlet prior on each t(. | a), >= 0: 0 is maximum likelihood; 0.01 (variational Bayes) keeps rare
            words from taking everything they meet.
        lowercase: Words that differ in case only are one word.

    Attributes:
        t_: Translation probabilities of the pairs of words that met; see `translation_probability`.
        log_likelihoods_: log p(b | a) of all sentences before each round, in nats.

    Complexity:
        O(sum of products of the sentence lengths) per round and in memory.

    Relations:
        * without smoothing, the log-likelihood never falls.
        * the sum over all (l + 1)^m alignments, written out, is the same likelihood.

    References:
        Brown et al. 1993, "The mathematics of statistical machine translation". Riley and Gildea 2012 (smoothing).

    Examples:
        >>> model = IBM1(20).fit(["das haus", "das buch", "ein buch"], ["the house", "the book", "a book"])
        >>> model.align("ein haus", "a house").path.tolist()
        [[0, 0], [1, 1]]
    """

    def __init__(
        self,
        n_iter: int = 5,
        *,
        p_empty: float | None = None,
        smoothing: float = 0.0,
        lowercase: bool = True,
    ) -> None:
        self.n_iter = n_iter
        self.p_empty = p_empty
        self.smoothing = smoothing
        self.lowercase = lowercase

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_iter}, smoothing={self.smoothing})"

    def _learn(self, corpus: ParallelText) -> None:
        self.t_ = self._start()
        self.log_likelihoods_ = []
        for _ in range(self.n_iter):
            counts = np.zeros(len(self.t_))
            self.log_likelihoods_.append(
                lexical_expectation(
                    corpus.entries, corpus.begins, corpus.lengths_a, corpus.lengths_b, self.t_, self._p_empty, _NONE, _NO_PLACE,
                    counts, _NONE,
                )
            )  # fmt: skip
            self.t_ = self._table_of_counts(counts)

    def _posterior(self, t: Float[np.ndarray, "m n"]) -> tuple[Float[np.ndarray, "m n"], float]:
        weighed = t * self._places(*t.shape)
        norms = weighed.sum(axis=1, keepdims=True)
        return weighed / norms, float(np.log(norms).sum())

    def _best(self, t: Float[np.ndarray, "m n"]) -> Int[np.ndarray, " m"]:
        weighed = t * self._places(*t.shape)
        m, width = t.shape
        off = np.abs((np.arange(width) - 0.5) / (width - 1) - (np.arange(m)[:, None] + 0.5) / m)
        tied = weighed >= weighed.max(axis=1, keepdims=True) * (1 - 1e-9)
        return np.asarray(np.where(tied, off, np.inf).argmin(axis=1))

    def _places(self, length_b: int, width: int) -> Float[np.ndarray, "m n"]:
        """p(i | j, lengths), the empty word first."""
        first = 1.0 / width if self.p_empty is None else self.p_empty
        return np.tile([first, *[(1 - first) / (width - 1)] * (width - 1)], (length_b, 1))

    @property
    def _p_empty(self) -> float:
        return -1.0 if self.p_empty is None else self.p_empty

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.p_empty is not None and not 0 <= self.p_empty < 1:
            raise ConfigError(
                f"{type(self).__name__} needs p_empty in [0, 1), or None, got {self.p_empty!r}."
            )


class IBM2(IBM1):
    r"""As IBM 1, and where a word of b stands says where its word of a stands: $p(i \mid j, l, m)$ is learned too.

    Starts from `IBM1`'s translation table, since the likelihood has many optima. Pairs of lengths that were not met in training take
    the places of the nearest that were, stretched.

    Args:
        n_iter: Rounds, after as many of IBM 1.
        p_empty: Where the empty word's place starts; it is learned like the others. 0 keeps it out.
        smoothing: See `IBM1`.
        lowercase: See `IBM1`.

    Attributes:
        places_: (l, m) -> p(i | j, l, m), (m, l + 1), the empty word first.

    Relations:
        * with uniform places: IBM 1.
        * without smoothing, the log-likelihood never falls.

    References:
        Brown et al. 1993.
    """

    places_: dict[tuple[int, int], Float[np.ndarray, "m n"]]

    def _learn(self, corpus: ParallelText) -> None:
        super()._learn(corpus)
        self.log_likelihoods_ = []
        lengths = list(zip(corpus.lengths_a.tolist(), corpus.lengths_b.tolist(), strict=True))
        kinds = sorted(set(lengths))
        sizes = np.array([m * (n + 1) for n, m in kinds])
        begins = dict(zip(kinds, (np.cumsum(sizes) - sizes).tolist(), strict=True))
        prior_begins = np.array([begins[pair] for pair in lengths])
        prior = np.concatenate([super(IBM2, self)._places(m, n + 1).ravel() for n, m in kinds])
        for _ in range(self.n_iter):
            counts, place_counts = np.zeros(len(self.t_)), np.zeros(len(prior))
            self.log_likelihoods_.append(
                lexical_expectation(
                    corpus.entries, corpus.begins, corpus.lengths_a, corpus.lengths_b, self.t_, self._p_empty, prior,
                    prior_begins, counts, place_counts,
                )
            )  # fmt: skip
            self.t_ = self._table_of_counts(counts)
            blocks = [place_counts[begins[n, m] :][: m * (n + 1)].reshape(m, n + 1) for n, m in kinds]
            places = [block / block.sum(axis=1, keepdims=True) for block in blocks]
            prior = np.concatenate([block.ravel() for block in places])
        self.places_ = dict(zip(kinds, places, strict=True))

    def _places(self, length_b: int, width: int) -> Float[np.ndarray, "m n"]:
        wanted = width - 1, length_b
        if wanted in self.places_:
            return self.places_[wanted]
        return _stretched(self.places_[min(self.places_, key=lambda known: _apart(known, wanted))], wanted)


def _apart(known: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """How unlike two pairs of lengths are; ties go to the shorter."""
    return sum(abs(np.log(x / y)) for x, y in zip(known, wanted, strict=True)), known


def _stretched(places: Float[np.ndarray, "m n"], wanted: tuple[int, int]) -> Float[np.ndarray, "r c"]:
    """Places of one pair of lengths, read off at the relative positions of another."""
    n, m = wanted
    rows = np.minimum((np.arange(m) + 0.5) / m * len(places), len(places) - 1).astype(int)
    columns = np.minimum((np.arange(n) + 0.5) / n * (places.shape[1] - 1), places.shape[1] - 2).astype(int)
    out = np.column_stack([places[rows, :1], places[:, 1:][np.ix_(rows, columns)]])
    return np.asarray(out / out.sum(axis=1, keepdims=True))

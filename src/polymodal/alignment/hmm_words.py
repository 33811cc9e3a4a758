"""The hidden Markov model of word alignment: a word of b comes from near where the one before it came from."""

from __future__ import annotations

import numpy as np

from polymodal.alignment._parallel_text import ParallelText
from polymodal.alignment._translation_kernels import hmm_best, hmm_posteriors, jump_norms
from polymodal.alignment._word_model import WordModel
from polymodal.alignment.ibm import IBM1
from polymodal.core.errors import ConfigError
from polymodal.core.typing import Float, Int

_ROUNDS = 3  # of the jump weights' own ascent within a maximisation


class HMMWordAligner(WordModel):
    r"""Word alignment whose positions form a Markov chain: what matters is the width of the jump.

    $$ p(b, i_1 \dots i_m \mid a) = \prod_j p(i_j \mid i_{j-1}, l)\, t(b_j \mid a_{i_j}), \qquad
       p(i \mid i', l) = \frac{s(i - i')}{\sum_{k=1}^{l} s(k - i')} $$

    A word of b comes from the empty word with probability `p_empty`; the chain then remembers the last position in a (Och and Ney).
    Starts from `IBM1`'s translation table.

    Args:
        n_iter: Rounds, after as many of IBM 1.
        p_empty: Probability of the empty word, in (0, 1).
        max_jump: Jumps as wide as this, or wider, share a weight, on each side.
        smoothing: See `IBM1`.
        lowercase: See `IBM1`.

    Attributes:
        jumps_: Weight of each jump from -max_jump to max_jump, adding up to 1.
        log_likelihoods_: log p(b | a) of all sentences before each round, in nats.

    Complexity:
        O(sum of l^2 m) per round.

    Relations:
        * without smoothing, the log-likelihood never falls.
        * the sum over all paths of positions, written out, is the same likelihood.

    References:
        Vogel, Ney and Tillmann 1996. Och and Ney 2003, section 2.1 (the empty word).
    """

    def __init__(
        self,
        n_iter: int = 5,
        *,
        p_empty: float = 0.2,
        max_jump: int = 10,
        smoothing: float = 0.0,
        lowercase: bool = True,
    ) -> None:
        self.n_iter = n_iter
        self.p_empty = p_empty
        self.max_jump = max_jump
        self.smoothing = smoothing
        self.lowercase = lowercase

    def __repr__(self) -> str:
        return f"HMMWordAligner({self.n_iter}, smoothing={self.smoothing})"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 < self.p_empty < 1 or self.max_jump < 1:
            raise ConfigError(
                f"HMMWordAligner needs p_empty in (0, 1) and max_jump >= 1, got {self.p_empty} and {self.max_jump}."
            )

    def _learn(self, corpus: ParallelText) -> None:
        first = IBM1(self.n_iter, smoothing=self.smoothing)
        first.vocabulary_b_, first.keys_ = self.vocabulary_b_, self.keys_
        first._learn(corpus)
        self.t_ = np.maximum(first.t_, np.finfo(float).tiny)
        width = 2 * self.max_jump + 1
        self.jumps_ = np.full(width, 1.0 / width)
        self.log_likelihoods_ = []
        for _ in range(self.n_iter):
            counts, jump_counts = np.zeros(len(self.t_)), np.zeros(width)
            departures: dict[int, np.ndarray] = {}
            total = 0.0
            for k in range(len(corpus)):
                t = corpus.table(k, self.t_)
                n = t.shape[1] - 1
                posterior = np.empty_like(t)
                total += self._run(t, posterior, departures.setdefault(n, np.zeros(n + 1)), jump_counts)
                begin = corpus.begins[k]
                np.add.at(counts, corpus.entries[begin : begin + t.size], posterior.ravel())
            self.log_likelihoods_.append(total)
            self.t_ = np.maximum(self._table_of_counts(counts), np.finfo(float).tiny)
            self.jumps_ = self._jumps_of_counts(jump_counts, departures)

    def _jumps_of_counts(
        self, counts: Float[np.ndarray, " w"], departures: dict[int, np.ndarray]
    ) -> Float[np.ndarray, " w"]:
        """The jump weights that raise the expected log-likelihood.

        log Z is concave, so it lies below its tangent, and the bound has a closed maximum: counts over the expected chances to jump so.
        """
        jumps = self.jumps_
        for _ in range(_ROUNDS):
            chances = np.zeros(len(jumps))
            for n, left in departures.items():
                norms = np.empty(n + 1)
                jump_norms(jumps, n, norms)
                widths = np.clip(
                    np.arange(1, n + 1) - np.arange(n + 1)[:, None], -self.max_jump, self.max_jump
                )
                share = np.broadcast_to((left / norms)[:, None], widths.shape)
                chances += np.bincount((widths + self.max_jump).ravel(), share.ravel(), minlength=len(jumps))
            jumps = np.where(chances > 0, counts / np.maximum(chances, np.finfo(float).tiny), 0.0)
            jumps = np.maximum(jumps, 1e-12)
            jumps /= jumps.sum()
        return np.asarray(jumps)

    def _run(
        self,
        t: Float[np.ndarray, "m n"],
        posterior: Float[np.ndarray, "m n"],
        departures: Float[np.ndarray, " n"],
        jump_counts: Float[np.ndarray, " w"],
    ) -> float:
        emission, empty = np.ascontiguousarray(t[:, 1:]), np.ascontiguousarray(t[:, 0])
        return float(
            hmm_posteriors(emission, empty, self.jumps_, self.p_empty, posterior, departures, jump_counts)
        )

    def _posterior(self, t: Float[np.ndarray, "m n"]) -> tuple[Float[np.ndarray, "m n"], float]:
        posterior = np.empty_like(t)
        log_likelihood = self._run(t, posterior, np.zeros(t.shape[1]), np.zeros(len(self.jumps_)))
        return posterior, log_likelihood

    def _best(self, t: Float[np.ndarray, "m n"]) -> Int[np.ndarray, " m"]:
        n = t.shape[1] - 1
        norms = np.empty(n + 1)
        jump_norms(self.jumps_, n, norms)
        widths = np.clip(np.arange(n + 1) - np.arange(n + 1)[:, None], -self.max_jump, self.max_jump)
        log_from = np.log(self.jumps_[widths + self.max_jump] / norms[:, None])
        with np.errstate(divide="ignore"):
            log_t = np.log(t)
        emission, empty = np.ascontiguousarray(log_t[:, 1:]), np.ascontiguousarray(log_t[:, 0])
        return np.asarray(hmm_best(emission, empty, log_from, np.log(self.p_empty), np.log1p(-self.p_empty)))

"""Implicit alignment: a small sequence-to-sequence model whose attention, learned for another purpose, says what goes with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.alignment import _costs
from polymodal.alignment._parallel_text import words_of
from polymodal.alignment.answer import Alignment
from polymodal.alignment.dtw import DTW
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float, Int
from polymodal.nn.scored_attention import Score, ScoredAttention
from polymodal.training.batches import Batch
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.seeding import seeded

START, UNKNOWN, FIRST = 0, 1, 2
DEFAULT_TRAINING = Training(max_epochs=30, batch_size=64, learning_rate=3e-3)


class AttentiveModule(nn.Module):
    """A recurrent reader of a in both directions, a recurrent writer of b, and attention of the writer to what was read.

    Args:
        n_words_a: Words of a, or 0 where a comes as frames.
        n_features: Features of a frame of a (not used for words).
        n_words_b: Words of b.
        width: Features of a state.
        score: See `ScoredAttention`.
        dropout: Share of features dropped while training.
    """

    def __init__(
        self, n_words_a: int, n_features: int, n_words_b: int, *, width: int, score: Score, dropout: float
    ) -> None:
        super().__init__()
        self.enter: nn.Module = nn.Embedding(n_words_a, width) if n_words_a else nn.Linear(n_features, width)
        self.words = nn.Embedding(n_words_b, width)
        self.reader = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.writer = nn.GRU(width, width, batch_first=True)
        self.attention = ScoredAttention(width, width, score=score, width=width)
        self.mix = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_words_b)

    def forward(
        self, a: Tensor, mask_a: Bool[Tensor, "u n"], b: Int[Tensor, "u m"]
    ) -> tuple[Float[Tensor, "u m v"], Float[Tensor, "u m n"]]:
        """Scores of each word at each place of b, given the words before it and a; and the attention of that place to a."""
        lengths = mask_a.sum(1).cpu()
        entered = self.drop(self.enter(a))
        packed = nn.utils.rnn.pack_padded_sequence(entered, lengths, batch_first=True, enforce_sorted=False)
        read, _ = nn.utils.rnn.pad_packed_sequence(
            self.reader(packed)[0], batch_first=True, total_length=a.shape[1]
        )
        before = torch.cat([torch.full_like(b[:, :1], START), b[:, :-1]], dim=1)
        written, _ = self.writer(self.drop(self.words(before)))
        # what is taken from a is what stood there, beside what was read around it: so that the weights point at words
        context, weights = self.attention(written, read + entered, mask_a)
        mixed = torch.tanh(self.mix(torch.cat([context, written], dim=-1)))
        return self.head(self.drop(mixed)), weights


class AttentionAligner:
    r"""Learns to write b given a, from pairs of which nothing else is known; its attention is then the alignment.

    $$ p(b \mid a) = \prod_j p(b_j \mid b_{<j}, c_j), \qquad c_j = \sum_i \alpha_{ij} h_i(a) $$

    What the model attends to when it writes $b_j$ is what it needs to know, which is often, not always, what $b_j$ means. That is a
    by-product, so measure it (`alignment_error_rate`, `path_error`); with few thousand pairs the models made for alignment (`IBM1`,
    `HMMWordAligner`) are better.

    Args:
        width: Features of a state, even.
        score: "additive", "bilinear", "dot" or "scaled-dot"; see `ScoredAttention`.
        monotone: Read the attention as a path that never goes back (dynamic time warping of -log of it) rather than, for each element
            of b, as the strongest element of a.
        dropout: Share of features dropped while training, in [0, 1).
        training: How to train.
        random_state: Fixes weights and order.

    Attributes:
        module_: The networks.
        history_: Losses per epoch, in nats per word of b.

    Complexity:
        An epoch: O(sum of n m width) for the attention, O((n + m) width^2) for the recurrences.

    Relations:
        * the coupling's columns each add up to 1.
        * the cost is -log p(b | a), in nats.

    References:
        Bahdanau, Cho and Bengio 2015. Luong, Pham and Manning 2015. Koehn and Knowles 2017, section 3.5 (attention is not alignment).
    """

    def __init__(
        self,
        width: int = 64,
        *,
        score: Score = "bilinear",
        monotone: bool = False,
        dropout: float = 0.2,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.width = width
        self.score = score
        self.monotone = monotone
        self.dropout = dropout
        self.training = training
        self.random_state = random_state

    def __repr__(self) -> str:
        return f"AttentionAligner({self.width}, score={self.score!r})"

    # --- learning ---------------------------------------------------------------------------------------------------

    def fit(self, a: Sequence[Any], b: Sequence[Any]) -> AttentionAligner:
        """Learn from pairs; returns itself.

        Args:
            a: Texts or lists of words, or sequences of frames (frames, features).
            b: Texts or lists of words, as many.

        Raises:
            ModalityError: unequal numbers, an empty side, or no pairs.
            ConfigError: a parameter out of range.
        """
        if self.width < 2 or self.width % 2 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"AttentionAligner needs an even width >= 2 and dropout in [0, 1), got {self.width} and {self.dropout}."
            )
        if isinstance(a, str) or isinstance(b, str) or len(a) != len(b) or not len(a):
            raise ModalityError(
                f"AttentionAligner learns from pairs, as many of a as of b and at least one, got {len(a)} and {len(b)}."
            )
        self.vocabulary_a_ = None if _is_frames(a[0]) else _vocabulary(a)
        self.vocabulary_b_ = _vocabulary(b)
        x = [self._enter(s, f"a[{k}]") for k, s in enumerate(a)]
        y = [self._write(s, f"b[{k}]") for k, s in enumerate(b)]
        self._learn_scale(x)
        data = Modalities({"a": Ragged.of(x), "b": Ragged.of(y)})
        with seeded(self.random_state) as seed:
            module = AttentiveModule(
                0 if self.vocabulary_a_ is None else len(self.vocabulary_a_) + FIRST,
                1 if x[0].ndim == 1 else x[0].shape[1],
                len(self.vocabulary_b_) + FIRST,
                width=self.width, score=self.score, dropout=self.dropout,
            )  # fmt: skip
        self.history_ = train(
            module, self._loss, data, collates={"a": self._collate, "b": self._collate}, options=self.training,
            random_state=None if self.random_state is None else seed,
        )  # fmt: skip
        self.module_ = module
        return self

    def _loss(self, module: nn.Module, batch: Batch) -> Tensor:
        (a, mask_a), (b, mask_b) = (
            _rows(batch.columns[name].values, batch.columns[name].index) for name in "ab"
        )
        scores, _ = module(a, mask_a, b)
        return nn.functional.cross_entropy(scores[mask_b], b[mask_b])

    def _collate(self, sequences: Ragged) -> dict[str, Tensor]:
        values, mask = sequences.pad()
        if values.dtype.kind == "f":
            values = ((values - self._mean) / self._scale).astype(np.float32)
        return {"values": torch.as_tensor(values), "mask": torch.as_tensor(mask)}

    def _learn_scale(self, sequences: Sequence[np.ndarray]) -> None:
        self._mean, self._scale = np.zeros(1), np.ones(1)
        if self.vocabulary_a_ is None:
            frames = np.concatenate(sequences)
            spread = frames.std(axis=0)
            self._mean, self._scale = frames.mean(axis=0), np.where(spread > 0, spread, 1.0)

    # --- using ------------------------------------------------------------------------------------------------------

    def align(self, a: Any, b: Any) -> Alignment:
        """What each element of b attends to in a, when the model is made to write b.

        Raises:
            NotFittedError: before `fit`.
            ModalityError: an empty side, or frames where words were learned from.
        """
        if not hasattr(self, "module_"):
            raise NotFittedError("This AttentionAligner has learned nothing yet. Call fit(a, b) first.")
        x, y = self._enter(a, "a"), self._write(b, "b")
        rate = getattr(a, "rate", None) or 1.0
        inputs = self._collate(Ragged.of([x]))
        numbers = torch.as_tensor(y)[None]
        with torch.no_grad():
            scores, weights = self.module_(inputs["values"], inputs["mask"], numbers)
        cost = float(nn.functional.cross_entropy(scores[0].double(), numbers[0], reduction="sum"))
        return self._answer(weights[0].double().numpy().T, cost, (float(rate), 1.0))

    def align_costs(self, costs: Any) -> Alignment:
        """Costs as -log of unnormalised attention, read in the same way; nothing learned is needed."""
        given = np.asarray(costs, dtype=np.float64)
        if given.ndim != 2 or not given.size or np.isnan(given).any():
            raise ModalityError(f"align_costs needs a matrix of costs without NaN, got shape {given.shape}.")
        weights = np.exp(given.min(axis=0) - given)
        return self._answer(weights / weights.sum(axis=0), float(given.min(axis=0).sum()), (1.0, 1.0))

    def _answer(
        self, weights: Float[np.ndarray, "n m"], cost: float, rates: tuple[float, float]
    ) -> Alignment:
        if self.monotone:
            path = DTW(step="symmetric2").align_costs(-np.log(np.maximum(weights, 1e-12))).path
        else:
            path = np.stack([weights.argmax(axis=0), np.arange(weights.shape[1])], axis=1).astype(np.int64)
            path = path[np.lexsort((path[:, 1], path[:, 0]))]
        per_word = cost / weights.shape[1]
        return Alignment.of_coupling(
            weights, self, cost=cost, path=path, normalised_cost=per_word, rates=rates
        )

    def _enter(self, a: Any, name: str) -> np.ndarray:
        if self.vocabulary_a_ is not None:
            return _numbers(a, self.vocabulary_a_, name)
        if not _is_frames(a):
            raise ModalityError(
                f"{name} must be frames of numbers, as those that were learned from, got words."
            )
        return _costs.frames(a, name)[0].astype(np.float32)

    def _write(self, b: Any, name: str) -> np.ndarray:
        return _numbers(b, self.vocabulary_b_, name)


def _is_frames(sequence: Any) -> bool:
    if isinstance(sequence, str):
        return False
    return isinstance(sequence, Ragged) or np.asarray(sequence).dtype.kind in "fiub"


def _vocabulary(sentences: Sequence[Any]) -> dict[str, int]:
    """Words that stand at least twice, or all where none does, numbered after the two reserved numbers."""
    counts = Counter(word for s in sentences for word in words_of(s))
    known = sorted(w for w, c in counts.items() if c > 1) or sorted(counts)
    return {word: i for i, word in enumerate(known, start=FIRST)}


def _numbers(sentence: Any, vocabulary: dict[str, int], name: str) -> np.ndarray:
    if _is_frames(sentence) and len(sentence):
        raise ModalityError(f"{name} must be a text or a list of words, got numbers.")
    words = words_of(sentence)
    if not words:
        raise ModalityError(f"{name} holds no word; at least one is needed to align.")
    return np.array([vocabulary.get(w, UNKNOWN) for w in words], dtype=np.int64)


def _rows(values: Any, index: Tensor) -> tuple[Tensor, Tensor]:
    """The sequences of a batch's rows, padding cut to the longest among them."""
    mask = values["mask"][index]
    longest = int(mask.sum(1).max())
    return values["values"][index, :longest], mask[:, :longest]

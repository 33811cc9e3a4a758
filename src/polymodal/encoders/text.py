"""Texts: a tokenizer trained on the data, then a bag of tokens or a transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modality
from polymodal.core.typing import Int, Kind
from polymodal.encoders.base import (
    EncoderModule,
    PooledModule,
    check_heads,
    check_kind,
    check_numbers,
    value_blocks,
)
from polymodal.encoders.spelling import UNKNOWN, Speller
from polymodal.nn.attention import MeanMixer, TransformerBlock, trim
from polymodal.nn.mlp import MLP
from polymodal.nn.pooling import AttentionPool, masked_mean
from polymodal.nn.positions import sine_positions

Tokens = Literal["spelled", "pieces", "words"]

TOKEN_SPREAD = 0.05
"""Standard deviation of token vectors before training: small beside what an optimiser moves them, for most tokens are
rare and are moved seldom."""

SPELLING_ONLY = 0.1
"""Share of spelled words that, while training, are shown as unknown words of this spelling: what unseen words will be."""

POSITION_SPREAD = 0.05
"""Factor on the positions, so that they do not drown the tokens."""
_PAD, _UNKNOWN = "[PAD]", "[UNK]"


def train_tokenizer(texts: Sequence[str], *, tokens: Tokens, vocabulary: int) -> str:
    """A tokenizer learned from texts, as JSON: a `Speller`'s, or that of the `tokenizers` library.

    Lower-cases after NFKC. "spelled" gives whole words with their trigrams (`Speller`), "pieces" is byte-pair
    encoding inside words (Sennrich et al. 2016), "words" whole words and single marks; what was never seen becomes one
    unknown token. The order of the texts does not matter.

    Args:
        texts: What to learn from.
        tokens: Kind of token.
        vocabulary: Most tokens, with the two special ones.
    """
    if tokens == "spelled":
        return Speller.train(texts, vocabulary=vocabulary).to_str()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    special = [_PAD, _UNKNOWN]
    if tokens == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token=_UNKNOWN))
        trainer: Any = trainers.WordLevelTrainer(
            vocab_size=vocabulary, special_tokens=special, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(sorted(texts), trainer)
    text: str = tokenizer.to_str()
    return text


def check_tokens(recipe: Any) -> None:
    """Refuse a kind of token nobody makes, and a share of hidden tokens that leaves none."""
    if not 0 <= recipe.token_dropout < 1:
        raise ConfigError(
            f"{type(recipe).__name__} needs token_dropout in [0, 1), got {recipe.token_dropout!r}."
        )
    if recipe.tokens not in ("spelled", "pieces", "words"):
        raise ConfigError(
            f'{type(recipe).__name__} needs tokens to be "spelled", "pieces" or "words", got {recipe.tokens!r}.'
        )


class TextModule(EncoderModule):
    """What text encoders share: the tokenizer, and batches of token numbers with a mask."""

    def __init__(
        self, settings: Mapping[str, Any], dim: int, recipe: BagOfTokensEncoder | TextTransformerEncoder
    ) -> None:
        super().__init__()
        self.dim = dim
        self._hide, self._max_length = recipe.token_dropout, recipe.max_length
        self._tokenize: Speller | Pieces = (Speller if recipe.tokens == "spelled" else Pieces).from_str(
            settings["tokenizer"]
        )
        self.embed = nn.Embedding(len(self._tokenize), recipe.width)
        nn.init.normal_(self.embed.weight, std=TOKEN_SPREAD)

    def collate(self, values: Any) -> dict[str, Tensor]:
        """Texts -> token numbers (u, t, g) and a mask (u, t), t the longest; at most `max_length` tokens of each are read."""
        ids = torch.from_numpy(self._tokenize(list(values), self._max_length))
        return {"ids": ids, "mask": ids[:, :, 0] != 0}

    def words(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Token vectors (u, t, width) and mask, cut to the longest text of the batch.

        The vector of a spelled word is its own plus the mean of its trigrams'. While training, some tokens are hidden
        (never all of a text), and some spelled words show only how they are spelled.
        """
        steps = trim(batch["mask"])
        ids, mask = batch["ids"][:, :steps], batch["mask"][:, :steps]
        if self.training and self._hide:
            kept = mask & (torch.rand(mask.shape, device=mask.device) >= self._hide)
            mask = torch.where(kept.any(1, keepdim=True), kept, mask)
        ids = ids.masked_fill(~mask[..., None], 0)
        words, grams = ids[:, :, 0], ids[:, :, 1:]
        if not grams.shape[2]:
            return self.embed(words), mask
        if self.training:
            hidden = (torch.rand(words.shape, device=words.device) < SPELLING_ONLY) & mask
            words = words.masked_fill(hidden, UNKNOWN)
        spelled = functional.embedding_bag(grams.flatten(0, 1), self.embed.weight, mode="mean", padding_idx=0)
        return self.embed(words) + spelled.view(*words.shape, -1), mask


class Pieces:
    """A tokenizer of the `tokenizers` library, called as a `Speller` is; its tokens are not made of anything."""

    def __init__(self, text: str) -> None:
        from tokenizers import Tokenizer

        self._text = text
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.enable_padding(pad_id=0, pad_token=_PAD)

    @classmethod
    def from_str(cls, text: str) -> Pieces:
        """What `train_tokenizer` gave."""
        return cls(text)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pieces:
        return Pieces(self._text)  # the library's object cannot be copied

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def __call__(self, texts: Sequence[str], max_length: int) -> Int[np.ndarray, "u t 1"]:
        """Numbers of the tokens of each text; 0 fills up."""
        self._tokenizer.enable_truncation(max_length)
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        ids = np.array([e.ids for e in encodings], dtype=np.int64).reshape(len(encodings), -1)
        return (ids if ids.shape[1] else np.zeros((len(encodings), 1), dtype=np.int64))[:, :, None]


def text_settings(encoder: Any, modality: Modality) -> dict[str, Any]:
    """The tokenizer, trained on the texts that some row uses."""
    check_kind(encoder, modality)
    texts = [text for block in value_blocks(modality) for text in block]
    return {"tokenizer": train_tokenizer(texts, tokens=encoder.tokens, vocabulary=encoder.vocabulary)}


class BagModule(TextModule):
    """The mean of token vectors, through an `MLP`."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: BagOfTokensEncoder) -> None:
        super().__init__(settings, dim, recipe)
        self.layers = MLP(
            recipe.width, dim, width=2 * recipe.width, depth=recipe.depth, dropout=recipe.dropout
        )

    def forward(self, batch: Any) -> Tensor:
        """One vector per text; the order of its tokens does not matter."""
        vectors, mask = self.words(batch)
        out: Tensor = self.layers(masked_mean(vectors, mask))
        return out

    def tokens(self, batch: Any) -> tuple[Tensor, Tensor]:
        """One vector per token, that of a text of this token alone."""
        vectors, mask = self.words(batch)
        return self.layers(vectors), mask


@dataclass(frozen=True)
class BagOfTokensEncoder:
    """The mean of learned token vectors, as in continuous bags of words (Mikolov et al. 2013), through fully connected layers.

    Args:
        width: Features of a token.
        depth: Hidden layers after the mean, each twice as wide.
        tokens: "spelled" (whole words with their trigrams, so that rare words share what they are made of), "pieces"
            (byte-pair encoding) or whole "words".
        vocabulary: Most tokens (of spelled words: most words, and most trigrams).
        max_length: Tokens read of each text.
        dropout: Share of hidden features dropped while training, in [0, 1).
        token_dropout: Share of tokens hidden while training, in [0, 1): half of them helps where texts are few.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"text"})

    width: int = 128
    depth: int = 1
    tokens: Tokens = "spelled"
    vocabulary: int = 8000
    max_length: int = 256
    dropout: float = 0.0
    token_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(
            self,
            positive=("width", "vocabulary", "max_length"),
            not_negative=("depth",),
            dropout=self.dropout,
        )
        check_tokens(self)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """The trained tokenizer."""
        return text_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return BagModule(settings, dim, self)


class TextTransformerModule(PooledModule, TextModule):
    """Token vectors and positions, transformer blocks, attention pooling."""

    def __init__(self, settings: Mapping[str, Any], dim: int, recipe: TextTransformerEncoder) -> None:
        super().__init__(settings, dim, recipe)
        width = recipe.width
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width,
                heads=recipe.heads,
                dropout=recipe.dropout,
                mixer=MeanMixer(width) if recipe.mix == "mean" else None,
            )
            for _ in range(recipe.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.pool = AttentionPool(width, heads=recipe.heads)
        self.head = nn.Linear(width, dim)

    def states(self, batch: Any) -> tuple[Tensor, Tensor]:
        """What the blocks make of each token."""
        steps, mask = self.words(batch)
        places = torch.arange(steps.shape[1], dtype=torch.float32, device=steps.device)
        steps = steps + POSITION_SPREAD * sine_positions(places, steps.shape[-1]).to(steps.dtype)
        for block in self.blocks:
            steps = block(steps, mask)
        return self.norm(steps), mask


@dataclass(frozen=True)
class TextTransformerEncoder:
    """A transformer over tokens (Vaswani et al. 2017).

    Args:
        width: Features of a token; a multiple of `heads`.
        depth: Transformer blocks.
        heads: Attention heads.
        mix: What moves between tokens: "attention", or their "mean" (cheaper, enough for short names).
        tokens: "spelled" (whole words with their trigrams, so that rare words share what they are made of), "pieces"
            (byte-pair encoding) or whole "words".
        vocabulary: Most tokens (of spelled words: most words, and most trigrams).
        max_length: Tokens read of each text.
        dropout: Share of features dropped while training, in [0, 1).
        token_dropout: Share of tokens hidden while training, in [0, 1).
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"text"})

    width: int = 128
    depth: int = 2
    heads: int = 4
    mix: Literal["attention", "mean"] = "attention"
    tokens: Tokens = "spelled"
    vocabulary: int = 8000
    max_length: int = 128
    dropout: float = 0.0
    token_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(
            self, positive=("width", "depth", "heads", "vocabulary", "max_length"), dropout=self.dropout
        )
        check_heads(self)
        check_tokens(self)
        if self.mix not in ("attention", "mean"):
            raise ConfigError(
                f'TextTransformerEncoder needs mix to be "attention" or "mean", got {self.mix!r}.'
            )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """The trained tokenizer."""
        return text_settings(self, modality)

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        return TextTransformerModule(settings, dim, self)

"""CLIP's tokens: byte-pair encoding between a start and an end token. The vocabulary comes with a checkpoint, or from texts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.errors import ModelFormatError
from polymodal.core.typing import Int

START, END = "<|startoftext|>", "<|endoftext|>"
SUFFIX = "</w>"
SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class TruncatedTextWarning(UserWarning):
    """Some texts are longer than a pretrained tower reads; their ends are not read."""


class CLIPTokens:
    """Texts to token numbers between a start and an end.

    Args:
        text: JSON of the `tokenizers` library (`read_tokenizer`, `train_clip_tokenizer`).

    Raises:
        ModelFormatError: no start or no end token.
    """

    def __init__(self, text: str) -> None:
        from tokenizers import Tokenizer

        self._text = text
        self._tokenizer: Any = Tokenizer.from_str(text)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        ends: list[Any] = [self._tokenizer.token_to_id(token) for token in (START, END)]
        if None in ends:
            raise ModelFormatError(
                f"A tokenizer of CLIP needs the tokens {START} and {END}; this one, of {len(self)} tokens, lacks "
                f"{[t for t, i in zip((START, END), ends, strict=True) if i is None]}. Take the tokenizer of a CLIP checkpoint."
            )
        self.start, self.end = int(ends[0]), int(ends[1])

    def __deepcopy__(self, memo: dict[int, Any]) -> CLIPTokens:
        return CLIPTokens(self._text)  # the library's object cannot be copied

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    @property
    def largest(self) -> int:
        """Largest token number."""
        return int(max(self._tokenizer.get_vocab().values()))

    def __call__(
        self, texts: Sequence[str], context: int
    ) -> tuple[Int[np.ndarray, "u t"], Int[np.ndarray, " u"]]:
        """Token numbers, filled up with 0, and where each end token stands.

        A text of more than `context` - 2 tokens is cut before its end token, as published; a `TruncatedTextWarning` says so.
        """
        rows = [e.ids for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        cut = [len(row) for row in rows if len(row) > context - 2]
        if cut:
            warnings.warn(
                f"{len(cut)} of {len(rows)} texts are longer than the {context - 2} tokens that this tower reads (the longest has "
                f"{max(cut)}); their ends are not read.",
                TruncatedTextWarning,
                stacklevel=2,
            )
        rows = [[self.start, *row[: context - 2], self.end] for row in rows]
        ids = np.zeros((len(rows), max(map(len, rows), default=2)), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        return ids, (ids == self.end).argmax(axis=1)


def read_tokenizer(folder: Path) -> str:
    """The tokenizer of a checkpoint as JSON: its tokenizer.json, or its vocab.json and merges.txt.

    Raises:
        ModelFormatError: neither is there, or one is damaged.
    """
    from tokenizers import Tokenizer

    whole, vocabulary, merges = (folder / n for n in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if whole.is_file():
            text: str = Tokenizer.from_str(whole.read_text(encoding="utf-8")).to_str()
            return text
        if vocabulary.is_file() and merges.is_file():
            lines = merges.read_text(encoding="utf-8").splitlines()
            pairs = [
                tuple(line.split()) for line in lines if line.strip() and not line.startswith("#version")
            ]
            return _clip_tokenizer(json.loads(vocabulary.read_text(encoding="utf-8")), pairs)
    except Exception as error:
        # the library raises plain Exception; anything else is a mistake of ours
        if type(error) is not Exception and not isinstance(error, ValueError | TypeError | OSError):
            raise
        raise ModelFormatError(
            f"The tokenizer in {folder} cannot be read ({error}). Copy its files again."
        ) from None
    held = sorted(p.name for p in folder.iterdir())[:8]
    raise ModelFormatError(
        f"{folder} needs a tokenizer, tokenizer.json or vocab.json with merges.txt; it holds {held}. Copy the tokenizer's files of "
        "the published checkpoint into it."
    )


def train_clip_tokenizer(texts: Sequence[str], vocabulary: int) -> str:
    """A tokenizer in CLIP's form learned from texts, as JSON; the order of the texts does not matter.

    Args:
        texts: What to learn from.
        vocabulary: Most tokens; the 512 of single bytes and the two ends always stay.
    """
    from tokenizers import Tokenizer, pre_tokenizers, trainers

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    single = [*bytes_, *(b + SUFFIX for b in bytes_)]
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocabulary - 2, len(single)),
        initial_alphabet=bytes_,
        end_of_word_suffix=SUFFIX,
        # END: what the library's model takes for unknown; no byte is. The others: so that their numbers, which decide between pairs
        # that are equally frequent, do not depend on chance
        special_tokens=[END, *single[len(bytes_) :]],
        show_progress=False,
    )
    learner = Tokenizer.from_str(_clip_tokenizer({END: 0}, []))
    learner.train_from_iterator(sorted(texts), trainer)
    pairs = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    pairs = pairs[: max(0, vocabulary - 2 - len(single))]
    tokens = dict.fromkeys([*single, *("".join(pair) for pair in pairs), START, END])
    return _clip_tokenizer({token: i for i, token in enumerate(tokens)}, pairs)


def _clip_tokenizer(vocabulary: dict[str, int], merges: list[Any]) -> str:
    """The published steps around a vocabulary: NFC, single spaces, lower case, words and marks, bytes, pairs."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix=SUFFIX,
            fuse_unk=False,
            unk_token=END,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    known = [AddedToken(t, special=True, normalized=False) for t in (START, END) if t in vocabulary]
    tokenizer.add_special_tokens(known)
    text: str = tokenizer.to_str()
    return text

"""`align` on two texts: word alignment learned from their sentence pairs."""

from __future__ import annotations

import importlib
from typing import Any

from polymodal.alignment._parallel_text import words_of
from polymodal.alignment.symmetrised import RULES, Symmetrised
from polymodal.commands.alignment_result import Pair
from polymodal.commands.alignment_settings import FEW_PAIRS, WORD_MODELS, AlignSettings
from polymodal.commands.alignment_sources import Sentences, read_sequence
from polymodal.core.errors import ConfigError, DataError, suggest


def align_sentences(
    a: Sentences, b: Sentences, method: str | None, settings: AlignSettings
) -> tuple[list[Pair], str, str, list[str]]:
    """Learn from all sentence pairs, and link the words of those of a and b.

    Raises:
        ConfigError: a method or setting that is not for words, or too little to learn from.
        DataError: numbers of lines that differ.
    """
    name = method or "hmm"
    if name not in WORD_MODELS:
        raise ConfigError(
            f"--method {name} compares numbers; {a.path} and {b.path} are texts. Use one of {sorted(WORD_MODELS)}."
        )
    if settings.window is not None or settings.normalise is not None:
        raise ConfigError("--window and --normalise are for frames, and these are texts. Leave them out.")
    model = _model(name, settings)
    _same_number(a, b)
    notes: list[str] = []
    train_a, train_b = _training(settings)
    lines_a, lines_b = [*train_a, *a.lines], [*train_b, *b.lines]
    split = [(words_of(x, lowercase=False), words_of(y, lowercase=False)) for x, y in zip(a.lines, b.lines, strict=True)]  # fmt: skip
    kept = [(k, x, y) for k, (x, y) in enumerate(split) if x and y]
    if not kept:
        raise DataError(f"No line of {a.path} and {b.path} has words on both sides. There is nothing to align.")  # fmt: skip
    if len(kept) < len(split):
        notes.append(f"left out {len(split) - len(kept)} of {len(split)} sentence pairs with an empty side")
    usable = len(kept) + sum(bool(x and y) for x, y in zip(train_a, train_b, strict=True))
    if usable < 2:
        raise ConfigError(
            f"{a.path} and {b.path} hold one sentence pair, from which no word can be learned: every word meets every other once. Give "
            "more lines, or sentence pairs of the same languages to learn from: --train-a FILE --train-b FILE."
        )
    notes.append(f"words learned from {usable:,} sentence pairs")
    if usable < FEW_PAIRS:
        notes.append(
            "that is few: rare words are linked by chance; thousands of pairs are usual (--train-a, --train-b)"
        )
    try:
        model.fit(lines_a, lines_b)
    except (TypeError, ValueError) as error:
        if not settings.parameters:
            raise
        raise ConfigError(
            f"{name} does not take the parameters {dict(settings.parameters)} ({error})."
        ) from error
    pairs = [Pair(model.align(x, y), x, y, k) for k, x, y in kept]
    return pairs, name, repr(model), notes


def _model(name: str, settings: AlignSettings) -> Any:
    module, cls = WORD_MODELS[name]
    made = getattr(importlib.import_module(f"polymodal.alignment.{module}"), cls)
    if settings.rule not in (*RULES, "forward"):
        known = [*RULES, "forward"]
        raise ConfigError(f"--rule is one of {known}, got {settings.rule!r}.{suggest(settings.rule, known)}")
    try:
        model = made(**settings.parameters)
    except TypeError as error:
        raise ConfigError(
            f"{name} does not take the parameters {dict(settings.parameters)} ({error})."
        ) from None
    return model if settings.rule == "forward" else Symmetrised(model, settings.rule)


def _training(settings: AlignSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if settings.train is None:
        return (), ()
    sides = [read_sequence(path) for path in settings.train]
    for path, side in zip(settings.train, sides, strict=True):
        if not isinstance(side, Sentences):
            raise ConfigError(f"--train-a and --train-b are texts, a sentence a line (.txt), got {path}.")
    first, second = (side for side in sides if isinstance(side, Sentences))
    _same_number(first, second)
    return first.lines, second.lines


def _same_number(a: Sentences, b: Sentences) -> None:
    if len(a.lines) != len(b.lines):
        raise DataError(
            f"Sentence pairs need as many lines in both files: {a.path} has {len(a.lines)}, {b.path} has {len(b.lines)}. Line k of one "
            "is the translation of line k of the other; leave a line empty where there is none."
        )

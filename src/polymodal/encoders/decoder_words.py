"""From codes to words: how likely each known word is in a text, whatever their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modality
from polymodal.encoders.base import value_blocks
from polymodal.encoders.decoder_base import Decoder
from polymodal.encoders.spelling import words_of
from polymodal.encoders.text import BagOfTokensEncoder, TextTransformerEncoder
from polymodal.objectives.likelihoods import CategoricalLikelihood

FIRST_WORD = 2  # 0 fills up, 1 is an unknown word


def words_settings(modality: Modality, recipe: BagOfTokensEncoder | TextTransformerEncoder) -> dict[str, Any]:
    """The words that the encoder's tokenizer knows, in the order of their numbers, and how many a text has.

    Raises:
        ModalityError: a tokenizer of pieces of words, which make no words without their order.
    """
    if recipe.tokens == "pieces":
        raise ModalityError(
            f'Texts are made again as words, got {type(recipe).__name__}(tokens="pieces"). Take tokens="spelled" or "words".'
        )
    tokenizer = json.loads(recipe.prepare(modality)["tokenizer"])
    if recipe.tokens == "spelled":
        words = list(tokenizer["words"])
    else:
        numbers: dict[str, int] = tokenizer["model"]["vocab"]
        words = sorted(numbers, key=numbers.__getitem__)[FIRST_WORD:]
    counts = [len(words_of(text)[: recipe.max_length]) for block in value_blocks(modality) for text in block]
    return {
        "shape": (len(words),),
        "restored": (),
        "mean": [],
        "scale": [],
        "words": words,
        "length": max(1, round(float(np.median(counts)))),
        "likelihood": CategoricalLikelihood(),
    }


class WordsDecoder(Decoder):
    """Counts of the known words of a text under one probability each; unknown words do not count.

    Args:
        network: Maps (u, dim) codes to (u, words).
        settings: What `words_settings` learned.

    Relations:
        * the log probability of a text is that of its known words, drawn one by one: their order does not matter.
    """

    def __init__(self, network: nn.Module, settings: Mapping[str, Any]) -> None:
        super().__init__(network, settings)
        self.words = np.array(settings["words"], dtype=object)
        self.length = int(settings["length"])

    def read(self, values: Any) -> Tensor:
        """How often each text has each word, (u, words)."""
        numbers = (values["ids"][:, :, 0] - FIRST_WORD).masked_fill(~values["mask"], -1)
        known = (numbers >= 0) & (numbers < self.size)
        counts = torch.zeros(len(numbers), self.size, device=numbers.device)
        return counts.scatter_add(1, numbers.clamp(0, self.size - 1), known.float())

    def errors(self, parameters: Tensor, targets: Tensor) -> Tensor:
        """Squared errors of each text, (..., n): shares of its words against probabilities."""
        return super().errors(parameters, targets / targets.sum(dim=-1, keepdim=True).clamp_min(1))

    def restore(self, parameters: np.ndarray) -> np.ndarray:
        """The likeliest words, likeliest first, as many as half of the training texts have; strings (...) as objects."""
        best = np.argsort(-parameters, axis=-1, kind="stable")[..., : self.length]
        texts = np.empty(best.shape[:-1], dtype=object)
        for place in np.ndindex(texts.shape):
            texts[place] = " ".join(self.words[best[place]])
        return texts

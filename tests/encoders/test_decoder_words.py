from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.encoders import BagOfTokensEncoder, TextTransformerEncoder
from polymodal.encoders.decoder_words import words_settings
from polymodal.encoders.decoders import build_decoder, prepare_decoders
from polymodal.fusion import MMVAE
from polymodal.nn.towers import Towers
from polymodal.training import Training
from polymodal.training.batches import make_batch

TEXTS = ["a red cat", "a dog", "red red dog", "cat"]


def made(texts: list[str | None], recipe: Any) -> tuple[Any, Any]:
    known = Modalities({"text": TEXTS})
    settings = prepare_decoders({"text": recipe}, known, method="This")["text"]
    towers = Towers({"text": recipe.build(recipe.prepare(known["text"]), 4)})
    data = Modalities({"text": texts})
    columns = make_batch(data, np.arange(len(texts)), towers.collates).columns
    torch.manual_seed(0)
    return build_decoder(recipe, settings, 2), columns["text"]


@pytest.mark.parametrize("tokens", ["spelled", "words"])
def test_counts_are_those_of_the_words(tokens: Any) -> None:
    decoder, column = made(["red red dog", None, "a blue cat"], BagOfTokensEncoder(tokens=tokens))
    targets = decoder.targets(column)
    words = decoder.words.tolist()
    assert sorted(words) == ["a", "cat", "dog", "red"]
    counts = [dict(zip(words, row, strict=True)) for row in targets.int().tolist()]
    assert counts[0] == {"red": 2, "dog": 1, "a": 0, "cat": 0}
    assert counts[2] == {"a": 1, "cat": 1, "red": 0, "dog": 0}  # blue is unknown
    p = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(3, 4)
    found = decoder.log_prob(p, targets)[0].item()
    at = {word: p[0, words.index(word)].item() for word in words}
    assert found == pytest.approx(2 * at["red"] + at["dog"], rel=1e-5)


def test_the_likeliest_words_come_back() -> None:
    decoder, _ = made(TEXTS, TextTransformerEncoder(width=8, heads=1))
    assert decoder.length == 2  # the median of 3, 2, 3 and 1 is 2.5
    order = {"dog": 3.0, "red": 2.0, "a": 1.0, "cat": 0.0}
    parameters = np.array([[order[word] for word in decoder.words]])
    assert decoder.restore(parameters).tolist() == ["dog red"]
    assert decoder.restore(parameters[None]).shape == (1, 1)


def test_errors_compare_shares() -> None:
    decoder, column = made(["dog dog"], BagOfTokensEncoder())
    sure = torch.from_numpy(np.where(decoder.words == "dog", 50.0, 0.0))[None].float()
    assert decoder.errors(sure, decoder.targets(column)).item() == pytest.approx(0, abs=1e-6)
    even = decoder.errors(torch.zeros(1, 4), decoder.targets(column)).item()
    assert even == pytest.approx(0.75**2 + 3 * 0.25**2)


def test_pieces_are_refused() -> None:
    with pytest.raises(ModalityError, match='tokens="pieces"'):
        words_settings(Modalities({"text": TEXTS})["text"], BagOfTokensEncoder(tokens="pieces"))


def test_words_from_vectors_and_back(rng: np.random.Generator) -> None:
    names = np.array(["red circle", "blue square", "green bar"])
    which = rng.integers(3, size=48)
    data = Modalities(
        {"x": np.eye(3)[which] * 2 + 0.1 * rng.normal(size=(48, 3)), "name": names[which].tolist()}
    )
    training = Training(max_epochs=25, batch_size=12, learning_rate=1e-2, device="cpu", progress=False)
    encoders = {"name": BagOfTokensEncoder(width=16)}
    model = MMVAE(2, encoders=encoders, training=training, random_state=0).fit(data)
    said = model.generate(data.select("x"), target="name")
    right = np.mean([set(a.split()) == set(b.split()) for a, b in zip(said, names[which], strict=True)])
    assert right > 0.9
    assert (model.generate(data.select("name"), target="x").argmax(axis=1) == which).mean() > 0.9
    assert math.isfinite(model.score(data))
    assert all(isinstance(text, str) for text in model.sample(3, random_state=0)["name"].values())
    assert model.generate(data.select("x"), target="name", n_samples=2, random_state=0).shape == (2, 48)

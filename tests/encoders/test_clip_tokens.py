"""Byte pairs between a start and an end."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from polymodal.core.errors import ModelFormatError
from polymodal.encoders.clip_tokens import (
    CLIPTokens,
    TruncatedTextWarning,
    read_tokenizer,
    train_clip_tokenizer,
)

TEXTS = ["a photo of a cat", "the cat's tail", "two dogs, 3 cats!", "naïve café 東京"]


@pytest.fixture
def tokenizer() -> str:
    return train_clip_tokenizer(TEXTS, 560)


def test_equals_transformers(tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    model = json.loads(tokenizer)["model"]
    theirs = transformers.CLIPTokenizer(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]])
    ours = CLIPTokens(tokenizer)
    for text in [*TEXTS, "", "  A   Photo\n of THE cat ", "unseen wörds & signs ½", "it's we'll"]:
        ids, end = ours([text], 77)
        assert ids[0, : end[0] + 1].tolist() == theirs(text)["input_ids"], text


def test_order_of_texts_and_size_of_the_vocabulary(tokenizer) -> None:
    assert train_clip_tokenizer(TEXTS[::-1], 560) == tokenizer
    assert len(CLIPTokens(tokenizer)) <= 560
    assert len(CLIPTokens(train_clip_tokenizer(TEXTS, 1))) == 514  # every byte stays, so no text is unknown
    assert CLIPTokens(tokenizer).largest == len(CLIPTokens(tokenizer)) - 1


def test_cut_before_the_end_token(tokenizer) -> None:
    tokens = CLIPTokens(tokenizer)
    whole, end = tokens(["cat cat cat cat"], 77)
    assert end.tolist() == [5]
    with pytest.warns(TruncatedTextWarning, match="1 of 2 texts .* 3 tokens .* longest has 4"):
        cut, ends = tokens(["cat cat cat cat", "cat"], 5)
    assert ends.tolist() == [4, 2]
    np.testing.assert_array_equal(cut[0], [*whole[0, :4], tokens.end])
    assert cut[1, 3:].tolist() == [0, 0]
    assert copy.deepcopy(tokens)(["cat"], 5)[0].tolist() == [cut[1, :3].tolist()]


def test_reading_either_form(tokenizer, tmp_path) -> None:
    model = json.loads(tokenizer)["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    with pytest.raises(
        ModelFormatError, match=r"tokenizer.json or vocab.json with merges.txt; it holds \['vocab.json'\]"
    ):
        read_tokenizer(tmp_path)
    lines = ["#version: 0.2", *(" ".join(m) for m in model["merges"])]
    (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    assert read_tokenizer(tmp_path) == tokenizer
    (tmp_path / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    assert read_tokenizer(tmp_path) == tokenizer
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        read_tokenizer(tmp_path)


def test_a_tokenizer_without_ends_is_refused() -> None:
    from tokenizers import Tokenizer, models

    with pytest.raises(ModelFormatError, match="lacks"):
        CLIPTokens(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())

import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from polymodal.core import Modality, Texts
from polymodal.core.errors import ConfigError
from polymodal.encoders import BagOfTokensEncoder, EncoderModule, TextTransformerEncoder
from polymodal.encoders.text import check_tokens, train_tokenizer
from polymodal.training import seeded

NAMES = [
    "greek small letter omega with tonos",
    "greek small letter alpha",
    "Latin Capital Letter A",
    "digit one",
    "",
    "plus sign! " * 40,
]
RECIPES = [
    BagOfTokensEncoder(width=8),
    BagOfTokensEncoder(width=8, tokens="words", depth=0),
    TextTransformerEncoder(width=8, heads=2, depth=1),
    TextTransformerEncoder(width=8, heads=2, depth=1, tokens="pieces"),
    TextTransformerEncoder(width=8, heads=2, depth=2, mix="mean", tokens="words", max_length=6),
]


def names(texts: list[str] = NAMES) -> Modality:
    import numpy as np

    return Modality(Texts(texts), np.arange(len(texts)))


@pytest.mark.parametrize("recipe", RECIPES, ids=["bag", "bag of words", "transformer", "pieces", "mean"])
def test_contract(recipe: BagOfTokensEncoder, check_encoder: Callable[..., EncoderModule]) -> None:
    module = check_encoder(recipe, names())
    with torch.no_grad():
        batch = module.collate(NAMES)
        poisoned = {**batch, "ids": batch["ids"].masked_fill(~batch["mask"][..., None], 10**9)}
        assert torch.equal(module(poisoned), module(batch)), "padding enters"
        lower = module(module.collate(["LATIN capital letter a"]))
        torch.testing.assert_close(lower, module(module.collate(["Latin Capital Letter A"])))
        assert module(module.collate(["\u4e2d never seen ☃"])).isfinite().all()
        assert module(module.collate(["", ""])).isfinite().all()


def test_order_matters_to_the_transformer_alone(rng: object) -> None:
    for recipe, same in ((RECIPES[1], True), (RECIPES[2], False)):
        module = recipe.build(recipe.prepare(names()), 4).eval()
        a, b = module(module.collate(["small greek letter", "letter small greek"])).detach()
        assert torch.allclose(a, b, atol=1e-6) == same


def test_words_and_pieces() -> None:
    from tokenizers import Tokenizer

    words = Tokenizer.from_str(train_tokenizer(NAMES, tokens="words", vocabulary=100))
    assert words.encode("Small omega snowman").tokens == ["small", "omega", "[UNK]"]
    pieces = Tokenizer.from_str(train_tokenizer(NAMES, tokens="pieces", vocabulary=200))
    assert pieces.encode("letter").tokens == ["letter"]
    assert "".join(pieces.encode("lettersmall").tokens) == "lettersmall"


def test_the_order_of_the_texts_does_not_matter_and_every_process_agrees() -> None:
    code = f"from polymodal.encoders.text import train_tokenizer as t; print(t({NAMES!r}, tokens='pieces', vocabulary=60))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = train_tokenizer(NAMES[::-1], tokens="pieces", vocabulary=60)
    assert json.loads(there) == json.loads(here)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="letters"):
        check_tokens(SimpleNamespace(token_dropout=0.0, tokens="letters"))
    with pytest.raises(ConfigError, match="max_length"):
        TextTransformerEncoder(max_length=0)


@pytest.mark.parametrize(
    "encoder", [BagOfTokensEncoder(token_dropout=0.7), TextTransformerEncoder(width=16, token_dropout=0.7)]
)
def test_tokens_are_hidden_while_training_and_never_all(encoder) -> None:
    words = Modality(Texts(["a b c d e f g h", "z"]), np.array([0, 1]))
    module = encoder.build(encoder.prepare(words), 4)
    batch = module.collate(words.values())
    module.train()
    with seeded(0):
        seen = [module.words(batch)[1].sum(1).tolist() for _ in range(20)]
    assert all(1 <= many <= 8 and one == 1 for many, one in seen)
    assert len({many for many, _ in seen}) > 3
    module.eval()
    assert module.words(batch)[1].sum(1).tolist() == [8, 1]


def test_a_share_of_hidden_tokens_that_leaves_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="token_dropout"):
        BagOfTokensEncoder(token_dropout=1.0)

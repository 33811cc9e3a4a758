from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from polymodal.coordination import VisualSemanticEmbedding
from polymodal.coordination.visual_semantic import semantic_loss
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import MLPEncoder
from polymodal.persistence import load, save
from polymodal.training import Training

QUICK = Training(max_epochs=2, batch_size=32, device="cpu", progress=False)


def classes(
    rng: np.random.Generator, n: int = 300, noise: float = 0.3
) -> tuple[Modalities, np.ndarray, np.ndarray]:
    """Twelve words in a space of four; what is seen is a bent, noisy picture of the word."""
    words = rng.normal(size=(12, 4))
    label = rng.integers(12, size=n)
    seen = np.tanh(words @ rng.normal(size=(4, 10)) / 2)[label] + noise * rng.normal(size=(n, 10))
    return Modalities({"word": words[label], "picture": seen}), label, words


# --- function ---------------------------------------------------------------------------------------------------------


def test_hinge_counts_every_other_word() -> None:
    words = torch.eye(3)
    vectors = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    loss = semantic_loss(vectors, torch.tensor([0, 0]), words, margin=0.1)
    # row 0: strangers lie at 0, own at 1: no hinge. Row 1: .1 - .6 + .8 = .3, and .1 - .6 + 0 < 0
    assert loss.item() == pytest.approx(0.15)
    assert semantic_loss(vectors, torch.tensor([0, 0]), words, objective="cosine").item() == pytest.approx(
        0.2
    )
    squared = semantic_loss(vectors, torch.tensor([0, 0]), words, objective="squared")
    assert squared.item() == pytest.approx((0.16 + 0.64) / 2)


def test_one_word_has_no_strangers_and_no_row_costs_nothing() -> None:
    assert semantic_loss(torch.randn(3, 2), torch.zeros(3, dtype=torch.long), torch.randn(1, 2)).item() == 0
    assert semantic_loss(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.randn(1, 2)).item() == 0


@pytest.mark.parametrize("objective", ["hinge", "cosine", "squared"])
def test_gradient_agrees_with_differences(rng: np.random.Generator, objective: str) -> None:
    vectors = torch.from_numpy(rng.normal(size=(5, 3))).requires_grad_()
    words = torch.from_numpy(rng.normal(size=(4, 3)))
    own = torch.tensor([0, 1, 1, 3, 2])
    assert torch.autograd.gradcheck(
        lambda v: semantic_loss(v, own, words, objective=objective, margin=0.3),  # type: ignore[arg-type]
        vectors,
    )


# --- estimator --------------------------------------------------------------------------------------------------------


def test_the_given_space_stays_as_it_is(rng: np.random.Generator) -> None:
    data, _, _ = classes(rng, 40)
    model = VisualSemanticEmbedding("word", training=QUICK, random_state=0).fit(data)
    np.testing.assert_array_equal(
        model.transform(data)["word"].values(), data["word"].values().astype(np.float32)
    )
    assert list(model.encoders_) == ["picture"]
    assert list(model.module_.towers.names) == ["picture"]


def test_linear_and_squared_it_is_least_squares(rng: np.random.Generator) -> None:
    data, _, _ = classes(rng, 200)
    training = Training(max_epochs=80, batch_size=200, learning_rate=0.05, weight_decay=0.0, progress=False)
    model = VisualSemanticEmbedding(
        "word",
        encoders={"picture": MLPEncoder(depth=0)},
        objective="squared",
        training=training,
        random_state=0,
    ).fit(data)
    X = np.hstack([data["picture"].values(), np.ones((200, 1))])
    best = X @ np.linalg.lstsq(X, data["word"].values(), rcond=None)[0]
    residual = ((best - data["word"].values()) ** 2).sum()
    found = ((model.transform(data)["picture"].values() - data["word"].values()) ** 2).sum()
    assert residual - 1e-3 <= found <= 1.02 * residual


@pytest.mark.parametrize("objective", ["hinge", "cosine"])
def test_words_that_no_training_row_had_are_recognised(rng: np.random.Generator, objective: str) -> None:
    data, label, words = classes(rng)
    unseen = label >= 9
    training = Training(max_epochs=20, batch_size=64, learning_rate=5e-3, progress=False)
    model = VisualSemanticEmbedding(
        "word",
        encoders={"picture": MLPEncoder(width=32)},
        objective=objective,
        training=training,
        random_state=0,
    ).fit(data[~unseen])  # type: ignore[arg-type]
    found = model.transform(data[unseen].select("picture"))["picture"].values()
    cosines = found @ (words[9:] / np.linalg.norm(words[9:], axis=1, keepdims=True)).T
    assert (cosines.argmax(axis=1) == label[unseen] - 9).mean() > 0.6  # chance: a third


def test_words_stored_once_or_on_every_row_are_the_same(rng: np.random.Generator) -> None:
    from polymodal.core import Modality

    data, label, words = classes(rng, 60)
    once = data.assign({"word": Modality(words, label.astype(np.int64))})
    a, b = (VisualSemanticEmbedding("word", training=QUICK, random_state=0).fit(d) for d in (data, once))
    np.testing.assert_allclose(
        a.transform(data)["picture"].values(), b.transform(data)["picture"].values(), atol=1e-5
    )


def test_several_modalities_and_missing_rows(rng: np.random.Generator) -> None:
    data, _, words = classes(rng, 60)
    more = data.assign({"sound": data["word"].values() @ rng.normal(size=(4, 3))}).without("sound", range(20))
    some = more.without("picture", range(40, 60))
    model = VisualSemanticEmbedding("word", training=QUICK, random_state=0).fit(some)
    shared = model.transform(some)
    assert {name: column.shape for name, column in shared.items()} == dict.fromkeys(some.names, (4,))
    assert 0 < model.score(more) <= 1
    assert len(words) == 12


def test_saved_models_are_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    data, _, _ = classes(rng, 40)
    model = VisualSemanticEmbedding("word", training=QUICK, random_state=0).fit(data)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model").transform(data)
    np.testing.assert_array_equal(model.transform(data)["picture"].values(), again["picture"].values())


def test_bfloat16_encoders_do(rng: np.random.Generator) -> None:
    data = classes(rng, 60)[0]
    half = Training(max_epochs=4, batch_size=30, precision="bfloat16", progress=False)
    model = VisualSemanticEmbedding("word", training=half, random_state=0).fit(data)
    assert model.history_.loss[-1] < model.history_.loss[0]


def test_what_cannot_be_is_named(rng: np.random.Generator) -> None:
    data, _, _ = classes(rng, 20)
    with pytest.raises(ModalityError, match="Did you mean 'word'"):
        VisualSemanticEmbedding("words").fit(data)
    with pytest.raises(ModalityError, match="'text', got text"):
        VisualSemanticEmbedding("text").fit({"text": ["a", "b"], "x": rng.normal(size=(2, 2))})
    with pytest.raises(ModalityError, match="'word' as it is"):
        VisualSemanticEmbedding("word", encoders={"word": MLPEncoder()}).fit(data)
    with pytest.raises(ModalityError, match="one and the same 'word'"):
        VisualSemanticEmbedding("word").fit({"word": np.ones((4, 2)), "x": rng.normal(size=(4, 2))})
    for parameter, value in {"margin": -1.0, "objective": "near"}.items():
        with pytest.raises(ConfigError, match=parameter):
            VisualSemanticEmbedding("word").set_params(**{parameter: value}).fit(data)


def test_emoji_of_unseen_kinds_find_their_words(real_data: Path) -> None:
    """Pictures into a space of words made from their captions; 40 emoji held out, each against the 40 captions: better than chance."""
    from PIL import Image

    from polymodal.encoders import Vectorize

    folder = real_data / "emoji_image_text"
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()][::4]
    pictures = [np.asarray(Image.open(folder / row["file"]).convert("RGB").resize((16, 16))) for row in rows]
    data = Modalities({"picture": np.stack(pictures), "word": [row["caption"] for row in rows]})
    vectors = Vectorize(40, random_state=0).fit(data).transform(data)
    held = np.arange(len(rows)) % 9 == 0
    training = Training(max_epochs=10, batch_size=64, progress=False)
    model = VisualSemanticEmbedding("word", training=training, random_state=0).fit(vectors[~held])
    chance = np.log(held.sum()) / held.sum()
    assert model.score(vectors[held]) > 2 * chance

"""CLIP's towers with fresh weights, as encoders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import polymodal
from polymodal.coordination import CLIP
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError
from polymodal.encoders import CLIPImageEncoder, CLIPPreset, CLIPTextEncoder, ImageDimensions, TextDimensions
from polymodal.encoders import clip_encoders as module
from polymodal.training import Training

TINY = CLIPPreset(
    ImageDimensions(16, 2, 2, 16, patch=8),
    TextDimensions(16, layers=2, heads=2, context=12, vocabulary=600),
    8,
)
TEXTS = ["a red circle", "a blue square", "a green bar", "one more red circle"]


@pytest.fixture
def data(rng):
    pictures = rng.integers(0, 256, (4, 20, 18, 3), dtype=np.uint8)
    return Modalities({"image": pictures, "text": TEXTS})


def test_image_tower_keeps_the_promises_of_encoders(check_encoder, data) -> None:
    built = check_encoder(CLIPImageEncoder(TINY), data["image"])
    assert isinstance(built.body, torch.nn.Module)


def test_text_tower_keeps_the_promises_of_encoders(data) -> None:
    recipe = CLIPTextEncoder(TINY)
    built = recipe.build(recipe.prepare(data["text"]), 5).eval()
    batch = built.collate(TEXTS)
    whole = built(batch)
    for i in range(4):
        torch.testing.assert_close(
            built(built.collate(TEXTS[i : i + 1])), whole[i : i + 1], atol=1e-6, rtol=1e-5
        )


def test_a_residual_network_trains(data) -> None:
    recipe = CLIPImageEncoder(replace(TINY, image=ImageDimensions(2, (1, 1, 1, 1), 2, 64)))
    built = recipe.build(recipe.prepare(data["image"]), 5)
    assert built(built.collate(data["image"].values())).shape == (4, 5)


def test_pieces_do_not_change_the_result(data, monkeypatch) -> None:
    built = CLIPImageEncoder(TINY).build({}, 5).eval()
    batch = built.collate(data["image"].values())
    with torch.no_grad():
        whole = built(batch)
        monkeypatch.setattr(module, "CHUNK", 3)
        torch.testing.assert_close(built(batch), whole, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(built(batch).detach(), whole, atol=1e-6, rtol=1e-5)


def test_clip_learns_with_them_and_is_saved(data, tmp_path) -> None:
    encoders = {"image": CLIPImageEncoder(TINY), "text": CLIPTextEncoder(TINY)}
    training = Training(max_epochs=40, batch_size=4, learning_rate=3e-3, device="cpu", progress=False)
    model = CLIP(8, encoders=encoders, training=training, random_state=0).fit(data)
    assert model.score(data) == 1.0
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(
        again.transform(data)["text"].values(), model.transform(data)["text"].values()
    )


def test_presets_by_name() -> None:
    assert CLIPImageEncoder("RN50") == CLIPImageEncoder(preset="RN50")
    with pytest.raises(ConfigError, match="ViT-B/32"):
        CLIPImageEncoder("ViT-B32")
    with pytest.raises(ConfigError, match="at least 514"):
        CLIPTextEncoder(replace(TINY, text=replace(TINY.text, vocabulary=100)))

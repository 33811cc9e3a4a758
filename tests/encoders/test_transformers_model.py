"""Models of the transformers library that are not CLIP's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import polymodal
from polymodal.coordination import CLIP
from polymodal.core import Modalities
from polymodal.core.errors import MissingDependencyError, ModelFormatError
from polymodal.encoders import PretrainedImageEncoder, PretrainedTextEncoder
from polymodal.encoders import transformers_model as module
from polymodal.encoders.clip_tokens import TruncatedTextWarning, train_clip_tokenizer
from polymodal.training import Training

TEXTS = ["a red circle", "a square", "a red circle and a square"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tiny ViT, ResNet and BERT."""
    transformers = pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    vit = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
    )
    resnet = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_channels=3
    )
    bert = transformers.BertConfig(
        vocab_size=600, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=12,
    )  # fmt: skip
    models = {
        "vit": transformers.ViTModel(vit),
        "resnet": transformers.ResNetModel(resnet),
        "bert": transformers.BertModel(bert),
    }
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    for name, model in models.items():
        model.eval().save_pretrained(root / name)
    if shown:
        transformers.utils.logging.enable_progress_bar()
    (root / "resnet" / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 32, "width": 32}})
    )
    (root / "bert" / "tokenizer.json").write_text(train_clip_tokenizer(TEXTS, 600))
    return root, models


def build(encoder, dim=None):
    settings = json.loads(json.dumps(encoder.settings()))
    return encoder.build(settings, dim or encoder.width(settings)).eval()


def test_picture_model_equals_the_library(folders, rng) -> None:
    root, models = folders
    pictures = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for name, pooled in (("first", lambda s: s[:, 0]), ("mean", lambda s: s.mean(1))):
        ours = build(PretrainedImageEncoder(str(root / "vit"), pooling=name))
        pixels = ours.steps.pixels(ours.collate(pictures))
        with torch.no_grad():
            expected = pooled(models["vit"](pixel_values=pixels).last_hidden_state)
        torch.testing.assert_close(ours(ours.collate(pictures)), expected, atol=1e-5, rtol=1e-5)


def test_a_map_is_averaged(folders, rng) -> None:
    root, models = folders
    ours = build(PretrainedImageEncoder(str(root / "resnet")))
    batch = ours.collate(rng.integers(0, 256, (2, 40, 32, 3), dtype=np.uint8))
    with torch.no_grad():
        expected = models["resnet"](pixel_values=ours.steps.pixels(batch)).last_hidden_state.mean((2, 3))
    torch.testing.assert_close(ours(batch), expected, atol=1e-5, rtol=1e-5)


def test_text_model_reads_no_padding(folders) -> None:
    root, models = folders
    ours = build(PretrainedTextEncoder(str(root / "bert")))
    together = ours(ours.collate(TEXTS))
    for i, text in enumerate(TEXTS):
        alone = ours.collate([text])
        with torch.no_grad():
            expected = models["bert"](input_ids=alone["ids"]).last_hidden_state.mean(1)
        torch.testing.assert_close(together[i : i + 1], expected, atol=1e-5, rtol=1e-5)
    with pytest.warns(TruncatedTextWarning, match="1 of 2 texts are longer than the 12 tokens"):
        assert ours.collate(["circle " * 40, "a"])["ids"].shape == (2, 12)


def test_head_and_whole_model_train(folders, rng, tmp_path) -> None:
    root, _ = folders
    data = Modalities({"image": rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8), "text": TEXTS})
    training = Training(max_epochs=2, batch_size=3, device="cpu", progress=False)
    for trainable in ("head", "all"):
        encoders = {
            "image": PretrainedImageEncoder(str(root / "vit"), trainable=trainable),
            "text": PretrainedTextEncoder(str(root / "bert"), trainable=trainable),
        }
        model = CLIP(4, encoders=encoders, training=training, random_state=0).fit(data)
        for name, parameter in model.module_.named_parameters():
            assert parameter.requires_grad, name
        again = polymodal.load(polymodal.save(model, tmp_path / trainable))
        np.testing.assert_array_equal(
            again.transform(data)["text"].values(), model.transform(data)["text"].values()
        )


def test_model_saved_whole_needs_no_folder(folders, tmp_path, monkeypatch) -> None:
    root, _ = folders
    encoder = PretrainedImageEncoder(str(root / "vit"), self_contained=True)
    built = build(encoder)
    settings = {**encoder.settings(), "folder": None, "fingerprint": "another"}
    empty = encoder.build(settings, 16)
    assert all(v.isnan().all() for v in empty.state_dict().values())
    empty.load_state_dict(built.state_dict())


def test_what_cannot_be_read(folders, tmp_path, monkeypatch) -> None:
    root, _ = folders
    config = json.loads((root / "vit" / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((root / "bert" / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFormatError, match=r"tensors are missing, first \["):
        build(PretrainedImageEncoder(str(tmp_path)))
    (tmp_path / "config.json").write_text(
        json.dumps({**config, "model_type": "mine", "auto_map": {"AutoModel": "code.M"}})
    )
    with pytest.raises(ModelFormatError, match="never run"):
        build(PretrainedImageEncoder(str(tmp_path)))
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "siglip", "vision_config": {}, "text_config": {}})
    )
    with pytest.raises(ModelFormatError, match="siglip"):
        build(PretrainedImageEncoder(str(tmp_path)))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ModelFormatError, match="hidden_size"):
        build(PretrainedImageEncoder(str(tmp_path)))
    with pytest.raises(ModelFormatError, match="tokenizer"):
        PretrainedTextEncoder(str(root / "vit")).settings()


def test_library_not_installed(folders, monkeypatch) -> None:
    import sys

    root, _ = folders
    encoder = PretrainedImageEncoder(str(root / "vit"))
    settings = encoder.settings()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"polymodal\[pretrained\]"):
        module.load_transformers(root / "vit", settings)

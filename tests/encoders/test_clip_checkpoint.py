"""Published CLIP models on disk."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from polymodal.core.errors import ModelFormatError
from polymodal.encoders import ImageDimensions, TextDimensions
from polymodal.encoders.clip_checkpoint import CLIPCheckpoint, empty_tower
from polymodal.encoders.clip_towers import image_body, projection, text_body


@pytest.fixture
def copied(clip_folders, tmp_path):
    return {name: shutil.copytree(folder, tmp_path / folder.name) for name, folder in clip_folders.items()}


def edit(file, change) -> None:
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def test_both_layouts_say_the_same(clip_folders) -> None:
    one, other = (CLIPCheckpoint.read(folder) for folder in clip_folders.values())
    assert one.image == other.image == ImageDimensions(32, 2, 2, 32, patch=8, hidden=128)
    assert one.text == other.text == TextDimensions(16, 2, 2, 16, one.text.vocabulary, 64)
    assert (one.n_components, one.steps, one.logit_scale()) == (8, other.steps, 3.0)
    for part in ("image", "text"):
        (body, head), (body_, head_) = one.load(part), other.load(part)
        assert torch.equal(head.weight, head_.weight)
        for (name, a), b in zip(body.state_dict().items(), body_.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
            assert a.isfinite().all()


def test_residual_networks_in_open_clips_layout(tmp_path) -> None:
    image = ImageDimensions(8, (1, 2, 1, 1), 4, 32, activation="gelu")
    text = TextDimensions(16, 1, 2, 8, 30, 64, activation="gelu")
    torch.manual_seed(0)
    parts = (image_body(image), projection(image, 6)), (text_body(text), projection(text, 6))
    (body, head), (words, words_head) = parts
    state = {f"visual.{k}": v for k, v in body.state_dict().items()}
    state |= {f"visual.attnpool.c_proj.{k}": v for k, v in head.state_dict().items()}
    state |= {f"text.{k}": v for k, v in words.state_dict().items()}  # as newer models name their text towers
    state |= {"text.text_projection": words_head.weight.T.contiguous(), "logit_scale": torch.tensor(2.0)}
    save_file(state, tmp_path / "open_clip_model.safetensors")
    vision = {"image_size": 32, "layers": [1, 2, 1, 1], "width": 8, "patch_size": None}
    config = {
        "embed_dim": 6,
        "vision_cfg": vision,
        "text_cfg": {"context_length": 8, "vocab_size": 30, "width": 16} | {"heads": 2, "layers": 1},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    found = CLIPCheckpoint.read(tmp_path)
    assert found.image == image
    assert found.text == text
    for part, (b, h) in zip(("image", "text"), parts, strict=True):
        loaded, loaded_head = found.load(part)
        assert torch.equal(loaded_head.weight, h.weight)
        assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in b.state_dict().items())


def test_what_is_no_clip_model(tmp_path) -> None:
    assert CLIPCheckpoint.read(tmp_path) is None
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    assert CLIPCheckpoint.read(tmp_path) is None


@pytest.mark.parametrize("layout", ["hugging face", "open_clip"])
def test_fewer_or_more_blocks_than_configured(copied, layout) -> None:
    file = next(f for f in copied[layout].iterdir() if f.name in ("config.json", "open_clip_config.json"))
    for layers, what in ((3, r"tensors are missing, first \["), (1, r"does not describe, first \[")):

        def change(config, layers=layers):
            towers = config.get("model_cfg", config)
            towers.get("vision_config", towers.get("vision_cfg"))[
                "num_hidden_layers" if layout == "hugging face" else "layers"
            ] = layers

        edit(file, change)
        with pytest.raises(ModelFormatError, match=what):
            CLIPCheckpoint.read(copied[layout]).load("image")


def test_wrong_shapes_are_named(copied) -> None:
    folder = copied["hugging face"]
    edit(folder / "config.json", lambda c: c["vision_config"].update(patch_size=16))
    with pytest.raises(
        ModelFormatError,
        match=r"conv1|patch_embedding.weight is \(32, 3, 8, 8\), \(32, 3, 16, 16\) was required",
    ):
        CLIPCheckpoint.read(folder).load("image")


def test_a_pickle_beside_the_configuration(copied) -> None:
    folder = copied["hugging face"]
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="pickles"):
        CLIPCheckpoint.read(folder).load("text")


def test_truncated_weights(copied) -> None:
    file = copied["open_clip"] / "open_clip_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelFormatError, match="truncated"):
        CLIPCheckpoint.read(copied["open_clip"]).load("text")


def test_other_architectures_are_refused_by_name(copied) -> None:
    file = copied["open_clip"] / "open_clip_config.json"
    edit(file, lambda c: c["model_cfg"]["text_cfg"].update(hf_model_name="xlm-roberta-base"))
    edit(
        file,
        lambda c: c["model_cfg"]["vision_cfg"].update(
            global_average_pool=True, pool_type="tok", timm_pool="avg"
        ),
    )
    with pytest.raises(
        ModelFormatError, match=r"\['vision_cfg.global_average_pool', 'text_cfg.hf_model_name'\]"
    ):
        CLIPCheckpoint.read(copied["open_clip"])
    edit(copied["hugging face"] / "config.json", lambda c: c["text_config"].update(hidden_act="relu"))
    with pytest.raises(ModelFormatError, match="activation"):
        CLIPCheckpoint.read(copied["hugging face"])
    file.write_text(json.dumps({"model_cfg": {"embed_dim": 3}}))
    with pytest.raises(ModelFormatError, match="vision_cfg"):
        CLIPCheckpoint.read(copied["open_clip"])


def test_one_tower_alone(copied) -> None:
    folder = copied["hugging face"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config["vision_config"], "projection_dim": 8}))
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k.startswith("vis")}, folder / "model.safetensors")
    found = CLIPCheckpoint.read(folder)
    found.load("image")
    with pytest.raises(ModelFormatError, match="no text tower"):
        found.load("text")
    with pytest.raises(ModelFormatError, match="logit_scale"):
        found.logit_scale()


def test_empty_towers_are_not_a_number() -> None:
    for dimensions in (ImageDimensions(8, (1, 1, 1, 1), 4, 32), TextDimensions(16, 1, 2, 8, 30)):
        body, head = empty_tower(dimensions, 3)
        assert head.weight.isnan().all()
        assert all(v.isnan().all() for v in body.state_dict().values() if v.is_floating_point())

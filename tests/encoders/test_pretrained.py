"""Published weights as encoders."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, DataError, ModelFormatError
from polymodal.encoders import PretrainedImageEncoder, PretrainedTextEncoder
from polymodal.training import seeded


@pytest.fixture
def data(rng):
    pictures = rng.integers(0, 256, (4, 40, 36, 3), dtype=np.uint8)
    return Modalities({"image": pictures, "text": ["a cat", "a red circle", "a dog", "blue"]})


@pytest.mark.parametrize(("trainable", "dim"), [("head", 5), ("head", 8), ("all", 5), ("all", 8)])
def test_promises_of_encoders(check_encoder, clip_folders, data, trainable, dim) -> None:
    source = str(clip_folders["open_clip"])
    check_encoder(PretrainedImageEncoder(source, trainable=trainable), data["image"], dim)


@pytest.mark.parametrize("trainable", ["none", "head", "all"])
def test_what_trains_and_what_is_kept(clip_folders, data, trainable) -> None:
    for beside in (True, False):
        encoder = PretrainedTextEncoder(
            str(clip_folders["hugging face"]), trainable=trainable, self_contained=not beside
        )
        module = encoder.build(encoder.prepare(data["text"]), 8).train()
        learns = {name for name, p in module.named_parameters() if p.requires_grad}
        kept = set(module.state_dict())
        assert (len(learns) > 2) == (trainable == "all")
        assert ("head.weight" in learns) == (trainable != "none")
        assert (len(kept) > 2) == (trainable == "all" or not beside)
        assert module.body.training == (trainable == "all")
        assert next(deepcopy(module).to(torch.float64).body.parameters()).dtype == torch.float64


def test_published_head_where_the_width_is_published(clip_folders, data) -> None:
    source = str(clip_folders["hugging face"])
    published = PretrainedImageEncoder(source)
    settings = published.prepare(data["image"])
    expected = published.build(settings, 8)
    batch = expected.collate(data["image"].values())
    torch.testing.assert_close(
        PretrainedImageEncoder(source, trainable="head").build(settings, 8)(batch), expected(batch)
    )
    with seeded(0):
        assert PretrainedImageEncoder(source, trainable="head").build(settings, 3)(batch).shape == (4, 3)
    with pytest.raises(ConfigError, match=r"8 features and 3 were asked for. Say n_components=8"):
        published.build(settings, 3)


def test_bad_parameters(clip_folders) -> None:
    for field in ("trainable", "pooling"):  # past the check of annotations, which users do not have
        encoder = PretrainedImageEncoder("x")
        object.__setattr__(encoder, field, "some")
        with pytest.raises(ConfigError, match=field):
            encoder.__post_init__()
    with pytest.raises(ConfigError, match="folder or a name"):
        PretrainedTextEncoder("")
    with pytest.raises(DataError, match="no-such-folder"):
        PretrainedTextEncoder("no-such-folder").settings()
    assert PretrainedImageEncoder(clip_folders["open_clip"]).source == str(clip_folders["open_clip"])


def test_tokenizer_of_another_model(clip_folders, tmp_path) -> None:
    folder = shutil.copytree(clip_folders["hugging face"], tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelFormatError, match=r"tokenizer.json or vocab.json"):
        PretrainedTextEncoder(str(folder)).settings()
    tokenizer["model"]["vocab"]["more"] = 9999
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelFormatError, match="different models"):
        PretrainedTextEncoder(str(folder)).settings()


def test_no_weights_are_used_silently(clip_folders, tmp_path) -> None:
    folder = shutil.copytree(clip_folders["hugging face"], tmp_path / "m")
    frozen, whole = PretrainedImageEncoder(str(folder)), PretrainedImageEncoder(str(folder), trainable="all")
    settings = frozen.settings()
    shutil.rmtree(folder)
    with pytest.raises(ModelFormatError, match="self_contained=True"):
        frozen.build(settings, 8)
    assert (
        whole.build(settings, 8).head.weight.isnan().all()
    )  # a saved state fills them, or nothing is finite

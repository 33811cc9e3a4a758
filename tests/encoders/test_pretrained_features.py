"""Frozen features, computed once."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import Pipeline

import polymodal
from polymodal.coordination import CLIP, load_clip
from polymodal.core import Modalities, Modality
from polymodal.core.errors import ConfigError, DataError, ModalityError
from polymodal.core.files import Files
from polymodal.encoders import (
    CroppedImageReader,
    MLPEncoder,
    PretrainedFeatures,
    PretrainedImageEncoder,
    PretrainedTextEncoder,
)
from polymodal.encoders import pretrained_features as module
from polymodal.training import Training

TEXTS = ["a cat", "a red circle", "a dog", "a cat", "blue", "green bar"]


@pytest.fixture
def data(rng):
    pictures = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    return Modalities({"image": pictures, "text": TEXTS, "table": rng.normal(size=(6, 2))})


@pytest.fixture
def features(clip_folders):
    source = clip_folders["hugging face"]
    return PretrainedFeatures(
        {"image": PretrainedImageEncoder(source), "text": PretrainedTextEncoder(source)}
    )


def test_relations_equals_load_clip(features, clip_folders, data) -> None:
    z = features.fit_transform(data)
    expected = load_clip(clip_folders["open_clip"]).transform(data.select("image", "text"))
    for name in ("image", "text"):
        unit = z[name].values() / np.linalg.norm(z[name].values(), axis=1, keepdims=True)
        np.testing.assert_allclose(unit, expected[name].values(), atol=1e-6)
    np.testing.assert_array_equal(z["table"].values(), data["table"].values())


def test_each_value_is_encoded_once(features, data, monkeypatch) -> None:
    asked = []
    original = module.infer
    monkeypatch.setattr(module, "infer", lambda *a, **k: asked.append(len(a[2])) or original(*a, **k))
    first = features.fit(data).transform(data)
    assert asked == [6, 5]
    again = features.transform(data[::-1])
    np.testing.assert_array_equal(again["text"].values(), first["text"].values()[::-1])
    assert asked == [6, 5]
    features.transform({"text": ["a cat", "something new"]})
    assert asked == [6, 5, 1]
    shared = features.transform(Modalities({"image": Modality(data["image"].store, np.array([2, 2, -1]))}))
    assert len(shared["image"].store) == 1
    assert shared["image"].present.tolist() == [True, True, False]


def test_little_memory_changes_nothing(clip_folders, data) -> None:
    encoder = {"text": PretrainedTextEncoder(clip_folders["open_clip"])}
    few, none = (
        PretrainedFeatures(encoder, cache_mib=mib).fit(data.select("text")) for mib in (70 / 2**20, 0.0)
    )
    np.testing.assert_array_equal(
        few.transform(data.select("text"))["text"].values(),
        none.transform(data.select("text"))["text"].values(),
    )
    assert len(few._remembered) == 2
    assert not none._remembered


def test_a_head_on_frozen_features(features, data, tmp_path) -> None:
    training = Training(max_epochs=60, batch_size=6, learning_rate=1e-2, device="cpu", progress=False)
    head = CLIP(
        4,
        encoders={"image": MLPEncoder(depth=0), "text": MLPEncoder(depth=0)},
        training=training,
        random_state=0,
    )
    model = Pipeline([("features", features), ("clip", head)]).fit(data.select("image", "text"))
    assert model.score(data.select("image", "text")) > 0.9
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(
        again.transform(data.select("text"))["text"].values(),
        model.transform(data.select("text"))["text"].values(),
    )


def test_files(clip_folders, tmp_path, rng) -> None:
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    files = Files(sorted(tmp_path.glob("*.png")), CroppedImageReader(32))
    model = PretrainedFeatures({"image": PretrainedImageEncoder(clip_folders["open_clip"])}).fit(
        {"image": files}
    )
    z = model.transform({"image": files})["image"].values()
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "1.png")
    changed = np.abs(model.transform({"image": files})["image"].values() - z).max(axis=1) > 1e-4
    assert changed.tolist() == [False, True, False]  # a file that was written again is read again
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png"):
        model.transform({"image": files})


def test_saved_whole_or_beside(clip_folders, data, tmp_path) -> None:
    for self_contained in (False, True):
        encoder = PretrainedImageEncoder(clip_folders["open_clip"], self_contained=self_contained)
        model = PretrainedFeatures({"image": encoder}).fit(data.select("image"))
        again = polymodal.load(polymodal.save(model, tmp_path / str(self_contained)))
        expected = model.transform(data.select("image"))["image"].values()
        np.testing.assert_array_equal(again.transform(data.select("image"))["image"].values(), expected)


def test_what_it_cannot_do(features, clip_folders, data) -> None:
    with pytest.raises(ModalityError, match=r"none for \{'image': 'grid', 'text': 'text'\}"):
        PretrainedFeatures().fit(data)
    with pytest.raises(ModalityError, match=r"unknown modalities \['image'\]"):
        features.fit(data.select("text"))
    with pytest.raises(ConfigError, match="trains nothing"):
        PretrainedFeatures(
            {"image": PretrainedImageEncoder(clip_folders["open_clip"], trainable="head")}
        ).fit(data.select("image"))
    with pytest.raises(ModalityError, match="PretrainedTextEncoder encodes text, got grid"):
        PretrainedFeatures({"image": PretrainedTextEncoder(clip_folders["open_clip"])}).fit(
            data.select("image")
        )

"""A published CLIP model as a fitted estimator."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import polymodal
from polymodal.coordination import load_clip
from polymodal.core.errors import ConfigError, DataError, ModelFormatError
from polymodal.encoders import TruncatedTextWarning
from polymodal.retrieval import Retriever
from polymodal.training import Training

TEXTS = ["a photo of a cat", "a red circle", "Blue   square", "", "zoo's & 42", "a dog"]


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", ["hugging face", "open_clip"])
def test_relations_equals_transformers(clip_folders, pictures, layout) -> None:
    transformers = pytest.importorskip("transformers")
    peer = transformers.CLIPModel.from_pretrained(clip_folders["hugging face"]).eval()
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip_folders["hugging face"])
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    pixels = processor(list(pictures), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        theirs = peer(pixel_values=pixels, **tokens)
    model = load_clip(clip_folders[layout])
    z = model.transform({"image": pictures, "text": TEXTS})
    np.testing.assert_allclose(z["image"].values(), theirs.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(z["text"].values(), theirs.text_embeds.numpy(), atol=1e-5)
    logits = z["image"].values() @ z["text"].values().T / model.temperature_
    np.testing.assert_allclose(logits, theirs.logits_per_image.numpy(), atol=2e-4)


def test_relations_both_layouts_give_equal_vectors(clip_folders, pictures) -> None:
    one, other = (load_clip(f).transform({"image": pictures, "text": TEXTS}) for f in clip_folders.values())
    for name in ("image", "text"):
        np.testing.assert_allclose(one[name].values(), other[name].values(), atol=1e-6)


def test_preprocessing_equals_transformers(clip_folders, rng) -> None:
    transformers = pytest.importorskip("transformers")
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    pictures = rng.integers(0, 256, (3, 48, 71, 3), dtype=np.uint8)
    theirs = processor(list(pictures), return_tensors="pt")["pixel_values"]
    tower = load_clip(clip_folders["hugging face"]).module_.towers["image"]
    torch.testing.assert_close(tower.steps.pixels(tower.collate(pictures)), theirs, atol=1e-5, rtol=0)


def test_search_without_any_fit(clip_folders, pictures) -> None:
    model = load_clip(clip_folders["open_clip"])
    hits = Retriever.build(model, {"image": pictures}).search({"text": "a cat"}, k=2)
    scores = (
        model.transform({"text": ["a cat"]})["text"].values()
        @ model.transform({"image": pictures})["image"].values().T
    )
    assert hits.ids[0].tolist() == np.argsort(-scores[0])[:2].tolist()


def test_query_by_file_is_read_at_the_size_of_the_tower(clip_folders, pictures, tmp_path) -> None:
    from PIL import Image

    Image.fromarray(pictures[3]).save(tmp_path / "asked.png")
    retriever = Retriever.build(load_clip(clip_folders["open_clip"]), {"image": pictures})
    for query in (str(tmp_path / "asked.png"), [tmp_path / "asked.png"], pictures[3]):
        hits = retriever.search({"image": query}, k=1)
        assert hits.ids[0, 0] == 3
        assert hits.scores[0, 0] == pytest.approx(1, abs=1e-5)


def test_modalities_by_other_names(clip_folders, pictures) -> None:
    source = clip_folders["open_clip"]
    one = load_clip(source).transform({"image": pictures, "text": TEXTS})
    other = load_clip(source, image="photo", text="caption").transform({"photo": pictures, "caption": TEXTS})
    np.testing.assert_array_equal(one["image"].values(), other["photo"].values())
    np.testing.assert_array_equal(one["text"].values(), other["caption"].values())
    with pytest.raises(ConfigError, match="'x' for both"):
        load_clip(source, image="x", text="x")


@pytest.mark.parametrize("self_contained", [False, True])
def test_saved_models(clip_folders, pictures, tmp_path, self_contained) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(clip_folders["hugging face"], folder)
    model = load_clip(folder, self_contained=self_contained)
    before = model.transform({"image": pictures, "text": TEXTS})
    saved = polymodal.save(model, tmp_path / "model")
    tensors = load_file(saved / "weights.safetensors")
    assert (len(tensors) > 20) == self_contained
    again = polymodal.load(saved).transform({"image": pictures, "text": TEXTS})
    for name in ("image", "text"):
        np.testing.assert_array_equal(again[name].values(), before[name].values())
    shutil.rmtree(folder)
    if self_contained:
        again = polymodal.load(saved).transform({"image": pictures})
        np.testing.assert_array_equal(again["image"].values(), before["image"].values())
    else:
        with pytest.raises(ModelFormatError, match="beside its frozen weights"):
            polymodal.load(saved)


def test_changed_weights_are_refused(clip_folders, tmp_path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(clip_folders["hugging face"], folder)
    saved = polymodal.save(load_clip(folder), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["visual_projection.weight"] += 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelFormatError, match="not those that this model was fitted with"):
        polymodal.load(saved)


@pytest.mark.parametrize("trainable", ["none", "head", "all"])
def test_fine_tuning_changes_what_it_should(clip_folders, pictures, tmp_path, trainable) -> None:
    training = Training(max_epochs=2, batch_size=6, learning_rate=1e-2, device="cpu", progress=False)
    data = {"image": pictures, "text": TEXTS}
    published = load_clip(clip_folders["open_clip"])
    model = load_clip(clip_folders["open_clip"], trainable=trainable, training=training)
    start = model.transform(data)
    np.testing.assert_array_equal(start["image"].values(), published.transform(data)["image"].values())
    model.fit(data)
    moved = np.abs(model.transform(data)["image"].values() - start["image"].values()).max()
    assert (moved > 1e-4) == (trainable != "none")
    body, first = (m.module_.towers["image"].body.state_dict() for m in (model, published))
    same = all(torch.equal(body[k], first[k]) for k in first)
    assert same == (trainable != "all")
    state = model.module_.state_dict()
    assert len(state) == {"none": 1, "head": 3}.get(trainable, len(state))
    saved = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(
        saved.transform(data)["text"].values(), model.transform(data)["text"].values()
    )


def test_long_texts_are_cut_and_said(clip_folders) -> None:
    model = load_clip(clip_folders["hugging face"])
    with pytest.warns(TruncatedTextWarning, match="14 tokens"):
        long = model.transform({"text": ["cat " * 50]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cut = model.transform({"text": ["cat " * 14]})
    np.testing.assert_array_equal(long["text"].values(), cut["text"].values())


def test_no_whole_model(tmp_path) -> None:
    with pytest.raises(DataError, match="neither"):
        load_clip(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelFormatError, match="no whole CLIP model"):
        load_clip(tmp_path)

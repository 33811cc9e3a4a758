"""Zero-shot classification."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from polymodal.coordination import CCA, load_clip
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError
from polymodal.encoders import Vectorize
from polymodal.fusion import LateFusion
from polymodal.retrieval import ZeroShotClassifier, class_vectors

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def words():
    """Pictures of one colour, and sentences that name it among other words."""
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    pictures = rng.integers(0, 60, (90, 8, 8, 3), dtype=np.uint8)
    pictures[np.arange(90), :, :, label] += 150
    sentences = [
        f"{('a', 'the', 'one')[i // 3 % 3]} {COLOURS[label[i]]} {('thing', 'square', 'photo')[i // 9 % 3]}"
        for i in range(90)
    ]
    return Modalities({"image": pictures, "text": sentences}), np.array(COLOURS)[label]


@pytest.fixture(scope="module")
def model(words):
    return Pipeline([("vectors", Vectorize(20, random_state=0)), ("cca", CCA(3, reg=0.5))]).fit(words[0])


def test_formula_by_hand() -> None:
    texts = np.array([[[2.0, 0.0], [0.0, 5.0]], [[0.0, 3.0], [0.0, 1.0]]])
    np.testing.assert_allclose(class_vectors(texts), [[0.5**0.5, 0.5**0.5], [0.0, 1.0]])


def test_relations_one_template_is_the_nearest_text(clip_folders, rng) -> None:
    clip = load_clip(clip_folders["hugging face"])
    pictures = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    found = ZeroShotClassifier(clip, ["cat", "dog", "bird"], templates=["a {}"])
    z, t = clip.transform({"image": pictures}), clip.transform({"text": ["a cat", "a dog", "a bird"]})
    cosines = z["image"].values() @ t["text"].values().T
    assert found.predict({"image": pictures}).tolist() == found.classes_[cosines.argmax(1)].tolist()
    p = np.exp(cosines / clip.temperature_)
    np.testing.assert_allclose(
        found.predict_proba({"image": pictures}), p / p.sum(1, keepdims=True), atol=1e-5
    )


def test_ensemble_equals_the_published_formula(clip_folders, rng) -> None:
    clip = load_clip(clip_folders["open_clip"])
    classes = {"cat": ["cat", "kitten"], "dog": "dog"}
    found = ZeroShotClassifier(clip, classes, templates=["a {}", "one {}"], temperature=0.5)
    weights = []
    for texts in (["a cat", "one cat", "a kitten", "one kitten"], ["a dog", "one dog"]):
        mean = clip.transform({"text": texts})["text"].values().mean(0)
        weights.append(mean / np.linalg.norm(mean))
    pictures = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    logits = clip.transform({"image": pictures})["image"].values() @ np.array(weights).T / 0.5
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba({"image": pictures}), p, atol=1e-6)


def test_any_coordination_with_text(model, words) -> None:
    data, y = words
    found = ZeroShotClassifier(model, COLOURS, templates=["a {} thing", "the {} square"])
    assert found.score(data.select("image"), y) == 1.0
    assert found.score(data, y) == 1.0  # beside its text there is one modality
    other = ZeroShotClassifier(model, COLOURS[::-1], templates=["a {} thing", "the {} square"])
    assert other.predict(data).tolist() == found.predict(data).tolist()
    assert found.predict({"text": ["something red"]}, target="text").tolist() == ["red"]
    assert all(type(name) is str for name in ZeroShotClassifier(model, np.array(COLOURS)).words)
    np.testing.assert_allclose(found.predict_proba(data).sum(1), 1)


def test_calibration_changes_no_answer(model, words) -> None:
    data, y = words
    wrong = y.copy()
    wrong[::5] = "blue"
    found = ZeroShotClassifier(model, COLOURS, templates=["a {} thing"], temperature=0.01)
    before = found.predict(data)
    assert found.calibration_ is None
    told = found.fit(data, wrong).calibration_
    assert found.predict(data).tolist() == before.tolist()
    assert told.rows == 90
    assert told.temperature == found.temperature_ > told.temperature_before == 0.01
    assert told.loss < told.loss_before
    assert told.error < told.error_before
    assert "0.01 ->" in str(told)


def test_sensitivity(model, words) -> None:
    data, y = words
    found = ZeroShotClassifier(model, COLOURS, templates=["a {} thing", "{}", "blue blue {}"])
    report = found.sensitivity(data, y)
    alone = [ZeroShotClassifier(model, COLOURS, templates=[t]).predict(data) for t in found.templates]
    assert found.classes_[report.answers].tolist() == [a.tolist() for a in alone]
    np.testing.assert_allclose(report.accuracies, [(a == y).mean() for a in alone])
    assert report.ensemble_accuracy == found.score(data, y)
    assert np.isnan(found.sensitivity(data).accuracies).all()


def test_emoji_by_category(real_data) -> None:
    """Names of categories find pictures of glyphs better than chance, on groups of which nothing was seen."""
    from polymodal.core.files import Files

    lines = (real_data / "emoji_image_text" / "captions.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    rows = [r for r in rows if r["category"] in ("Food & Drink", "Flags", "Animals & Nature")][:260]
    files = Files([real_data / "emoji_image_text" / r["file"] for r in rows])
    texts = [" ".join([r["caption"], r["category"], *r["tags"], *r["keywords"][:4]]) for r in rows]
    data, y = Modalities({"image": files, "text": texts}), np.array([r["category"] for r in rows])
    train = np.array([r["split"] == "train" for r in rows])
    model = Pipeline([("vectors", Vectorize(60, random_state=0)), ("cca", CCA(10, reg=0.5))]).fit(data[train])
    found = ZeroShotClassifier(model, sorted(set(y)), templates=["{}", "a picture of {}"])
    chance = max((y[~train] == name).mean() for name in set(y))
    assert found.score(data[~train].select("image"), y[~train]) > chance


def test_bad_classes_and_templates(model) -> None:
    for classes, what in (
        (["cat"], "at least two"),
        (["cat", "dog", "cat"], r"\['cat'\] twice"),
        ({"cat": [], "dog": "dog"}, "'cat' needs at least one word"),
        ({"cat": ["pet"], "dog": ["pet"]}, "'cat' and 'dog' both have the word 'pet'"),
    ):
        with pytest.raises(ConfigError, match=what):
            ZeroShotClassifier(model, classes)
    for templates, what in (
        (["a photo"], "a photo"),
        (["{} and {}"], "one"),
        ([], "one"),
        (["a {}", "a {}"], "twice"),
    ):
        with pytest.raises(ConfigError, match=what):
            ZeroShotClassifier(model, COLOURS, templates=templates)
    with pytest.raises(ConfigError, match="above 0"):
        ZeroShotClassifier(model, COLOURS, temperature=0.0)
    with pytest.raises(ConfigError, match="at least two"):
        ZeroShotClassifier(model, COLOURS).sensitivity({"image": np.zeros((1, 8, 8, 3), dtype=np.uint8)})


def test_bad_models_and_data(model, words, rng) -> None:
    data, y = words
    found = ZeroShotClassifier(model, COLOURS, templates=["a {}", "the {}"])
    with pytest.raises(ModalityError, match="'pink'\\] are no classes"):
        found.score(data, np.array(["pink"] * 90))
    with pytest.raises(ModalityError, match="90 rows, 89 labels"):
        found.fit(data, y[:89])
    with pytest.raises(ModalityError, match="'image'; 1 of 90 lack it"):
        found.predict(data.without("image", [3]))
    with pytest.raises(ModalityError, match="one row of 'image', got none"):
        found.sensitivity(data[:0])
    with pytest.raises(ModalityError, match="Unknown modality 'pictures'"):
        found.predict({"pictures": data["image"]})
    with pytest.raises(ModalityError, match="Say target="):
        found.predict(data.select("text"))
    with pytest.raises(ModalityError, match="no text modality"):
        ZeroShotClassifier(model, COLOURS, text="image")
    with pytest.raises(NotFittedError):
        ZeroShotClassifier(CCA(), COLOURS)
    with pytest.raises(ModalityError, match="LateFusion"):
        ZeroShotClassifier(LateFusion(), COLOURS)
    x = rng.normal(size=(20, 2))
    with pytest.raises(ModalityError, match="no text modalities"):
        ZeroShotClassifier(CCA(1).fit({"a": x, "b": x + rng.normal(size=(20, 2))}), COLOURS)

"""Saving and loading: equal output, whole or not at all, and nothing foreign is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from polymodal.coordination import CCA
from polymodal.core.errors import ModelFormatError, NotFittedError, StoreError
from polymodal.persistence import (
    MODEL_FILE,
    WEIGHTS_FILE,
    _Reader,
    _Writer,
    load,
    public_class,
    public_name,
    save,
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 2))
    return {
        "bild": z @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(50, 4)),
        "téxt": z @ rng.normal(size=(2, 3)) + 0.1 * rng.normal(size=(50, 3)),
    }


@pytest.fixture
def model(data):
    return CCA(2).fit(data)


def test_round_trip_is_exact(model, data, tmp_path: Path) -> None:
    again = load(save(model, tmp_path / "modèle"))
    for name in data:
        assert np.array_equal(again.transform(data)[name].values(), model.transform(data)[name].values())
    assert again.get_params() == model.get_params()


def test_a_pipeline_is_saved_too(data, tmp_path: Path) -> None:
    from polymodal.encoders import Vectorize

    pipeline = Pipeline([("vectorize", Vectorize(3)), ("cca", CCA(2))]).fit(data)
    again = load(save(pipeline, tmp_path / "m"))
    assert np.array_equal(again.transform(data)["bild"].values(), pipeline.transform(data)["bild"].values())


def test_only_two_files_and_no_pickle(model, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "m")
    assert sorted(p.name for p in folder.iterdir()) == [MODEL_FILE, WEIGHTS_FILE]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"], "no temporary folder is left"
    assert json.loads((folder / MODEL_FILE).read_text())["format"] == "polymodal-model"


def test_saving_again_replaces(model, data, tmp_path: Path) -> None:
    save(model, tmp_path / "m")
    save(CCA(1).fit(data), tmp_path / "m")
    assert load(tmp_path / "m").n_components == 1


def test_an_unfitted_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="CCA"):
        save(CCA(), tmp_path / "m")


def test_another_folder_is_not_overwritten(model, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="not a model folder"):
        save(model, tmp_path / "m")
    assert (tmp_path / "m" / "thesis.tex").read_text() == "years of work"


def test_a_save_that_dies_leaves_the_old_model(
    model, data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(model, tmp_path / "m")

    def full_disk(self: Path, raw: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(StoreError, match="No space left"):
        save(CCA(1).fit(data), tmp_path / "m")
    assert load(tmp_path / "m").n_components == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_a_kill_between_the_two_renames_is_repaired(model, tmp_path: Path) -> None:
    save(model, tmp_path / "m")
    os.rename(tmp_path / "m", tmp_path / ".m.previous")
    assert load(tmp_path / "m").n_components == 2


@pytest.mark.parametrize(
    "damage", ["cut weights", "flip weights", "no weights", "cut json", "empty", "foreign", "newer"]
)
def test_damage_is_named(model, tmp_path: Path, damage: str) -> None:
    folder = save(model, tmp_path / "m")
    weights, header = folder / WEIGHTS_FILE, folder / MODEL_FILE
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-8])
    elif damage == "flip weights":
        raw = bytearray(weights.read_bytes())
        raw[-1] ^= 1
        weights.write_bytes(raw)
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut json":
        header.write_text(header.read_text()[:100])
    elif damage == "empty":
        header.write_text("")
    elif damage == "foreign":
        header.write_text('{"format": "something else"}')
    else:
        tree = json.loads(header.read_text())
        header.write_text(json.dumps({**tree, "format_version": 99}))
    with pytest.raises(ModelFormatError, match="m"):
        load(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="does not exist"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["os.system", "polymodal.core.modalities.np", "polymodal.cli.main", "polymodal.coordination.os"]
)
def test_only_public_classes_can_be_named(model, tmp_path: Path, name: str) -> None:
    folder = save(model, tmp_path / "m")
    tree = json.loads((folder / MODEL_FILE).read_text())
    tree["model"]["class"] = name
    (folder / MODEL_FILE).write_text(json.dumps(tree))
    with pytest.raises(ModelFormatError, match="not a public class"):
        load(folder)


def test_public_names_go_both_ways() -> None:
    assert public_name(CCA) == "polymodal.coordination.CCA"
    assert public_class("polymodal.coordination.CCA") is CCA
    assert public_name(dict) is None


def test_values_of_every_kind_survive() -> None:
    import torch

    value = {
        "none": None,
        "float": 0.1,
        "nan": float("nan"),
        "inf": -np.inf,
        "tuple": (1, "a", (2.5,)),
        "set": frozenset({"b", "a"}),
        "path": Path("a/b"),
        "numbers by number": {1: np.arange(3), 2: np.zeros((0, 2))},
        "strings": np.array(["é", "b"]),
        "objects": np.array(["a", 1, None], dtype=object),
        "bool": np.array([True, False]),
        "scalar": np.array(3.0),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "tensor": torch.arange(3),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    writer = _Writer()
    tree = json.loads(json.dumps(writer.encode(value, "x")))
    back = _Reader(writer.arrays, {}, Path("x")).decode(tree, "x")
    assert list(back) == list(value)
    assert np.isnan(back.pop("nan"))
    value.pop("nan")
    for key, item in value.items():
        if isinstance(item, np.ndarray | torch.Tensor):
            assert back[key].dtype == item.dtype
            assert (np.asarray(back[key].tolist()) == np.asarray(item.tolist())).all()
        elif key == "numbers by number":
            assert list(back[key]) == [1, 2]
            assert back[key][2].shape == (0, 2)
        else:
            assert back[key] == item


def test_what_cannot_be_saved_is_named_by_its_place() -> None:
    with pytest.raises(ModelFormatError, match=r"model\.loss.*without pickle"):
        _Writer().encode({"loss": print}, "model")


def test_a_network_of_the_users_is_asked_for_once(data, tmp_path: Path) -> None:
    import torch

    from polymodal.coordination import CLIP
    from polymodal.encoders import ModuleEncoder
    from polymodal.training import Training

    training = Training(max_epochs=1, batch_size=25, device="cpu", progress=False)
    encoders = {"bild": ModuleEncoder(torch.nn.Linear(4, 3), n_out=3)}
    clip = CLIP(2, encoders=encoders, training=training, random_state=0).fit(data)
    folder = save(clip, tmp_path / "m")
    with pytest.raises(ModelFormatError, match=r"model\.encoders\.bild\.module"):
        load(folder)
    again = load(folder, given={"model.encoders.bild.module": torch.nn.Linear(4, 3)})
    assert np.array_equal(again.transform(data)["bild"].values(), clip.transform(data)["bild"].values())

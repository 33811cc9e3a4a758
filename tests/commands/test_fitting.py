"""`fit` of data on disk."""

from __future__ import annotations

import numpy as np
import pytest

import polymodal
from polymodal.commands.fitting import HoldOut, fit_model, parameter_table
from polymodal.commands.sources import Reading, Source
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.datasets import read, write


def test_vectors_are_made_where_the_method_needs_them(model, shapes) -> None:
    fitted = polymodal.load(model)
    assert [name for name, _ in fitted.steps] == ["vectors", "model"]
    reading = Reading.of(model)
    assert reading is not None
    assert reading.held_out == {"split": ["test"]}
    assert reading.source.image_size == 16
    assert fitted.steps[0][1].modalities_["image"].shape == (16, 16, 3)


def test_a_fusion_with_a_target_and_a_share_held_out(shapes, tmp_path) -> None:
    result = fit_model(
        Source(shapes, only=("text", "image"), target="shape", image_size=16),
        tmp_path / "m",
        method="late-fusion",
        hold_out=HoldOut(share=0.25, seed=1),
    )
    assert result.rows + result.held_out == 60
    assert result.held_out == 15
    assert result.target == "shape"
    assert result.score is not None
    assert result.held_out_score is not None
    reading = Reading.of(tmp_path / "m")
    assert reading is not None
    assert len(reading.held_out["id"]) == 15


def test_rows_that_share_a_picture_are_never_parted(tmp_path, rng) -> None:
    from polymodal.core.modalities import Modalities, Modality

    shared = Modality(rng.random((10, 3)), np.repeat(np.arange(10), 3))
    place = write(Modalities({"a": shared, "b": rng.random((30, 2))}), tmp_path / "d.npz")
    fit_model(Source(place), tmp_path / "m", method="cca", hold_out=HoldOut(share=0.3))
    reading = Reading.of(tmp_path / "m")
    assert reading is not None
    out = np.array([int(i) for i in reading.held_out["id"]])
    assert set(read(place).data["a"].index[out]).isdisjoint(
        read(place).data["a"].index[np.setdiff1d(np.arange(30), out)]
    )


def test_whole_groups_are_held_out(shapes, tmp_path) -> None:
    fit_model(Source(shapes, only=("image", "text")), tmp_path / "m", method="cca", parameters={"reg": 0.5},
              hold_out=HoldOut(share=0.34, group="shape"))  # fmt: skip
    reading = Reading.of(tmp_path / "m")
    assert reading is not None
    assert len(reading.held_out["shape"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "late-fusion"}, "--target COLUMN"),
        ({"method": "late-fusion", "target": "shap"}, "Did you mean 'shape'"),
        ({"method": "cca", "hold_out": HoldOut(split="shape")}, "'train'"),
        ({"method": "cca", "hold_out": HoldOut(split="split", share=0.1)}, "not both"),
        ({"method": "cca", "hold_out": HoldOut(group="shape")}, "say how many"),
        ({"method": "cca", "hold_out": HoldOut(share=1.5)}, r"share in \(0, 1\)"),
        ({"method": "cca", "parameters": {"regg": 1}}, "Did you mean 'reg'"),
        ({"method": "cca"}, "2 modalities, got 3"),
    ],
)
def test_refused_before_anything_is_written(shapes, tmp_path, arguments, message) -> None:
    source = Source(shapes, target=arguments.pop("target", None))
    with pytest.raises((ConfigError, ModalityError, ValueError), match=message):
        fit_model(source, tmp_path / "m", **arguments)
    assert not list(tmp_path.iterdir())


def test_an_existing_model_stays(model, shapes) -> None:
    before = (model / "model.json").read_bytes()
    with pytest.raises(ConfigError, match="--overwrite"):
        fit_model(Source(shapes), model, method="cca")
    with pytest.raises(ModalityError, match="modalities"):
        fit_model(Source(shapes), model, method="cca", overwrite=True)  # three modalities: refused
    assert (model / "model.json").read_bytes() == before


def test_parameters_by_dotted_names() -> None:
    table = parameter_table("clip", {"max_epochs": 3, "encoders.image.use": "ConvEncoder", "n_components": 4})
    assert table == {
        "training": {"max_epochs": 3},
        "encoders": {"image": {"use": "ConvEncoder"}},
        "n_components": 4,
    }
    with pytest.raises(ConfigError, match="closed form and has no 'max_epochs'"):
        parameter_table("cca", {"max_epochs": 3})
    with pytest.raises(ConfigError, match="set to 'x' as a whole"):
        parameter_table("clip", {"training": "x", "training.max_epochs": 3})


def test_missing_rows_are_dropped_only_when_asked(tmp_path, rng) -> None:
    x = rng.random((20, 2))
    place = write({"a": x, "b": [None, *(x[1:] + 1)]}, tmp_path / "d.npz")
    with pytest.raises(ModalityError, match="'b': 1"):
        fit_model(Source(place), tmp_path / "m", method="cca")
    result = fit_model(Source(place), tmp_path / "m", method="cca", complete=True)
    assert result.rows == 19
    assert any("left out 1 rows" in note for note in result.notes)

"""Configurations: built when right, refused whole when wrong."""

from __future__ import annotations

import pytest

from polymodal.config import build, find_class, nearest_class, read_config
from polymodal.coordination import CCA, CLIP
from polymodal.core.errors import ConfigError
from polymodal.encoders import MLPEncoder


def test_a_model_with_training_and_encoders(tmp_path) -> None:
    (tmp_path / "c.toml").write_text(
        '[model]\nuse = "polymodal.CLIP"\nn_components = 8\n[model.training]\nmax_epochs = 2\nlearning_rate = 1\n'
        '[model.encoders.x]\nuse = "MLPEncoder"\n'
    )
    model = build(read_config(tmp_path / "c.toml")["model"])
    assert isinstance(model, CLIP)
    assert model.n_components == 8
    assert model.training.max_epochs == 2
    assert isinstance(model.encoders["x"], MLPEncoder)


def test_names_by_class_or_by_place() -> None:
    assert find_class("CCA") is find_class("polymodal.CCA") is find_class("polymodal.coordination.CCA") is CCA
    assert find_class("os.system") is None
    assert find_class("polymodal.persistence.load") is None
    assert nearest_class("polymodal.cca") == " Did you mean 'CCA'?"


def test_all_problems_at_once() -> None:
    table = {
        "use": "CLIP",
        "n_componets": 3,
        "temperature": "warm",
        "training": {"max_epoch": 3},
        "encoders": {"x": {"use": "MLPEncodr"}},
    }
    with pytest.raises(ConfigError) as caught:
        build(table)
    text = str(caught.value)
    assert "no argument 'n_componets'" in text
    assert "Did you mean 'n_components'" in text
    assert "temperature needs a number, got 'warm'" in text
    assert "[model.training] Training has no argument 'max_epoch'" in text
    assert "Did you mean 'MLPEncoder'" in text
    assert len(text.splitlines()) == 4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "needs use ="),
        ({"use": "Nothing"}, "not a public class"),
        ({"use": "CLIP", "training": {"max_epochs": 0}}, r"\[model.training\] Training needs max_epochs"),
        ({"use": "CCA", "reg": True}, "reg needs a number"),
    ],
)
def test_refused(table, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build(table)


def test_files_that_are_no_toml(tmp_path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_config(tmp_path / "no.toml")
    (tmp_path / "c.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"not TOML.*line 1"):
        read_config(tmp_path / "c.toml")

"""Data as the commands read them, and what is kept beside a model."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.commands.sources import (
    Reading,
    Source,
    check_output,
    read_for_model,
    rows_where,
    target_of,
    text_of,
)
from polymodal.core.errors import ConfigError, DataError, ModalityError


def test_reading_goes_through_a_file_and_knows_the_unseen_rows(shapes, tmp_path) -> None:
    kept = Reading(Source(shapes, modalities={"t": ["text"]}, only=("t",)), {"split": ["test"]}, ("a note",))
    kept.write(tmp_path)
    back = Reading.of(tmp_path)
    assert back is not None
    assert back.source.modalities == {"t": ["text"]}
    assert back.source.only == ("t",)
    dataset = Source(shapes).read()
    unseen = back.unseen(dataset)
    assert unseen is not None
    assert (dataset["split"][unseen] == "test").all()
    assert unseen.sum() == 10
    (tmp_path / "reading.json").write_text("{}")
    with pytest.raises(DataError, match=r"reading\.json cannot be understood"):
        Reading.of(tmp_path)
    assert Reading.of(tmp_path / "elsewhere") is None


def test_data_for_a_model_keep_what_it_knows(shapes, tmp_path) -> None:
    dataset, notes = read_for_model(Source(shapes), tmp_path, ["image", "text"])
    assert dataset.data.names == ("image", "text")
    assert "table" in notes[0]
    with pytest.raises(
        ModalityError, match=r"The model has the modalities \['caption'\].*--modality caption="
    ):
        read_for_model(Source(shapes), tmp_path, ["caption"])


def test_columns_that_new_data_lack_are_modalities_they_lack(shapes, tmp_path) -> None:
    Reading(Source(shapes, modalities={"words": ["text"], "more": ["nothing"]})).write(tmp_path)
    dataset, _ = read_for_model(Source(shapes), tmp_path, ["words", "more"])
    assert dataset.data.names == ("words",)


def test_rows_and_targets(shapes) -> None:
    dataset = Source(shapes, target="shape").read()
    assert rows_where(dataset, "shape=bar,circle").sum() == 40
    for condition, message in (
        ("shape", "COLUMN=VALUE"),
        ("shap=x", "Did you mean 'shape'"),
        ("shape=br", "Did you mean 'bar'"),
    ):
        with pytest.raises(ConfigError, match=message):
            rows_where(dataset, condition)
    values, present = target_of(dataset, "shape")
    assert present.all()
    assert set(values) == {"circle", "square", "bar"}
    assert text_of(dataset, "split").dtype.kind == "U"


def test_outputs_that_exist_are_refused(tmp_path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    assert check_output(tmp_path / "new", overwrite=False, ours="model.json")
    with pytest.raises(ConfigError, match="--overwrite"):
        check_output(tmp_path / "file", overwrite=False, ours="")
    with pytest.raises(ConfigError, match="folder of something else"):
        check_output(tmp_path / "other", overwrite=True, ours="model.json")
    with pytest.raises(ConfigError, match="is a file"):
        check_output(tmp_path / "file", overwrite=True, ours="model.json")
    assert np.array_equal([p.name for p in sorted(tmp_path.iterdir())], ["file", "other"])

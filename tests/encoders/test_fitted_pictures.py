"""Resizing, cropping, standardising."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from polymodal.core.errors import ConfigError, DataError, ModalityError, ModelFormatError
from polymodal.core.files import Files
from polymodal.encoders import CroppedImageReader
from polymodal.encoders.fitted_pictures import (
    PictureSteps,
    as_bytes,
    picture_config,
    steps_of_hugging_face,
    steps_of_open_clip,
)


def test_shorter_side_and_middle(tmp_path, rng) -> None:
    pixels = rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    found = CroppedImageReader(20)([tmp_path / "wide.png"])
    np.testing.assert_array_equal(found[0], pixels[:, 10:30])
    small = CroppedImageReader(10, 8)([tmp_path / "wide.png"])
    expected = np.asarray(Image.fromarray(pixels).resize((20, 10), Image.Resampling.BICUBIC))[1:9, 6:14]
    np.testing.assert_array_equal(small[0], expected)
    squashed = CroppedImageReader(20, mode="squash", resample="bilinear")([tmp_path / "wide.png"])
    np.testing.assert_array_equal(
        squashed[0], np.asarray(Image.fromarray(pixels).resize((20, 20), Image.Resampling.BILINEAR))
    )
    files = Files([tmp_path / "wide.png"], CroppedImageReader(20))
    steps = PictureSteps(CroppedImageReader(20))
    assert torch.equal(steps.collate(files[np.arange(1)]), steps.collate(pixels[None]))


def test_broken_and_missing_files_are_named(tmp_path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        CroppedImageReader(8)([tmp_path / "broken.png"])
    with pytest.raises(DataError, match=r"gone\.png"):
        CroppedImageReader(8)([tmp_path / "gone.png"])


def test_grey_transparent_and_unit_numbers(rng) -> None:
    grey = rng.integers(0, 256, (2, 4, 4), dtype=np.uint8)
    for form in (grey, grey[..., None], grey / 255, grey.astype(np.int64)):
        np.testing.assert_array_equal(as_bytes(form), np.repeat(grey[..., None], 3, -1))
    colour = rng.integers(0, 256, (1, 2, 2, 4), dtype=np.uint8)
    colour[0, 0, 0, 3], colour[0, 1, 1, 3] = 0, 255
    flat = as_bytes(colour)
    assert flat[0, 0, 0].tolist() == [255, 255, 255]
    assert flat[0, 1, 1].tolist() == colour[0, 1, 1, :3].tolist()
    np.testing.assert_array_equal(as_bytes(np.ones((1, 2, 2), dtype=bool)), np.full((1, 2, 2, 3), 255))


def test_what_is_no_picture() -> None:
    with pytest.raises(ModalityError, match="channels"):
        as_bytes(np.zeros((2, 4, 4, 5)))
    with pytest.raises(ModalityError, match=r"numbers in 0\.\.1, got 0\.\.200"):
        as_bytes(np.array([[[0.0, 200.0]]]))
    with pytest.raises(ModalityError, match=r"whole numbers in 0\.\.255, got -3"):
        as_bytes(np.array([[[-3, 2]]]))


def test_standardised() -> None:
    steps = PictureSteps(CroppedImageReader(2), (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    pixels = steps.pixels(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    assert pixels.shape == (1, 3, 2, 2)
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor([1.0, 3.0, 1.0]))
    assert PictureSteps.of(json.loads(json.dumps(steps.to_json()))) == steps


def test_read_from_configurations() -> None:
    assert steps_of_hugging_face(None, 224) == PictureSteps(CroppedImageReader(224))
    clip = {
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
    }
    assert steps_of_hugging_face(clip, 224).reader == CroppedImageReader(256, 224)
    assert steps_of_hugging_face(
        {"size": 224, "crop_size": 224, "do_center_crop": True}, 224
    ).reader == CroppedImageReader(224, 224)
    vit = {
        "size": {"height": 32, "width": 32},
        "resample": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    assert steps_of_hugging_face(vit, 32) == PictureSteps(
        CroppedImageReader(32, None, "squash", "bilinear"), (0.5,) * 3, (0.5,) * 3
    )
    assert steps_of_hugging_face({"size": 32, "do_normalize": False}, 32).std == (1.0, 1.0, 1.0)
    with pytest.raises(ModelFormatError, match="divided by 255"):
        steps_of_hugging_face({**vit, "rescale_factor": 1 / 127.5}, 32)
    with pytest.raises(ModelFormatError, match="224 pixels"):
        steps_of_hugging_face(vit, 224)
    assert steps_of_open_clip({"resize_mode": "squash"}, 32).reader.mode == "squash"
    with pytest.raises(ModelFormatError, match="longest"):
        steps_of_open_clip({"resize_mode": "longest"}, 32)


def test_either_file_says_it(tmp_path) -> None:
    assert picture_config(tmp_path) is None
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": 3}}))
    assert picture_config(tmp_path) == {"size": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 4}))
    assert picture_config(tmp_path) == {"size": 4}


def test_reader_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="crop of at most side"):
        CroppedImageReader(8, 9)
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        CroppedImageReader(0)

"""Dimensions of towers: through JSON and back, and those that cannot be."""

from __future__ import annotations

import json

import pytest

from polymodal.core.errors import ConfigError
from polymodal.encoders import ImageDimensions, TextDimensions, clip_preset
from polymodal.encoders.clip_dimensions import dimensions_to_json


@pytest.mark.parametrize("name", ["RN50", "ViT-L/14"])
def test_dimensions_go_through_json(name) -> None:
    image = clip_preset(name).image
    assert ImageDimensions.of(json.loads(json.dumps(dimensions_to_json(image)))) == image


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: ImageDimensions(30, 2, 4, 32, patch=8), "heads that divide 30"),
        (lambda: ImageDimensions(32, 2, 4, 32), "a patch beside one number of layers"),
        (lambda: ImageDimensions(32, (1, 1, 1, 1), 4, 40), "a resolution that 32 divides"),
        (lambda: ImageDimensions(32, (1, 1), 4, 32), "four whole numbers"),
        (lambda: TextDimensions(0), "at least 1"),
        (lambda: TextDimensions(16, heads=2, context=2), "a context of at least 3"),
    ],
)
def test_dimensions_that_cannot_be(make, what) -> None:
    with pytest.raises(ConfigError, match=what):
        make()

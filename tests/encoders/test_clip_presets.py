"""The published dimensions."""

from __future__ import annotations

import json

import pytest

from polymodal.core.errors import ConfigError
from polymodal.encoders import CLIPPreset, ImageDimensions, TextDimensions, clip_preset
from polymodal.encoders.clip_presets import dimensions_to_json

PUBLISHED = {  # millions of parameters of the image tower and of the text tower
    "RN50": (38.32, 63.69),
    "RN101": (56.26, 63.43),
    "RN50x4": (87.14, 91.16),
    "RN50x16": (167.33, 123.65),
    "RN50x64": (420.38, 202.88),
    "ViT-B/32": (87.85, 63.43),
    "ViT-B/16": (86.19, 63.43),
    "ViT-L/14": (303.97, 123.65),
    "ViT-L/14-336": (304.29, 123.65),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_relations_published_number_of_parameters(name) -> None:
    assert tuple(round(n / 1e6, 2) for n in clip_preset(name).parameters()) == PUBLISHED[name]


def test_names() -> None:
    assert CLIPPreset.names() == tuple(PUBLISHED)
    with pytest.raises(ConfigError, match=r"got 'ViT-B32'. Did you mean 'ViT-B/32'\?"):
        clip_preset("ViT-B32")


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

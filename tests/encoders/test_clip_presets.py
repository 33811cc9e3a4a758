"""The published dimensions."""

from __future__ import annotations

import pytest

from polymodal.core.errors import ConfigError
from polymodal.encoders import CLIPPreset, clip_preset

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

"""The capability table."""

from __future__ import annotations

import pytest

from polymodal.commands.capabilities import find_method, list_methods
from polymodal.coordination import CCA
from polymodal.core.errors import ConfigError
from polymodal.fusion import LateFusion


def test_every_method_is_there_and_filters_narrow() -> None:
    names = {c.name for c in list_methods()}
    assert {"CCA", "CLIP", "LateFusion", "TensorFusion", "AdditiveFusion", "SharedIndividual"} <= names
    assert all(c.family == "fusion" for c in list_methods(family="fusion"))
    assert "CCA" not in {c.name for c in list_methods(kind="text")}
    assert "CCA" not in {c.name for c in list_methods(missing=True)}
    assert {c.name for c in list_methods(target=True)} >= {"LateFusion"}


def test_one_capability_in_full() -> None:
    cca = next(c for c in list_methods() if c.name == "CCA").to_dict()
    assert cca["modalities"] == (2, 2)
    assert cca["kinds"] == ("vector",)
    assert cca["parameters"]["reg"] == "0.0"
    assert cca["trained"] is False


def test_names_are_forgiving_and_mistakes_get_a_suggestion() -> None:
    assert find_method("cca") is CCA
    assert find_method("late-fusion") is find_method("Late_Fusion") is LateFusion
    with pytest.raises(ConfigError, match="Did you mean 'CLIP'"):
        find_method("clop")
    with pytest.raises(ConfigError, match="no kind 'pictures'"):
        list_methods(kind="pictures")
    with pytest.raises(ConfigError, match="Did you mean 'fusion'"):
        list_methods(family="fussion")
